"""What a slide's cells lie on, written and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shapely.geometry import MultiPolygon, Polygon, box

from pathology.errors import SlideError
from pathology.geometry import Box0, Spacing
from pathology.runs import Ground, SlideFolder, encode_backdrop, read_ground, write_ground
from pathology.tissue import RegionKind, Regions, TissueMask

BOX = Box0(x=10, y=-4, width=640, height=320)
SPACING = Spacing(x=0.25, y=0.26)
KINDS = ("pen", "black", "dust", "edge", "smear", "no_data")


def mask(values: np.ndarray) -> TissueMask:
    return TissueMask(mask=values, box=BOX, spacing=SPACING)


def stored(folder: Path, *, excluded: dict[str, np.ndarray], regions: Regions | None) -> Ground:
    place = SlideFolder(root=folder, slide_id="a")
    place.begin()
    tissue = np.zeros((20, 40), dtype=np.bool_)
    tissue[3:9, 5:30] = True
    picture = encode_backdrop(np.full((30, 60, 3), (200, 160, 180), dtype=np.uint8))
    files = write_ground(
        place,
        tissue=mask(tissue),
        excluded={kind: mask(part) for kind, part in excluded.items()},
        backdrop=picture,
        regions=regions,
    )
    assert {file.name for file in files} == {path.name for path in place.path.iterdir()}
    found = read_ground(place, box=BOX, spacing=SPACING)
    assert np.array_equal(found.tissue.mask, tissue)
    return found


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_masks_read_back_exactly_also_where_they_overlap(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    excluded = {kind: rng.random((20, 40)) < 0.3 for kind in KINDS if rng.random() < 0.7}
    found = stored(tmp_path_factory.mktemp("g"), excluded=excluded, regions=None)
    assert set(found.excluded) == {kind for kind, part in excluded.items() if part.any()}
    for kind, part in found.excluded.items():
        assert np.array_equal(part.mask, excluded[kind])
    assert found.regions is None


def test_regions_read_back_exactly(tmp_path: Path) -> None:
    third = 1 / 3
    holed = Polygon([(third, 0), (50, 0), (50, 40), (0, 40)], [[(10, 10), (20, 10), (20, 20)]])
    shapes = {
        RegionKind.TUMOUR: MultiPolygon([holed, box(60, 0, 70, 10.1)]),
        RegionKind.IGNORE: box(1, 1, 2, 2),
        RegionKind.EXCLUDE: box(3, 1, 4, 2),
        RegionKind.IN_SITU: box(5, 1, 6, 2),
        RegionKind.CONTROL: box(7, 1, 8, 2),
    }
    found = stored(tmp_path, excluded={}, regions=Regions(shapes=shapes)).regions
    assert {kind: shape.wkb for kind, shape in found.shapes.items()} == {
        kind: shape.wkb for kind, shape in shapes.items()
    }


def test_people_can_open_the_map(tmp_path: Path) -> None:
    stored(tmp_path, excluded={"pen": np.eye(20, 40, dtype=np.bool_)}, regions=None)
    with Image.open(tmp_path / "slides" / "a" / "tissue.png") as image:
        rgb = np.asarray(image.convert("RGB"))
    assert rgb[19, 39].tolist() == [255, 255, 255]
    assert rgb[4, 20].tolist() != rgb[0, 0].tolist() != [255, 255, 255]


@pytest.mark.parametrize("name", ["tissue.png", "backdrop.jpg", "regions.geojson"])
@pytest.mark.parametrize("content", [None, b"", b"no picture", b"[1]", b'{"features": [{}]}'])
def test_damage_is_an_error_that_names_the_folder(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    regions = Regions(shapes={RegionKind.TUMOUR: box(0, 0, 9, 9)})
    stored(tmp_path, excluded={}, regions=regions)
    path = tmp_path / "slides" / "a" / name
    if content is None:
        path.unlink()
        if name == "regions.geojson":
            return  # a slide without regions has none
    else:
        path.write_bytes(content)
    with pytest.raises(SlideError, match="cannot be read") as error:
        read_ground(SlideFolder(root=tmp_path, slide_id="a"), box=BOX, spacing=SPACING)
    assert str(path.parent) in str(error.value)
