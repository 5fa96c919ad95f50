"""Exports of a whole run folder: GeoJSON and HTML against the tables that they were made from."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from PIL import Image
from shapely.geometry import shape

from pathology.cells.table import N_RAYS, PATTERNS, CellTable
from pathology.errors import OutputError, SlideError, UsageError
from pathology.geometry import Box0, Spacing
from pathology.report import (
    GeoJsonOptions,
    TileMarks,
    draw_heatmap,
    draw_overview,
    export,
    export_geojson,
    export_html,
)
from pathology.report.geojson import MEASUREMENTS
from pathology.report.scene import Backdrop
from pathology.runs import Pseudonyms
from pathology.runs.blocks import ErrorBlock, SpacingBlock
from pathology.runs.cells import CellWriter, read_cells
from pathology.runs.outputs import WRITTEN
from pathology.runs.result import SlideResult, count_columns
from pathology.runs.results import write_results
from pathology.runs.tiles import TileRow, write_tiles
from pathology.scoring.counts import PatternCounts

SPACING = Spacing(x=0.25, y=0.252)
SIDE_PX = 1000
N_CELLS = 400
SCORED, HOSTILE, REFUSED, FAILED = "a-0000000001", "h-0000000002", "r-0000000003", "x-0000000004"
HOSTILE_TEXT = '<script>alert("x")</script>&amp;'


def some_cells(n: int, *, seed: int = 1) -> CellTable:
    """Return cells on four tiles in a row; one of them has no outline at all."""
    rng = np.random.default_rng(seed)
    tile = np.sort(rng.integers(0, 4, n)).astype(np.int64)
    outline = rng.integers(25, 45, (n, N_RAYS)).astype(np.uint8)
    outline[n // 2] = 0
    shares = {
        name: rng.random(n).astype(np.float32)
        for name in ("tumour_probability", "cytoplasm_od", "membrane_od", "membrane_od_stained")
    }
    pattern = rng.choice(5, n, p=[0.5, 0.2, 0.05, 0.2, 0.05]).astype(np.uint8)
    return CellTable(
        tile_id=tile,
        x_um=((tile + rng.random(n)) * SIDE_PX * SPACING.x).astype(np.float32),
        y_um=(rng.random(n) * SIDE_PX * SPACING.y).astype(np.float32),
        area_um2=rng.uniform(50, 200, n).astype(np.float32),
        cell_class=rng.choice(6, n, p=[0.75, 0.05, 0.05, 0.05, 0.05, 0.05]).astype(np.uint8),
        outline_r=outline,
        ray_od=rng.integers(0, 90, (n, N_RAYS)).astype(np.uint8),
        membrane_completeness=(rng.integers(0, 33, n) / 32).astype(np.float32),
        intensity=np.array([0, 1, 3, 2, 4], dtype=np.uint8)[pattern],
        complete=np.asarray(pattern >= 3),
        pattern=pattern,
        **shares,
    )


def tile_rows(cells: CellTable) -> list[TileRow]:
    rows = []
    for tile in range(4):
        here = cells.take(cells.tile_id == tile)
        tumour = here.pattern[np.asarray(here.is_tumour)]
        counts = {f"n_{name}": int((tumour == k).sum()) for k, name in enumerate(PATTERNS)}
        rows.append(
            TileRow(tile_id=tile, x_px=tile * SIDE_PX, y_px=0, width_px=SIDE_PX,
                    height_px=SIDE_PX, status="ok", tissue_fraction=1.0, n_cells=here.n,
                    n_tumour_cells=len(tumour), **counts)
        )  # fmt: skip
    return rows


def counts_of(cells: CellTable) -> PatternCounts:
    found = Counter(cells.pattern[np.asarray(cells.is_tumour)].tolist())
    return PatternCounts(
        unstained=found[0],
        faint_incomplete=found[1],
        moderate_incomplete=found[2],
        weak_complete=found[3],
        intense_complete=found[4],
    )


def scored(slide_id: str, cells: CellTable, **changes: Any) -> SlideResult:
    fields: dict[str, Any] = {
        "slide_id": slide_id,
        "path": f"slides/{slide_id}.tif",
        "case_id": "case 1",
        "status": "scored",
        "ihc_score": "2+",
        "her2_status": "equivocal",
        "her2_tier": "her2_equivocal",
        "ish_reflex": True,
        "deciding_rule": "4_complete",
        "deciding_clause": "complete weak-moderate staining in > 10 % of tumour cells",
        "deciding_lo": 18.0,
        "deciding_hi": 24.0,
        "distance_to_cutoff_pp": 10.5,
        "boot_share_null": 0.0,
        "boot_share_ultralow": 0.0,
        "boot_share_1": 0.02,
        "boot_share_2": 0.97,
        "boot_share_3": 0.01,
        "borderline": False,
        "flags": ("invasive_region_unverified",),
        "region_source": "model",
        "tiles": 4,
        "failed_tiles": 0,
        "mpp": SPACING.mean,
        "mpp_source": "header",
        "spacing": SpacingBlock.of(SPACING),
        "qc": {"focus": 0.93},
    }
    return SlideResult(**{**fields, **count_columns(counts_of(cells)), **changes})


def write_slide(root: Path, result: SlideResult, cells: CellTable | None = None) -> None:
    folder = root / "slides" / result.slide_id
    folder.mkdir(parents=True)
    rgb = np.full((50, 200, 3), 220, dtype=np.uint8)
    backdrop = Backdrop(
        rgb=rgb, box=Box0(x=0, y=0, width=4 * SIDE_PX, height=SIDE_PX), spacing=SPACING
    )
    if cells is not None:
        with CellWriter(folder / "cells.parquet") as writer:
            writer.write(cells)
        rows = tile_rows(cells)
        write_tiles(folder / "tiles.parquet", rows)
        heatmap = draw_heatmap(result, backdrop, TileMarks.from_rows(rows))
        (folder / "heatmap.png").write_bytes(heatmap)
    (folder / "overview.png").write_bytes(draw_overview(result, backdrop))
    (folder / "result.json").write_bytes(result.to_json())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run: a scored slide, one with hostile names, a refused and a failed one."""
    root = tmp_path_factory.mktemp("run <1> & co")
    cells = some_cells(N_CELLS)
    results = [
        scored(SCORED, cells),
        scored(HOSTILE, cells, path=HOSTILE_TEXT, case_id=HOSTILE_TEXT, borderline=True,
               deciding_clause=HOSTILE_TEXT, warnings=(HOSTILE_TEXT,), assay=HOSTILE_TEXT),
        SlideResult(slide_id=REFUSED, path="r.tif", status="not_scorable",
                    reasons=("no_tissue",), mpp=0.25, mpp_source="header"),
        SlideResult(slide_id=FAILED, path="x.tif", status="failed", reasons=("unreadable",),
                    error=ErrorBlock(message=f"x.tif: {HOSTILE_TEXT}", fix="Copy it again.")),
    ]  # fmt: skip
    for result in results:
        write_slide(root, result, cells if result.status == "scored" else None)
    write_results(root, results)
    return root


def load(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        content = json.load(stream)
    assert isinstance(content, dict)
    return content


def test_geojson_matches_the_parquet(run: Path, tmp_path: Path) -> None:
    paths = export_geojson(run, tmp_path)
    # In the order of results.csv, which is that of the paths.
    assert [path.name for path in paths] == [f"{HOSTILE}.geojson.gz", f"{SCORED}.geojson.gz"]
    content = load(paths[1])
    table = pq.read_table(run / "slides" / SCORED / "cells.parquet").to_pylist()
    assert content["type"] == "FeatureCollection"
    assert len(content["features"]) == len(table) == N_CELLS
    assert len({feature["id"] for feature in content["features"]}) == N_CELLS
    for row, feature in zip(table, content["features"], strict=True):
        geometry = shape(feature["geometry"])
        assert geometry.is_valid
        measured = feature["properties"]["measurements"]
        assert measured["Cell id"] == row["cell_id"]
        assert measured["Tile id"] == row["tile_id"]
        for name, column in MEASUREMENTS:
            assert np.float32(measured[name]) == np.float32(row[column]), (name, row["cell_id"])
        angles = 2 * np.pi * np.arange(N_RAYS) / N_RAYS
        reach = np.asarray(row["outline_r"]) * 0.2
        if not reach.any():
            assert geometry.geom_type == "Point"
            continue
        x = (row["x_um"] + reach * np.cos(angles)) / SPACING.x
        y = (row["y_um"] + reach * np.sin(angles)) / SPACING.y
        corners = np.asarray(geometry.exterior.coords)
        assert corners.shape == (N_RAYS + 1, 2)
        assert np.abs(corners[:-1] - np.stack([x, y], axis=1)).max() <= 0.0501
        assert (corners[0] == corners[-1]).all()


def test_geojson_classes_count_like_the_tumour_patterns(run: Path, tmp_path: Path) -> None:
    content = load(export_geojson(run, tmp_path, slides=[SCORED])[0])
    found = Counter(f["properties"]["classification"]["name"] for f in content["features"])
    cells = CellTable.concat(list(read_cells(run / "slides" / SCORED / "cells.parquet")))
    counts = counts_of(cells)
    assert found["Tumor: 0 unstained"] == counts.unstained
    assert found["Tumor: 1+ incomplete faint"] == counts.incomplete_faint
    assert found["Tumor: 2+ incomplete moderate-intense"] == counts.incomplete_moderate_intense
    assert found["Tumor: 2+ complete"] == counts.complete_weak_moderate
    assert found["Tumor: 3+ complete intense"] == counts.complete_intense
    assert found["Immune cells"] == int((cells.cell_class == 3).sum())
    colours = {
        f["properties"]["classification"]["name"]: tuple(f["properties"]["classification"]["color"])
        for f in content["features"]
    }
    assert all(0 <= part <= 255 for colour in colours.values() for part in colour)


def test_geojson_says_where_it_comes_from(run: Path, tmp_path: Path) -> None:
    about = load(export_geojson(run, tmp_path, slides=[SCORED])[0])["properties"]
    assert about["frame"] == "level-0 pixels"
    assert about["um_per_px"] == [SPACING.x, SPACING.y]
    assert about["offset_px"] == [0, 0]
    assert "bounds" in about["note"]
    assert about["use"] == "Research use only"


def test_geojson_options(run: Path, tmp_path: Path) -> None:
    def features(name: str, **options: Any) -> list[dict[str, Any]]:
        choice = GeoJsonOptions(**options)
        paths = export_geojson(run, tmp_path / name, options=choice, slides=[SCORED])
        found = load(paths[0])["features"]
        assert isinstance(found, list)
        return found

    every = features("all")
    tumour = features("tumour", tumour_only=True)
    assert tumour == [
        f for f in every if f["properties"]["classification"]["name"].startswith("Tumor")
    ]
    assert {f["properties"]["objectType"] for f in every} == {"cell"}
    points = features("points", points=True)
    assert {f["geometry"]["type"] for f in points} == {"Point"}
    assert {f["properties"]["objectType"] for f in points} == {"detection"}
    moved = features("moved", points=True, offset_px=(100, 20))
    shift = np.array([f["geometry"]["coordinates"] for f in points]) - np.array(
        [f["geometry"]["coordinates"] for f in moved]
    )
    assert shift == pytest.approx(np.tile([100, 20], (N_CELLS, 1)))
    simple = features("simple", simplify_um=0.5)
    for small, full in zip(simple, every, strict=True):
        if full["geometry"]["type"] == "Polygon":
            a, b = shape(small["geometry"]), shape(full["geometry"])
            assert a.is_valid
            assert len(a.exterior.coords) < len(b.exterior.coords)
            assert shapely.hausdorff_distance(a, b) < 4
    with pytest.raises(ValueError, match="simplify_um"):
        GeoJsonOptions(simplify_um=-1.0)


def test_geojson_is_the_same_twice_and_leaves_no_other_file(run: Path, tmp_path: Path) -> None:
    first = export_geojson(run, tmp_path / "1")
    second = export_geojson(run, tmp_path / "2")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert set((tmp_path / "1").iterdir()) == {*first, tmp_path / "1" / WRITTEN}
    # Bytes 4 to 8 of a gzip file are its time; flag 8 in byte 3 would be a file name.
    assert first[0].read_bytes()[3:8] == b"\0\0\0\0\0"


def test_geojson_memory_does_not_grow_with_the_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathology.runs.cells.ROW_GROUP", 1000)

    def peak(n: int) -> int:
        root = tmp_path / str(n)
        folder = root / "slides" / SCORED
        folder.mkdir(parents=True)
        cells = some_cells(n)
        with CellWriter(folder / "cells.parquet") as writer:
            writer.write(cells)
        result = scored(SCORED, cells)
        (folder / "result.json").write_bytes(result.to_json())
        write_results(root, [result])
        del cells
        tracemalloc.start()
        export_geojson(root)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    small = peak(3000)
    assert peak(12_000) < small + 500_000  # 9,000 more cells as text are 9 MB


def test_a_damaged_table_of_cells_names_the_file_and_leaves_nothing(
    run: Path, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    (root / "slides" / SCORED).mkdir(parents=True)
    result = scored(SCORED, some_cells(N_CELLS))
    (root / "slides" / SCORED / "result.json").write_bytes(result.to_json())
    whole = (run / "slides" / SCORED / "cells.parquet").read_bytes()
    (root / "slides" / SCORED / "cells.parquet").write_bytes(whole[: len(whole) // 2])
    write_results(root, [result])
    with pytest.raises(SlideError, match=r"cells\.parquet"):
        export_geojson(root)
    assert list((root / "exports" / "geojson").iterdir()) == []


class Page(HTMLParser):
    """Collect the tags, attributes and text of a page."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.images: list[str] = []
        self.text = ""
        self._style = False
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self._style = tag == "style"
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name in ("href", "src"):
                (self.images if tag == "img" else self.links).append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._style = self._style and tag != "style"

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.text += data


def pages(folder: Path) -> dict[str, Page]:
    return {path.name: Page(path.read_text(encoding="utf-8")) for path in folder.glob("*.html")}


@pytest.fixture(scope="module")
def site(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    folder = tmp_path_factory.mktemp("html")
    export_html(run, folder)
    return pages(folder)


def test_every_slide_has_a_page_and_the_index_links_them(site: dict[str, Page]) -> None:
    names = [f"{name}.html" for name in (SCORED, HOSTILE, REFUSED, FAILED)]
    assert set(site) == {*names, "index.html"}
    assert sorted(site["index.html"].links) == sorted(names)


def test_the_index_shows_first_who_needs_a_look(site: dict[str, Page]) -> None:
    text = site["index.html"].text
    places = [text.index(name) for name in (FAILED, REFUSED, HOSTILE, SCORED)]
    assert places == sorted(places)
    assert "close to a cut-off" not in text or "Borderline" in text


def test_pages_stand_alone_and_run_nothing(
    run: Path, site: dict[str, Page], tmp_path: Path
) -> None:
    for name, page in site.items():
        assert not {"script", "link", "iframe", "object", "form"} & set(page.tags), name
        assert all(image.startswith("data:image/png;base64,") for image in page.images)
        if name != "index.html":
            assert page.links == []
    for path in export_html(run, tmp_path):
        content = path.read_text(encoding="utf-8")
        assert "default-src 'none'" in content
        assert not re.search(r"https?://|url\(|@import|javascript:", content)


def test_every_page_says_research_use_only_and_advises_no_treatment(site: dict[str, Page]) -> None:
    for name, page in site.items():
        assert page.text.count("Research use only") >= 2, name
        assert not re.search(r"treat|therap|trastuzumab|eligib", page.text, re.IGNORECASE), name


def test_hostile_texts_are_shown_as_text(site: dict[str, Page]) -> None:
    page = site[f"{HOSTILE}.html"]
    assert page.tags["script"] == 0
    assert page.text.count(HOSTILE_TEXT) >= 4
    assert HOSTILE_TEXT in site[f"{FAILED}.html"].text


def test_a_scored_page_gives_score_counts_clause_and_doubts(site: dict[str, Page]) -> None:
    page = site[f"{SCORED}.html"]
    counts = counts_of(some_cells(N_CELLS))
    for text in (
        "2+",
        "HER2 equivocal",
        "ISH reflex",
        "complete weak-moderate staining in > 10 % of tumour cells",
        "18.0 % and 24.0 %",
        "10.5 percentage points",
        f"{counts.complete_weak_moderate}",
        f"{100 * counts.complete_weak_moderate / counts.total:.1f} %",
        "97.0 %",
        "nobody has confirmed it yet",
        "Focus",
        "0.93",
        "Pixel size",
    ):
        assert text in page.text, text
    assert len(page.images) == 2


def test_a_refused_page_gives_reason_and_fix(site: dict[str, Page]) -> None:
    page = site[f"{REFUSED}.html"]
    assert "No score" in page.text
    assert "No tissue found" in page.text
    assert "mark it with --regions" in page.text
    assert "None" not in page.text
    assert "Copy it again" in site[f"{FAILED}.html"].text


def test_pages_are_the_same_twice(run: Path, tmp_path: Path) -> None:
    first, second = export_html(run, tmp_path / "1"), export_html(run, tmp_path / "2")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_example_fields_come_from_the_slide_file(run: Path, tmp_path: Path) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    rng = np.random.default_rng(2)
    pixels = rng.integers(150, 240, (SIDE_PX, 4 * SIDE_PX, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(slides / f"{SCORED}.png")
    cells = some_cells(N_CELLS)
    spaced = replace(SPACING, y=SPACING.x)
    result = scored(
        SCORED, cells, path=f"slides/{SCORED}.png", mpp=0.25, spacing=SpacingBlock.of(spaced)
    )
    root = tmp_path / "run"
    write_slide(root, result, cells)
    write_results(root, [result])
    export_html(root, tmp_path / "with", fields=True, slide_root=tmp_path)
    export_html(root, tmp_path / "moved", fields=True, slide_root=tmp_path / "elsewhere")
    page = pages(tmp_path / "with")[f"{SCORED}.html"]
    assert len(page.images) == 10  # heat map, overview, four fields with and without their cells
    assert "Complete, intense: " in page.text
    assert len(pages(tmp_path / "moved")[f"{SCORED}.html"].images) == 2


def test_export_finds_the_writer_of_a_kind(run: Path, tmp_path: Path) -> None:
    written = export(run, ["html", "geojson"], tmp_path)
    assert list(written) == ["html", "geojson"]
    assert {path.parent for path in written["geojson"]} == {tmp_path / "geojson"}
    assert {path.parent for path in written["html"]} == {tmp_path / "html"}
    alone = export(run, ["geojson"], tmp_path / "alone")
    assert alone["geojson"][0].parent == tmp_path / "alone"


def test_the_default_place_is_below_the_run(tmp_path: Path) -> None:
    cells = some_cells(50)
    result = scored(SCORED, cells)
    write_slide(tmp_path, result, cells)
    write_results(tmp_path, [result])
    written = export(tmp_path, ["geojson", "html"])
    name = Pseudonyms.load(tmp_path).name("slide", SCORED)
    assert written["geojson"][0] == tmp_path / "exports" / "geojson" / f"{name}.geojson.gz"
    assert written["html"][-1] == tmp_path / "exports" / "html" / "index.html"


def test_mistakes_of_the_command_line_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown kind of export: pdff.*geojson, html"):
        export(run, ["html", "pdff"], tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(UsageError, match="no slide zz in this run"):
        export_geojson(run, tmp_path, slides=["zz"])
    with pytest.raises(UsageError, match="none of these slides has cells"):
        export_geojson(run, tmp_path, slides=[REFUSED])
    with pytest.raises(OutputError, match=r"results\.csv"):
        export(tmp_path / "nowhere", ["geojson"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        export(run, ["geojson"], tmp_path / "file" / "below")
