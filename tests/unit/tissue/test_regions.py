from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pathology.errors import ReasonCode, RegionsError
from pathology.geometry import Box0, Size0, Spacing
from pathology.tissue import RegionKind, TissueMask, find_regions_file, load_regions, region_kind
from pathology.tissue import geojson as geojson_module
from pathology.wsi.slide import SlideInfo

INFO = SlideInfo(
    path=Path("slide one.svs"),
    vendor="array",
    size=Size0(width=1000, height=800),
    bounds=Box0(x=0, y=0, width=1000, height=800),
    spacing=Spacing(x=0.5, y=0.5),
    mpp_source="array",
    quickhash="none",
)


def ring(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


def feature(name: str | None, *rings: Any, kind: str = "Polygon") -> dict[str, Any]:
    properties = {"objectType": "annotation"}
    if name is not None:
        properties["classification"] = {"name": name, "color": [200, 0, 0]}
    return {
        "type": "Feature",
        "id": "1",
        "geometry": {"type": kind, "coordinates": list(rings)},
        "properties": properties,
    }


def write(path: Path, *features: Any) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "slide one.geojson"


def test_points_get_the_class_that_must_not_count_where_regions_overlap(file: Path) -> None:
    write(
        file,
        feature("In situ", ring(50, 50, 80, 80)),
        feature("Tumor", ring(0, 0, 100, 100), ring(10, 10, 20, 20)),
        feature("Ignore*", ring(90, 90, 200, 200)),
        feature("Control", ring(500, 500, 600, 600)),
    )
    regions = load_regions(file, INFO)
    x = [5, 15, 60, 95, 150, 550, 900]
    y = [5, 15, 60, 95, 150, 550, 700]
    kinds = ["TUMOUR", "OUTSIDE", "IN_SITU", "IGNORE", "IGNORE", "CONTROL", "OUTSIDE"]
    codes = regions.classify_points(x, y)
    assert [RegionKind(code).name for code in codes] == kinds
    assert regions.counts_as_tumour(x, y).tolist() == [True] + [False] * 6
    assert regions.flags == ()


def test_without_tumour_everything_counts_but_what_is_excluded(file: Path) -> None:
    write(file, feature("Exclude", ring(0, 0, 100, 100)))
    regions = load_regions(file, INFO)
    assert not regions.has_tumour
    assert regions.counts_as_tumour([50.0, 500.0], [50.0, 500.0]).tolist() == [False, True]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Tumor", RegionKind.TUMOUR),
        ("TUMOUR", RegionKind.TUMOUR),
        ("invasive carcinoma", RegionKind.TUMOUR),
        ("Tumor: Positive", RegionKind.TUMOUR),
        ("ignore*", RegionKind.IGNORE),
        ("Ignore necrosis", RegionKind.IGNORE),
        ("exclude", RegionKind.EXCLUDE),
        ("DCIS", RegionKind.IN_SITU),
        ("in-situ", RegionKind.IN_SITU),
        ("Control", RegionKind.CONTROL),
        ("Stroma", None),
        ("", None),
    ],
)
def test_class_names(name: str, kind: RegionKind | None) -> None:
    assert region_kind(name) is kind


def test_every_container_that_qupath_writes_is_read(tmp_path: Path) -> None:
    square = [ring(0, 0, 100, 100)]
    multi = feature("Tumor", square, [ring(200, 0, 300, 100)], kind="MultiPolygon")
    collection = {
        "type": "Feature",
        "properties": {"name": "tumour"},
        "geometry": {
            "type": "GeometryCollection",
            "geometries": [
                {"type": "Polygon", "coordinates": square},
                {"type": "Point", "coordinates": [1, 2]},
                {"type": "MultiPolygon", "coordinates": [[ring(200, 0, 300, 100)]]},
            ],
        },
    }
    forms = {
        "multi.geojson": {"type": "FeatureCollection", "features": [multi]},
        "feature.json": collection,
        "list.geojson": [multi],
        "packed.geojson.gz": multi,
    }
    for name, tree in forms.items():
        path, data = tmp_path / name, json.dumps(tree).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        shape = load_regions(path, INFO).shapes[RegionKind.TUMOUR]
        assert shape.area == pytest.approx(20_000), name


def test_unknown_classes_crossing_outlines_and_overhang_are_flagged(file: Path) -> None:
    bow = [[0, 0], [100, 100], [100, 0], [0, 100], [0, 0]]
    write(
        file,
        feature("Tumor", bow),
        feature("Ignore", ring(900, 700, 1200, 900)),
        feature("Strange; one", ring(0, 0, 9, 9)),
        feature(None, ring(0, 0, 9, 9)),
    )
    regions = load_regions(file, INFO)
    assert regions.flags == (
        "regions_partly_outside",
        "regions_repaired",
        "unknown_region_class:Strange  one",
        "unknown_region_class:none",
    )
    assert regions.shapes[RegionKind.TUMOUR].area == pytest.approx(5000)
    assert regions.shapes[RegionKind.IGNORE].area == pytest.approx(100 * 100)


BAD = {
    "text": ("hello", "not valid JSON"),
    "nan": ('{"type":"Polygon","coordinates":[[[NaN,0],[1,0],[1,1]]]}', "not valid JSON"),
    "huge number": ('{"type":"Polygon","coordinates":[[[1e300,0],[1,0],[1,1]]]}', "finite"),
    "text number": ('{"type":"Polygon","coordinates":[[["1",0],[1,0],[1,1]]]}', "finite"),
    "short": ('{"type":"Polygon","coordinates":[[[1,0],[1,0]]]}', "three corners"),
    "no type": ('{"features":[]}', "without a type"),
    "no features": ('{"type":"FeatureCollection"}', "without features"),
    "unknown": ('{"type":"Circle"}', "Circle"),
    "empty": ('{"type":"FeatureCollection","features":[]}', "no polygon"),
    "points": ('{"type":"Point","coordinates":[1,2]}', "no polygon"),
    "flat": ('{"type":"Polygon","coordinates":[[[0,0],[5,5],[9,9],[0,0]]]}', "no polygon"),
    "deep": ('{"type":"Feature","geometry":' * 30 + "null" + "}" * 30, "nested"),
    "number": ("3", "without a type"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_by_name_and_with_a_remedy(file: Path, case: str) -> None:
    text, words = BAD[case]
    file.write_text(text)
    with pytest.raises(RegionsError, match=words) as caught:
        load_regions(file, INFO)
    assert str(file) in str(caught.value)
    assert caught.value.fix
    assert caught.value.reason is ReasonCode.INVALID_REGIONS


def test_regions_outside_the_slide_are_refused(file: Path) -> None:
    write(file, feature("Tumor", ring(2000, 2000, 3000, 3000)))
    with pytest.raises(RegionsError, match=r"outside the slide slide one\.svs"):
        load_regions(file, INFO)


def test_a_tumour_outside_is_not_saved_by_a_stranger_inside(file: Path) -> None:
    write(
        file,
        feature("Tumor", ring(2000, 2000, 3000, 3000)),
        feature("Stroma", ring(0, 0, 100, 100)),
    )
    with pytest.raises(RegionsError, match=r"no region of a known class.*Stroma, Tumor"):
        load_regions(file, INFO)


@pytest.mark.parametrize("suffix", [".geojson", ".geojson.gz"])
def test_a_file_that_is_too_large_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(geojson_module, "MAX_BYTES", 1000)
    path = tmp_path / f"big{suffix}"
    data = b" " * 5000
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    with pytest.raises(RegionsError, match="larger than"):
        load_regions(path, INFO)


@pytest.mark.parametrize("data", [b"not gzip", gzip.compress(b"{}" * 999, mtime=0)[:-12]])
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "r.geojson.gz"
    path.write_bytes(data)
    with pytest.raises(RegionsError, match="cannot be read"):
        load_regions(path, INFO)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegionsError, match="no such file") as caught:
        load_regions(tmp_path / "none.geojson", INFO)
    assert caught.value.reason is ReasonCode.FILE_MISSING


def test_drawing_agrees_with_asking_point_by_point(file: Path) -> None:
    write(
        file,
        feature("Tumor", [[100, 100], [700, 150], [400, 700], [100, 100]]),
        feature("Exclude", ring(300, 200, 420, 330)),
    )
    regions = load_regions(file, INFO)
    box = Box0(x=-10, y=20, width=1010, height=770)
    mask = TissueMask(mask=np.zeros((77, 50), bool), box=box, spacing=INFO.spacing)
    drawn = regions.rasterize(mask)
    columns, rows = np.meshgrid(np.arange(50), np.arange(77))
    x, y = -10 + (columns + 0.5) * 20.2, 20 + (rows + 0.5) * 10
    codes = regions.classify_points(x.ravel(), y.ravel()).reshape(77, 50)
    assert set(drawn) == {RegionKind.TUMOUR, RegionKind.EXCLUDE}
    assert (drawn[RegionKind.EXCLUDE] == (codes == RegionKind.EXCLUDE)).all()
    assert (drawn[RegionKind.TUMOUR] | drawn[RegionKind.EXCLUDE] == (codes > 0)).all()
    assert drawn[RegionKind.TUMOUR].sum() > 500


def test_the_file_of_a_slide_is_found_by_stem_or_whole_name(tmp_path: Path) -> None:
    slide = Path("/somewhere/case 1.svs")
    assert find_regions_file(tmp_path, slide) is None
    (tmp_path / "case 1.json").touch()
    assert find_regions_file(tmp_path, slide) == tmp_path / "case 1.json"
    (tmp_path / "case 1.geojson.gz").touch()
    assert find_regions_file(tmp_path, slide) == tmp_path / "case 1.geojson.gz"
    (tmp_path / "case 1.svs.geojson").touch()
    assert find_regions_file(tmp_path, slide) == tmp_path / "case 1.svs.geojson"
