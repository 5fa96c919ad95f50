"""The data of a training has a state that changes with what is drawn or read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathology.config import load_config
from pathology.training.data import states
from pathology.training.data.states import data_state, folder_hash, generator_hash
from pathology.training.specs import PatchesSpec, QuPathCellsSpec, SyntheticSpec


def _patches(folder: Path) -> Path:
    (folder / "1+").mkdir(parents=True)
    (folder / "1+" / "a.png").write_bytes(b"picture")
    (folder / "labels.csv").write_text("file,label\na.png,1+\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("change", ["label", "new", "gone", "name", "large"])
def test_a_folder_s_hash_changes_with_its_files(change: str, tmp_path: Path) -> None:
    folder = _patches(tmp_path / "set")
    before = folder_hash(folder)
    assert folder_hash(folder) == before
    if change == "label":
        (folder / "labels.csv").write_text("file,label\na.png,2+\n", encoding="utf-8")
    elif change == "new":
        (folder / "1+" / "b.png").write_bytes(b"picture")
    elif change == "gone":
        (folder / "1+" / "a.png").unlink()
    elif change == "name":
        (folder / "1+").rename(folder / "2+")
    else:
        (folder / "1+" / "a.png").write_bytes(bytes(100_000))
    assert folder_hash(folder) != before


def test_the_place_of_a_folder_does_not_count(tmp_path: Path) -> None:
    one, two = _patches(tmp_path / "here"), _patches(tmp_path / "there")
    assert folder_hash(one) == folder_hash(two)


def test_the_state_names_each_source_once(tmp_path: Path) -> None:
    patches = PatchesSpec(path=_patches(tmp_path / "patches"), mpp=0.5)
    drawn, images = tmp_path / "drawn.geojson", tmp_path / "images"
    drawn.write_text("{}", encoding="utf-8")
    images.mkdir()
    cells = QuPathCellsSpec(path=drawn, images=images)
    generator = SyntheticSpec(fields=3)
    state = data_state([generator, patches, generator.model_copy(update={"seed": 9}), cells])
    names = [part.split()[0] for part in state.split(", ")]
    assert names == ["generator", "patches", "drawn.geojson", "images"]
    (images / "slide.tif").write_bytes(b"x")
    assert data_state([cells]) not in state


def test_measured_truth_depends_on_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field drawn under other stain vectors or cut-offs is not taken from the cache."""
    before = generator_hash()
    config = load_config()
    other = config.model_copy(
        update={"measurement": config.measurement.model_copy(update={"ray_tolerance_um": 0.123})}
    )
    monkeypatch.setattr(states, "load_config", lambda: other)
    generator_hash.cache_clear()
    assert generator_hash() != before
    monkeypatch.undo()
    generator_hash.cache_clear()
    assert generator_hash() == before
