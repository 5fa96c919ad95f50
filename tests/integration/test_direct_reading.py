"""A slide scored from its own tiles has the result that it has through OpenSlide."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))

from tiny_slides import paint

from pathology.config import load_config
from pathology.pipeline import score_slide
from pathology.synthesis.tiff import write_pyramid
from pathology.testing import FakeModel

#: What names the reader, or the configuration that asked for it.
READER = {"reader", "reader_note", "config_hash"}


def score(path: Path, out: Path, *settings: str) -> tuple[dict, dict[str, bytes]]:
    config = load_config(overrides=["scoring.bootstrap_replicates=20", *settings])
    result = score_slide(path, out_dir=out, reader=FakeModel(), config=config, slide_id="a")
    folder = out / "slides" / "a"
    tables = {name: (folder / name).read_bytes() for name in ("cells.parquet", "tiles.parquet")}
    stored = json.loads((folder / "result.json").read_bytes())
    assert stored["reader"] == result.reader
    return stored, tables


def test_result_is_the_same_and_names_its_reader(tmp_path):
    path = tmp_path / "a.tif"
    write_pyramid(path, paint(768, 640, dab=0.9), mpp=0.5, levels=3, quality=90)
    direct, direct_tables = score(path, tmp_path / "direct", "runtime.workers=3")
    slow, slow_tables = score(path, tmp_path / "slow", "reading.reader=openslide")
    assert (direct["reader"], direct["reader_note"]) == ("direct", None)
    assert (slow["reader"], slow["reader_note"]) == ("openslide", "as configured")
    assert direct["config_hash"] != slow["config_hash"]
    for name in direct.keys() - READER:
        assert direct[name] == slow[name], name
    assert direct_tables == slow_tables
    again, again_tables = score(path, tmp_path / "again", "runtime.workers=1", "runtime.cache_mb=0")
    assert (again, again_tables) == (direct, direct_tables)
    assert direct["class_counts"]["tumour"] > 0


def test_damaged_tile_fails_the_same_tile_with_the_same_words(tmp_path):
    path = tmp_path / "a.tif"
    write_pyramid(path, paint(768, 640, dab=0.9), mpp=0.5, levels=1)
    content = bytearray(path.read_bytes())
    start = content.find(b"\xff\xd8", len(content) // 2)  # a tile in the middle
    content[start : start + 2000] = bytes(2000)
    path.write_bytes(content)
    (direct, direct_tables), (slow, slow_tables) = (
        score(path, tmp_path / name, f"reading.reader={name}") for name in ("auto", "openslide")
    )
    assert (direct["reader"], slow["reader"]) == ("direct", "openslide")
    assert direct["failed_tiles"] == slow["failed_tiles"] > 0
    assert direct["warnings"] == slow["warnings"]
    assert direct_tables == slow_tables
    assert direct["status"] == slow["status"]
