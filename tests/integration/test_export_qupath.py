"""Cells for QuPath: names, frame, tiers and the script, against the tables."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from pathology.report import ExportOptions, export
from pathology.report.geojson_cells import MEASUREMENTS
from pathology.report.job import gather_job
from pathology.report.tile_summary import SUMMARY_BYTES, summary_collection
from pathology.runs import Pseudonyms, TileRow, write_tiles
from pathology.runs.outputs import WRITTEN

sys.path.insert(0, str(Path(__file__).parent))

from exporting import ORIGIN, SCORED, SPACING, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("qupath") / "run"
    write_run(root)
    return root


def files(run: Path, out: Path, **choices: Any) -> dict[str, Path]:
    found = export(run, ["geojson"], out, options=ExportOptions(**choices))["geojson"]
    assert set(out.iterdir()) == {*found, out / WRITTEN}
    return {path.name: path for path in found}


def features(path: Path) -> list[dict[str, Any]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found = json.loads(content)["features"]
    assert isinstance(found, list)
    return found


def test_coordinates_are_within_a_hundredth_of_a_micrometre(run: Path, tmp_path: Path) -> None:
    found = features(files(run, tmp_path, names=True)[f"{SCORED}.geojson.gz"])
    table = pq.read_table(run / "slides" / SCORED / "cells.parquet").to_pylist()
    angle = 2 * np.pi * np.arange(32) / 32
    for row, feature in zip(table, found, strict=True):
        ring = np.asarray(feature["geometry"]["coordinates"][0])[:-1]
        # QuPath counts from the corner of the scanned bounds.
        um = (ring + ORIGIN) * SPACING.x
        reach = np.asarray(row["outline_r"]) * 0.2
        x, y = row["x_um"] + reach * np.cos(angle), row["y_um"] + reach * np.sin(angle)
        assert np.abs(um - np.stack([x, y], axis=1)).max() < 0.01


def test_level0_coordinates_on_request(run: Path, tmp_path: Path) -> None:
    name = f"{SCORED}.geojson.gz"
    cut = features(files(run, tmp_path / "a", names=True)[name])
    whole = features(files(run, tmp_path / "b", names=True, origin="level0")[name])
    for a, b in zip(cut, whole, strict=True):
        moved = np.asarray(b["geometry"]["coordinates"]) - np.asarray(a["geometry"]["coordinates"])
        assert np.allclose(moved, ORIGIN, atol=0.011)


def test_classes_add_up_to_the_score_and_measurements_have_qupaths_names(
    run: Path, tmp_path: Path
) -> None:
    path = files(run, tmp_path, names=True)[f"{SCORED}.geojson.gz"]
    found = features(path)
    classes = Counter(f["properties"]["classification"]["name"] for f in found)
    result = gather_job(run).slides[0].result
    assert result.slide_id == SCORED
    assert classes["Tumor: 0 unstained"] == result.n_unstained
    assert classes["Tumor: 3+ complete intense"] == result.n_complete_intense
    table = pq.read_table(run / "slides" / SCORED / "cells.parquet").to_pydict()
    tumour = sum(word == "tumour" for word in table["cell_class"])
    assert classes["Tumor: not counted"] == tumour - (result.n_tumour_cells or 0)
    assert {f["properties"]["objectType"] for f in found} == {"cell"}
    measured = found[5]["properties"]["measurements"]
    assert set(measured) == {
        "Cell: Area µm^2",
        "Membrane: DAB OD mean",
        "Membrane: DAB OD mean of stained part",
        "Membrane: Completeness",
        "Cytoplasm: DAB OD median",
        "Tumor probability",
        "Cell id",
        "Tile id",
    }
    assert np.float32(measured["Membrane: DAB OD mean"]) == np.float32(table["membrane_od"][5])
    assert gzip.decompress(path.read_bytes()).isascii()


def test_the_summary_counts_what_the_tiles_count(run: Path, tmp_path: Path) -> None:
    path = files(run, tmp_path, names=True)[f"{SCORED}.summary.geojson"]
    found = features(path)
    assert len(found) == 4
    assert {f["properties"]["objectType"] for f in found} == {"tile"}
    result = gather_job(run).slides[0].result
    measured = [f["properties"]["measurements"] for f in found]
    assert sum(m["Num Tumor"] for m in measured) == result.n_tumour_cells
    assert sum(m["Num Tumor: 2+ complete"] for m in measured) == result.n_complete_weak_moderate
    assert found[0]["geometry"]["coordinates"][0][:2] == [[0, 0], [1000, 0]]


def test_the_summary_of_a_huge_slide_stays_small_and_loses_no_cell(tmp_path: Path) -> None:
    write_run(tmp_path / "run", n_cells=80)
    rows = [
        TileRow(tile_id=k, x_px=1024 * (k % 100), y_px=1024 * (k // 100), width_px=1024,
                height_px=1024, status="ok", tissue_fraction=1.0, n_cells=9, n_tumour_cells=5,
                n_unstained=3, n_complete_intense=2, mean_membrane_od=0.3)
        for k in range(100 * 100)
    ]  # fmt: skip
    write_tiles(tmp_path / "run" / "slides" / SCORED / "tiles.parquet", rows)
    slide = next(s for s in gather_job(tmp_path / "run").slides if s.source.slide_id == SCORED)
    content = summary_collection(slide, {})
    assert len(content) < SUMMARY_BYTES
    document = json.loads(content)
    assert document["properties"]["tiles_joined"] == 2
    counted = [f["properties"]["measurements"]["Num Tumor"] for f in document["features"]]
    assert sum(counted) == 5 * len(rows)


def test_the_script_knows_names_only_where_they_are_exported(run: Path, tmp_path: Path) -> None:
    named = files(run, tmp_path / "a", names=True)["import_her2.groovy"].read_text()
    assert '"Smith_Jane":"Smith_Jane-0000000001"' in named
    assert "GZIPInputStream" in named
    hidden = files(run, tmp_path / "b")
    pseudonym = Pseudonyms.load(run).name("slide", SCORED)
    assert set(hidden) == {
        f"{pseudonym}.geojson.gz",
        f"{pseudonym}.summary.geojson",
        "import_her2.groovy",
    }
    for path in hidden.values():
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert b"Smith" not in content


def test_names_of_images_cannot_break_out_of_the_script(tmp_path: Path) -> None:
    write_run(tmp_path / "run", n_cells=40, path="a'''+evil()+'''\\.png")
    script = files(tmp_path / "run", tmp_path / "out", names=True)["import_her2.groovy"].read_text()
    line = next(line for line in script.splitlines() if line.startswith("def FILES"))
    inner = line.partition("'''")[2].rpartition("'''")[0]
    assert "'" not in inner
    # Groovy takes one level of backslashes off, JSON the next.
    assert "a'''+evil()+'''\\" in json.loads(inner.replace("\\\\", "\\"))


@pytest.mark.slow
def test_a_hundred_thousand_cells_match_the_table(tmp_path: Path) -> None:
    write_run(tmp_path / "run", n_cells=100_000)
    path = files(tmp_path / "run", tmp_path / "out", names=True)[f"{SCORED}.geojson.gz"]
    content = gzip.decompress(path.read_bytes())
    table = pq.read_table(tmp_path / "run" / "slides" / SCORED / "cells.parquet")
    # GEOS reads GeoJSON on its own: no line of Python, ours or another's, is in between.
    shapes = shapely.get_parts(shapely.from_geojson(content))
    assert len(shapes) == table.num_rows == 100_000
    assert shapely.is_valid(shapes).all()
    reach = np.stack(table["outline_r"].to_numpy()) * 0.2
    angle = 2 * np.pi * np.arange(32) / 32
    x = table["x_um"].to_numpy()[:, None] + reach * np.cos(angle)
    y = table["y_um"].to_numpy()[:, None] + reach * np.sin(angle)
    rings = shapely.get_coordinates(shapes).reshape(-1, 33, 2)[:, :-1]
    assert np.abs((rings + ORIGIN) * SPACING.x - np.stack([x, y], axis=2)).max() < 0.01
    # And the numbers, by Python's own reader.
    measured = [f["properties"]["measurements"] for f in json.loads(content)["features"]]
    for name, column in MEASUREMENTS:
        found = np.array([row[name] for row in measured], dtype=np.float32)
        assert np.array_equal(found, table[column].to_numpy()), name


@pytest.mark.slow
def test_memory_of_an_export_stays_below_300_mb() -> None:
    script = Path(__file__).parents[2] / "scripts" / "benchmark_export_memory.py"
    done = subprocess.run(
        [sys.executable, str(script), "--cells", "100000"],
        capture_output=True,
        text=True,
        check=True,
    )
    peak = float(done.stdout.partition("peak memory ")[2].split()[0])
    assert peak < 300
