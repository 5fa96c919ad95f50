"""``her2 models`` and ``her2 doctor`` name both kinds of model, and say what is broken."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pathology.cli import doctor as doctors
from pathology.cli.app import app
from pathology.config import load_config
from pathology.inference.manifest import (
    ModelInput,
    ModelManifest,
    NetworkSpec,
    StainVectors,
    TileInput,
    TileManifest,
)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of one model of each kind; listing reads no more than manifest and hash."""
    content, stain = b"weights", load_config().stain
    common = {
        "version": "1.0.0",
        "stain": StainVectors(haematoxylin=stain.haematoxylin, dab=stain.dab),
        "licence": "Apache-2.0",
        "intended_use": "Tests.",
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    cells = ModelManifest(
        name="some-cells",
        network=NetworkSpec(name="cellnet"),
        input=ModelInput(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64),
        **common,  # type: ignore[arg-type]
    )
    tiles = TileManifest(
        name="some-tiles",
        outputs="scores",
        network=NetworkSpec(name="tilenet"),
        input=TileInput(mpp=0.25, tile_px=256),
        **common,  # type: ignore[arg-type]
    )
    for manifest in (cells, tiles):
        folder = tmp_path / manifest.name / manifest.version
        folder.mkdir(parents=True)
        (folder / "model.yaml").write_text(manifest.to_yaml(), encoding="utf-8")
        (folder / "weights.safetensors").write_bytes(content)
    monkeypatch.setattr("pathology.assets.models_dir", lambda: tmp_path)
    return tmp_path


def test_both_kinds_are_listed(models: Path) -> None:
    done = CliRunner().invoke(app, ["models"])
    assert done.exit_code == 0, done.output
    cells, tiles = done.output.splitlines()
    assert cells.startswith("some-cells/1.0.0  ok  cells  sha256 ")
    assert cells.endswith("0.5 µm/px")
    assert tiles.startswith("some-tiles/1.0.0  ok  tiles  sha256 ")
    assert tiles.endswith("0.25 µm/px, tiles of 256 px")


def test_a_broken_one_is_named(models: Path) -> None:
    (models / "some-tiles/1.0.0/weights.safetensors").write_bytes(b"other")
    done = CliRunner().invoke(app, ["models"])
    assert done.exit_code == 1
    assert "some-cells/1.0.0  ok" in done.output
    assert "some-tiles/1.0.0  PROBLEM" in done.output
    checks = list(doctors._models())
    assert [check.ok for check in checks] == [True, False]
    assert "(cells)" in checks[0].text
