"""Annotated slides: what was drawn comes back as the truth of a crop; what is wrong is said."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pathology.assets import config_path
from pathology.cells import CELL_CLASSES
from pathology.geometry import Box0, Size0, Spacing
from pathology.synthesis import REGIONS, random_field_spec, render_field, write_pyramid
from pathology.synthesis.field import Field
from pathology.training.cells.task import CellTask
from pathology.training.config import TrainingConfig, load_training_config
from pathology.training.data.drawings import read_drawings
from pathology.training.data.loading import load_annotated_source
from pathology.training.data.samples import make_sample
from pathology.training.problems import Problems, TrainingDataError
from pathology.training.specs import QuPathCellsSpec, RegionsSpec
from pathology.wsi import SlideInfo

ANGLES = 2 * np.pi * np.arange(32) / 32
SIDE = 512  # px of 0.25 µm: a slide of 128 µm
GLASS = (236, 235, 240)


def ring(*corners: tuple[float, float]) -> list[list[float]]:
    return [[float(x), float(y)] for x, y in (*corners, corners[0])]


def square(x: float, y: float, half: float) -> list[list[float]]:
    return ring(
        (x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)
    )


def feature(
    outline: list[list[float]] | None,
    name: str | None = "Tumor",
    *,
    kind: str = "detection",
    nucleus: list[list[float]] | None = None,
    point: tuple[float, float] | None = None,
) -> dict[str, Any]:
    geometry: dict[str, Any] = {"type": "Polygon", "coordinates": [outline]}
    if point is not None:
        geometry = {"type": "Point", "coordinates": list(point)}
    content: dict[str, Any] = {
        "type": "Feature",
        "id": "00000000-0000-4000-8000-000000000000",
        "geometry": geometry,
        "properties": {"objectType": kind},
    }
    if name is not None:
        content["properties"]["classification"] = {"name": name, "color": [200, 0, 0]}
    if nucleus is not None:
        content["nucleusGeometry"] = {"type": "Polygon", "coordinates": [nucleus]}
    return content


def write(path: Path, *features: dict[str, Any], about: dict[str, Any] | None = None) -> Path:
    tree: dict[str, Any] = {"type": "FeatureCollection", "features": list(features)}
    if about is not None:
        tree["properties"] = about
    path.write_text(json.dumps(tree))
    return path


@pytest.fixture(scope="module")
def slide_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A slide of glass with a grey piece in its middle."""
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(GLASS, 1, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    image[180:340, 180:340] = rng.integers(90, 190, (160, 160, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("slide") / "case1.tif"
    write_pyramid(path, image, mpp=0.25, levels=1, compression="deflate")
    return path.read_bytes()


@pytest.fixture
def slide(tmp_path: Path, slide_bytes: bytes) -> Path:
    path = tmp_path / "case1.tif"
    path.write_bytes(slide_bytes)
    return path


def cells(folder: Path, **more: Any) -> QuPathCellsSpec:
    return QuPathCellsSpec(path=folder, **({"white": GLASS} | more))


def problems(spec: QuPathCellsSpec | RegionsSpec) -> list[str]:
    with pytest.raises(TrainingDataError) as caught:
        load_annotated_source(spec)
    for problem in caught.value.problems:
        assert problem.fix.endswith("."), problem
        assert str(problem.path) in str(caught.value)
    return [problem.cause for problem in caught.value.problems]


def synthetic(seed: int, size_px: int) -> Field:
    rng = np.random.default_rng(seed)
    return render_field(random_field_spec(rng, size_px=size_px, mpp=0.5), seed)


@pytest.mark.parametrize("seed", [3, 11, 29])
def test_an_exported_synthetic_field_is_the_synthetic_sample(tmp_path: Path, seed: int) -> None:
    size = 256
    field, truth = synthetic(seed, size), make_sample(seed, size)
    Image.fromarray(field.rgb).save(tmp_path / "field.png")
    features = [
        feature(ring((0, 0), (size, 0), (size, size), (0, size)), "Region*", kind="annotation")
    ]
    for row in range(field.cells.n):
        x, y = float(field.cells.x_px[row]), float(field.cells.y_px[row])
        radius = field.cells.outline_r_um[row].astype(float) / 0.5
        outline = ring(*zip(x + radius * np.cos(ANGLES), y + radius * np.sin(ANGLES), strict=True))
        name = CELL_CLASSES[field.cells.cell_class[row]] if field.cells.visible[row] else "Ignore*"
        features.append(feature(outline, name, kind="cell", nucleus=square(x, y, 0.05)))
    write(tmp_path / "field.geojson", *features)
    spec = cells(tmp_path, mpp=0.5, white=field.white)
    sample = load_annotated_source(spec).sample(0, size)
    np.testing.assert_array_equal(sample.rgb, truth.rgb)
    np.testing.assert_allclose(sample.white, truth.white)
    assert sample.centres_px.shape == truth.centres_px.shape
    assert np.abs(sample.centres_px - truth.centres_px).max() < 0.01
    assert np.abs(sample.rays_um - truth.rays_um).max() < 0.3
    np.testing.assert_array_equal(sample.visible, truth.visible)
    seen = truth.visible
    np.testing.assert_array_equal(sample.classes[seen], truth.classes[seen])
    assert (sample.classes[~seen] == -1).all()
    # Everything is annotated but the places of the cells that are to be ignored.
    spots = (sample.centres_px // 4).astype(int)
    assert sample.annotated[spots[seen][:, 1], spots[seen][:, 0]].mean() > 0.9
    assert sample.annotated.mean() > 0.5
    assert (sample.region == 255).all()


def test_centres_rays_and_classes_are_those_that_were_drawn(slide: Path) -> None:
    write(
        slide.with_suffix(".geojson"),
        feature(square(200, 220, 20)),
        feature(square(300, 240, 16), "immune CELLS", nucleus=square(308, 240, 4)),
        feature(square(260, 320, 16), "Tumor: 3+ complete intense", kind="cell"),
        feature(square(320, 320, 16), None),
        feature(None, "Stroma", point=(200, 300), kind="annotation"),
        feature(square(210, 340, 10), "Ignore*"),
    )
    sample = load_annotated_source(cells(slide.parent)).sample(0, 256)
    # 0.25 µm/px at level 0 and 0.5 in the sample; the slide is as large as the field.
    expected = [(100, 110), (154, 120), (130, 160), (160, 160), (105, 170), (100, 150)]
    np.testing.assert_allclose(sample.centres_px, expected, atol=1e-4)
    assert sample.classes.tolist() == [0, 3, 0, -1, -1, 4]
    assert sample.visible.tolist() == [True, True, True, True, False, True]
    assert sample.rays_um[0, ::8].tolist() == [5.0, 5.0, 5.0, 5.0]
    assert sample.rays_um[0, 4] == pytest.approx(5 * np.sqrt(2))
    assert sample.rays_um[1, ::8].tolist() == [2.0, 4.0, 6.0, 4.0]  # seen from the nucleus
    assert np.isnan(sample.rays_um[5]).all()
    assert not np.isnan(sample.rays_um[:5]).any()


def test_without_an_annotated_area_only_the_cells_own_places_are_known(slide: Path) -> None:
    write(
        slide.with_suffix(".geojson"),
        feature(square(200, 220, 22)),
        feature(square(302, 302, 1)),  # smaller than a pixel of the map
        feature(None, point=(400, 100)),
    )
    sample = load_annotated_source(cells(slide.parent)).sample(0, 256)
    drawn = np.zeros((64, 64), dtype=bool)
    x = y = (np.arange(64) + 0.5) * 4  # field pixels
    drawn |= (np.abs(x[None] - 100) < 11) & (np.abs(y[:, None] - 110) < 11)
    drawn[151 // 4, 151 // 4] = True
    drawn |= np.hypot(x[None] - 200, y[:, None] - 50) < 5.9  # 3 µm around a point
    drawn[50 // 4, 200 // 4] = True
    np.testing.assert_array_equal(sample.annotated, drawn)


def test_an_annotated_area_is_known_wholly_but_where_it_is_to_be_ignored(slide: Path) -> None:
    write(
        slide.with_suffix(".geojson"),
        feature(square(256, 256, 144), "REGION 7", kind="annotation"),
        feature(square(256, 256, 112), "Ignore*", kind="annotation"),
        feature(square(256, 256, 250), "Tumor", kind="annotation"),  # parent of detections
        feature(square(200, 170, 10)),
    )
    sample = load_annotated_source(cells(slide.parent)).sample(0, 256)
    expected = np.zeros((64, 64), dtype=bool)
    expected[14:50, 14:50] = True
    middle = np.abs((np.arange(64) + 0.5) * 4 - 128) < 56
    expected[np.ix_(middle, middle)] = False
    np.testing.assert_array_equal(sample.annotated, expected)
    assert (sample.region == 255).all()
    again = cells(slide.parent, regions={"Tumor": "tumour"})
    assert (load_annotated_source(again).sample(0, 256).region != 255).mean() > 0.7


def test_the_place_of_an_ignored_cell_is_not_known(slide: Path) -> None:
    write(
        slide.with_suffix(".geojson"),
        feature(square(256, 256, 240), "Annotated", kind="annotation"),
        feature(square(200, 200, 24), "Ignore*"),
        feature(square(214, 200, 24)),
        feature(None, "ignore", point=(400, 400)),
    )
    annotated = load_annotated_source(cells(slide.parent)).sample(0, 256).annotated
    assert not annotated[22:28, 22:28].any()  # also where a usable cell overlaps it
    assert annotated[25, 28]
    assert not annotated[49:51, 49:51].any()
    assert annotated[49:51, 47].all()


def test_a_cell_inside_an_ignored_area_teaches_nothing(slide: Path) -> None:
    # QuPath exports the detections that lie in areas a pathologist has struck out.
    write(
        slide.with_suffix(".geojson"),
        feature(square(256, 256, 240), "Annotated", kind="annotation"),
        feature(square(200, 200, 100), "Ignore*", kind="annotation"),
        feature(square(200, 200, 10)),
        feature(square(360, 360, 10)),
    )
    sample = load_annotated_source(cells(slide.parent)).sample(0, 256)
    order = np.argsort(sample.centres_px[:, 0])
    assert sample.visible[order].tolist() == [False, True]


def test_areas_without_cells_are_examples_too(slide: Path) -> None:
    write(
        slide.with_suffix(".geojson"), feature(square(100, 100, 64), "Annotated", kind="annotation")
    )
    sample = load_annotated_source(cells(slide.parent)).sample(0, 128)
    assert len(sample.centres_px) == 0
    assert sample.annotated.any()


def test_regions_are_painted_the_smaller_over_the_larger(slide: Path) -> None:
    write(
        slide.with_suffix(".geojson"),
        feature(square(128, 128, 40), "DCIS", kind="annotation"),
        feature(square(200, 200, 180), "tumour", kind="annotation"),
        feature(square(300, 300, 40), "Ignore*", kind="annotation"),
        feature(square(440, 440, 40), "Nerve", kind="annotation"),
        feature(square(30, 30, 8), "Tumor", kind="cell"),
    )
    spec = RegionsSpec(path=slide.parent, white=GLASS, classes={"nerve": "stroma"})
    sample = load_annotated_source(spec).sample(0, 256)
    code = {name: REGIONS.index(name) for name in ("tumour", "in_situ", "stroma")}
    assert sample.region[128 // 8, 128 // 8] == code["in_situ"]
    assert sample.region[200 // 8, 200 // 8] == code["tumour"]
    assert sample.region[300 // 8, 300 // 8] == 255
    assert sample.region[440 // 8, 440 // 8] == code["stroma"]
    assert sample.region[500 // 8, 500 // 8] == 255
    assert not sample.annotated.any()
    assert len(sample.centres_px) == 0


@pytest.mark.parametrize("form", ["packed", "list", "single", "nested"])
def test_every_form_of_geojson_is_read(slide: Path, form: str) -> None:
    item = feature(square(200, 220, 20))
    tree: Any = {
        "packed": {"type": "FeatureCollection", "features": [item]},
        "list": [item],
        "single": item,
        "nested": {
            "type": "FeatureCollection",
            "features": [{"type": "FeatureCollection", "features": [item]}],
        },
    }[form]
    if form == "packed":
        with gzip.open(slide.parent / "case1.geojson.gz", "wt") as stream:
            json.dump(tree, stream)
    else:
        (slide.parent / "case1.tif.json").write_text(json.dumps(tree))
    assert len(load_annotated_source(cells(slide.parent)).sample(0, 256).centres_px) == 1


def test_objects_of_several_parts_are_read(slide: Path) -> None:
    two = feature(square(200, 220, 20))
    parts = [[square(120, 120, 5)], [square(200, 220, 20)], [square(90, 90, 4)]]
    two["geometry"] = {"type": "MultiPolygon", "coordinates": parts}
    dots = feature(None, "Stroma", point=(0, 0), kind="annotation")
    dots["geometry"] = {"type": "MultiPoint", "coordinates": [[300, 300], [320, 310]]}
    old = feature(square(400, 400, 80))  # too large to be a cell drawn by hand
    old["id"], old["properties"] = "PathCellObject", {"classification": {"name": "Tumor"}}
    write(slide.with_suffix(".geojson"), two, dots, old)
    sample = load_annotated_source(cells(slide.parent)).sample(0, 256)
    expected = [(100, 110), (200, 200), (150, 150), (160, 155)]
    np.testing.assert_allclose(sample.centres_px, expected, atol=1e-4)
    assert sample.rays_um[:2, 0].tolist() == [5.0, 20.0]


def test_views_move_the_truth_with_the_picture(slide: Path) -> None:
    write(slide.with_suffix(".geojson"), feature(square(200, 220, 20)))
    source = load_annotated_source(cells(slide.parent))
    fields = source.fields(128, seed=5, views=6)
    assert len(fields) == 6 * len(source)
    whole = source.sample(0, 256)
    places = set()
    for index in range(len(fields)):
        view = fields.sample(index)
        np.testing.assert_array_equal(view.rgb, fields.sample(index).rgb)
        if len(view.centres_px):
            left, top = np.rint(whole.centres_px[0] - view.centres_px[0]).astype(int)
            np.testing.assert_allclose(
                view.centres_px[0] + (left, top), whole.centres_px[0], atol=0.51
            )
            part = whole.rgb[top : top + 128, left : left + 128].astype(int)
            # Moved by half a pixel of the sample at most: level-0 pixels are half as large.
            assert np.abs(part - view.rgb).mean() < 12
            places.add((left, top))
    assert len(places) > 2


def test_a_field_larger_than_the_slide_is_not_known_outside_it(slide: Path) -> None:
    write(
        slide.with_suffix(".geojson"),
        feature(square(256, 256, 250), "Annotated", kind="annotation"),
    )
    sample = load_annotated_source(cells(slide.parent)).sample(0, 384)
    assert (sample.rgb[:32] == 255).all()
    assert not sample.annotated[:16].any()
    assert sample.annotated[48, 48]


def test_what_a_cell_covers_outside_the_slide_is_not_known(slide: Path) -> None:
    write(slide.with_suffix(".geojson"), feature(square(10, 256, 40)))
    annotated = load_annotated_source(cells(slide.parent)).sample(0, 384).annotated
    assert annotated[48, 16:22].all()
    assert not annotated[:, :16].any()


def test_the_white_point_is_that_of_the_slides_glass(slide: Path) -> None:
    write(slide.with_suffix(".geojson"), feature(square(200, 220, 20)))
    sample = load_annotated_source(cells(slide.parent, white=None)).sample(0, 128)
    np.testing.assert_allclose(sample.white, GLASS, atol=1.5)


def test_a_source_can_be_sent_to_another_process(slide: Path) -> None:
    write(slide.with_suffix(".geojson"), feature(square(200, 220, 20)))
    source = load_annotated_source(cells(slide.parent))
    first = source.sample(0, 128, (1, 2))
    copy = pickle.loads(pickle.dumps(source))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(copy.sample(0, 128, (1, 2)).rgb, first.rgb)


BOW_TIE = ring((200, 200), (240, 240), (240, 200), (200, 240))


@pytest.mark.parametrize(
    ("item", "cause"),
    [
        (feature(square(200, 200, 20), "Blob"), "unknown class 'Blob' of 1 cell"),
        (feature(BOW_TIE), "object 2 (Tumor) has an outline that crosses itself"),
        (feature(ring((200, 200), (220, 200), (240, 200))), "object 2 (Tumor) has no area"),
        (feature(ring((5, 5), (5, 5), (5, 5))), "object 2 (Tumor) has no area"),
        (feature(square(256, 256, 200)), "covers 10,000 µm², more than a cell"),
        (
            feature(square(200, 200, 20), nucleus=square(260, 200, 5)),
            "has its nucleus outside its outline",
        ),
        (feature(square(600, 200, 20)), "1 of 2 cells lie outside the slide case1.tif"),
        (feature(None, point=(100, -1)), "1 of 2 cells lie outside the slide case1.tif"),
        (
            feature(square(900, 900, 100), "Region*", kind="annotation"),
            "all 1 regions lie outside the slide",
        ),
        (feature(BOW_TIE, "Annotated", kind="annotation"), "crosses itself"),
    ],
)
def test_what_is_wrong_with_a_cell_is_said(slide: Path, item: dict[str, Any], cause: str) -> None:
    good = feature(square(300, 300, 20))
    file = write(slide.with_suffix(".geojson"), good, item)
    found = problems(cells(slide.parent))
    assert len(found) == 1
    assert cause in found[0]
    write(file, good)
    assert len(load_annotated_source(cells(slide.parent))) > 0


@pytest.mark.parametrize(
    ("name", "cause"),
    [("Blob", "unknown class 'Blob' of 1 region"), (None, "1 region without a class")],
)
def test_regions_need_a_class(slide: Path, name: str | None, cause: str) -> None:
    write(slide.with_suffix(".geojson"), feature(square(200, 200, 90), name, kind="annotation"))
    assert cause in problems(RegionsSpec(path=slide.parent))[0]


def test_all_problems_come_at_once_and_the_rest_are_counted(slide: Path) -> None:
    write(slide.with_suffix(".geojson"), *[feature(BOW_TIE)] * 30, feature(square(9, 9, 3), "Blob"))
    (slide.parent / "lost.geojson").write_text("[]")
    with pytest.raises(TrainingDataError) as caught:
        load_annotated_source(cells(slide.parent))
    text = str(caught.value)
    assert text.startswith("32 problems")
    assert text.endswith("and 12 more")
    assert len(text.splitlines()) == 22
    assert "no image named 'lost'" in text


@pytest.mark.parametrize("named", ["other.svs", "C:\\scans\\other.svs", "case2-0123456789"])
def test_geojson_of_another_slide_is_refused(slide: Path, named: str) -> None:
    file = slide.with_suffix(".geojson")
    write(file, feature(square(200, 200, 20)), about={"imageName": named})
    assert problems(cells(slide.parent)) == [f"belongs to the image {named!r}, not to case1.tif"]
    for own in ("case1.tif", "CASE1", "/scans/case1.tif", "case1-0123456789"):
        write(file, feature(square(200, 200, 20)), about={"slide_id": own})
        assert len(load_annotated_source(cells(slide.parent))) == 1


def test_cells_of_another_slide_or_in_micrometres_are_refused(slide: Path) -> None:
    write(
        slide.with_suffix(".geojson"), feature(square(5000, 5000, 20)), feature(square(900, 1, 9))
    )
    assert problems(cells(slide.parent))[0].startswith("all 2 cells lie outside the slide")


def test_offsets_that_a_file_states_are_added(slide: Path) -> None:
    about = {"offset_px": [100, 50]}
    write(slide.with_suffix(".geojson"), feature(square(100, 170, 20)), about=about)
    sample = load_annotated_source(cells(slide.parent)).sample(0, 256)
    np.testing.assert_allclose(sample.centres_px, [(100, 110)], atol=1e-4)


def test_coordinates_may_count_from_the_scanned_part(tmp_path: Path) -> None:
    file = write(tmp_path / "a.geojson", feature(square(100, 170, 20)), about={"offset_px": [9, 9]})
    info = SlideInfo(
        path=tmp_path / "a.mrxs", vendor="mirax", size=Size0(width=1000, height=900),
        bounds=Box0(x=300, y=200, width=500, height=500), spacing=Spacing(x=0.25, y=0.25),
        mpp_source="header", quickhash="none",
    )  # fmt: skip
    found = Problems()
    drawn, _ = read_drawings(file, cells(tmp_path, origin="bounds"), info, found)
    np.testing.assert_allclose(drawn.centres_px, [(400, 370)])
    drawn, _ = read_drawings(file, cells(tmp_path), info, found)
    np.testing.assert_allclose(drawn.centres_px, [(109, 179)])
    assert not len(found)


def test_places_of_all_slides_are_numbered(slide: Path) -> None:
    write(slide.with_suffix(".geojson"), feature(square(200, 220, 20)))
    Image.new("RGB", (1200, 600), GLASS).save(slide.parent / "a.png")
    spots = [(100, 40), (900, 100), (910, 110), (100, 590)]
    write(slide.parent / "a.geojson", *[feature(square(x, y, 8)) for x, y in spots])
    source = load_annotated_source(cells(slide.parent, mpp=0.25))
    assert len(source) == 4  # squares of 512 px: three of the first slide, one of the other
    counts = [len(source.sample(index, 256).centres_px) for index in range(4)]
    assert counts == [1, 2, 1, 1]
    assert (source.sample(3, 256).rgb != GLASS).any()
    assert (source.sample(2, 256).rgb == GLASS).all()
    for wrong in (-1, 4):
        with pytest.raises(IndexError):
            source.sample(wrong, 128)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("{", "not valid JSON"),
        ('{"a": 1}', "not GeoJSON"),
        ("[]", "holds no cell"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, null], [2, 2]]]}', "not two finite"),
    ],
)
def test_files_that_are_no_annotations_are_refused(slide: Path, content: str, cause: str) -> None:
    slide.with_suffix(".geojson").write_text(content)
    assert cause in problems(cells(slide.parent))[0]


def test_a_file_of_regions_is_not_one_of_cells_and_the_other_way_round(slide: Path) -> None:
    file = slide.with_suffix(".geojson")
    write(file, feature(square(200, 200, 150), "Tumor", kind="annotation"))
    assert problems(cells(slide.parent)) == ["holds no cell"]
    write(file, feature(square(200, 200, 10), "Tumor"))
    assert problems(RegionsSpec(path=slide.parent)) == ["holds no region"]
    write(file, feature(square(200, 200, 10), "Ignore*"))
    assert problems(cells(slide.parent)) == ["all its objects are to be ignored"]


def test_pixel_sizes_must_agree(slide: Path) -> None:
    write(slide.with_suffix(".geojson"), feature(square(200, 220, 20)))
    assert problems(cells(slide.parent, mpp=0.5)) == [
        "the header states 0.25 µm per pixel, the source 0.5"
    ]
    assert len(load_annotated_source(cells(slide.parent, mpp=0.255))) == 1
    Image.new("RGB", (300, 300), GLASS).save(slide.parent / "flat.png")
    write(slide.parent / "flat.geojson", feature(square(200, 220, 20)))
    assert problems(cells(slide.parent)) == ["the header states no pixel size"]
    assert problems(cells(slide.parent / "flat.geojson", mpp=1.5)) == [
        "1.5 µm per pixel is too coarse for cells (at most 1)"
    ]


def test_damaged_images_are_found_before_training(slide: Path) -> None:
    write(slide.with_suffix(".geojson"), feature(square(200, 220, 20)))
    data = slide.read_bytes()
    slide.write_bytes(data[:1000] + bytes(len(data) - 2000) + data[-1000:])
    assert len(problems(cells(slide.parent))) == 1
    slide.write_bytes(b"")
    assert problems(cells(slide.parent)) == ["the file is empty (0 bytes)"]
    slide.unlink()
    assert "no image named 'case1'" in problems(cells(slide.parent))[0]
    Image.new("RGB", (10, 10), GLASS).save(slide.parent / "case1.png")
    assert "the image is only 10 × 10 px" in problems(cells(slide.parent, mpp=0.25))[0]


def test_two_images_of_one_name_are_told_apart_by_the_whole_name(slide: Path) -> None:
    write(slide.with_suffix(".geojson"), feature(square(200, 220, 20)))
    Image.new("RGB", (512, 512), GLASS).save(slide.with_suffix(".png"))
    assert problems(cells(slide.parent)) == ["fits several images (case1.png, case1.tif)"]
    slide.with_suffix(".geojson").rename(slide.parent / "case1.tif.geojson")
    assert len(load_annotated_source(cells(slide.parent))) == 1


def test_images_may_lie_in_another_folder(slide: Path, tmp_path: Path) -> None:
    folder = tmp_path / "drawn" / "a"
    folder.mkdir(parents=True)
    write(folder / "case1.geojson", feature(square(200, 220, 20)))
    (tmp_path / "images" / "a").mkdir(parents=True)
    slide.rename(tmp_path / "images" / "a" / "case1.tif")
    spec = cells(tmp_path / "drawn", images=tmp_path / "images")
    assert len(load_annotated_source(spec)) == 1


def test_patients_are_not_divided(slide: Path) -> None:
    data = slide.read_bytes()
    for name in ("P1_a", "P1_b", "P2_a", "P3_a", "P3_b"):
        (slide.parent / f"{name}.tif").write_bytes(data)
        write(slide.parent / f"{name}.geojson", feature(square(200, 220, 20)))
    spec = cells(slide.parent, group=r"^(P\d)_", holdout_share=0.34)
    names = {}
    for part in ("train", "holdout"):
        source = load_annotated_source(spec, part=part)
        names[part] = {item.image.name[:2] for item in source.slides}
        assert source.slides
    assert not names["train"] & names["holdout"]
    assert names["train"] | names["holdout"] == {"P1", "P2", "P3"}
    assert len(load_annotated_source(spec).slides) == 5
    assert "group" in problems(cells(slide.parent, group="X"))[0]
    alone = cells(slide.parent, group="P|a|b", holdout_share=0.5)
    assert "one group" in problems(alone)[0]


def test_a_patient_is_not_held_out_of_one_source_and_trained_on_in_another(slide: Path) -> None:
    data = slide.read_bytes()
    folders = [slide.parent / name for name in ("first", "second")]
    for folder, patients in zip(folders, (("P1", "P2", "P3"), ("P1", "P2", "P4")), strict=True):
        folder.mkdir()
        for name in patients:
            (folder / f"{name}.tif").write_bytes(data)
            write(folder / f"{name}.geojson", feature(square(200, 220, 20)))
    sources = [
        {"kind": "qupath_cells", "path": str(folder), "group": r"^(P\d)", "holdout_share": share}
        for folder, share in zip(folders, (0.67, 0.0), strict=True)
    ]
    config = load_training_config(config_path("training/tiny.yaml"))
    specs = TrainingConfig.model_validate(config.model_dump() | {"sources": sources}).sources
    with pytest.raises(TrainingDataError, match=r"'P[12]' is held out here, and trained on in"):
        CellTask(config.model_copy(update={"sources": specs})).check()
    # Without the other source the same patients may be held out.
    CellTask(config.model_copy(update={"sources": specs[:1]})).check()
