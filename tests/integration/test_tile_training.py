"""From nothing to a tile classifier that scores a slide and is exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pathology.assets import config_path
from pathology.batch import score_folder
from pathology.config import load_config
from pathology.inference import TileEngine, TileManifest, load_bundle, load_model, verify_golden
from pathology.report import export
from pathology.synthesis import SlideSpec, render_slide, write_slide
from pathology.training.config import load_training_config
from pathology.training.run import train_bundle

pytestmark = pytest.mark.slow

FEW_STEPS = (
    "sources=[{kind: synthetic, fields: 40}]",
    "steps=30",
    "warmup_steps=5",
    "measure_every=30",
    "measure_fields=4",
    "holdout_fields=4",
    "workers=0",
    "threads=1",
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = load_training_config(config_path("training/tiles.yaml"), FEW_STEPS)
    out = tmp_path_factory.mktemp("trained")
    found = train_bundle(config, out, cache=out / "cache", device="cpu")
    assert found is not None
    return found


@pytest.mark.timeout(1800)
def test_a_trained_bundle_is_whole(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    assert isinstance(loaded.manifest, TileManifest)
    assert verify_golden(loaded) <= 1e-4
    card = (bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Classes: macro-F1" in card
    assert "Research use only" in card
    assert isinstance(load_model(bundle), TileEngine)
    assert all(torch.isfinite(value).all() for value in loaded.network.state_dict().values())


@pytest.mark.timeout(1800)
def test_it_scores_a_slide_and_is_exported(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    slide = render_slide(SlideSpec(score="3+", piece_mm=1.0, tumour_share=0.9), 3)
    write_slide(slide, tmp_path / "slides" / "a.tif")
    (result,) = score_folder(
        [tmp_path / "slides"],
        tmp_path / "out",
        model=bundle,
        device="cpu",
        config=load_config(overrides=["inference.cpu_threads=1"]),
    )
    assert result.status in ("scored", "not_scorable")
    assert result.model == "tiny-tiles/0.0.1"
    assert "tile_model" in result.flags
    assert result.tiles > 40
    written = export(tmp_path / "out", ["geojson", "html"])
    names = {path.name.split("-")[0] for path in written["geojson"]}
    assert names == {"slide", "import_her2.groovy"}
    assert len(written["html"]) == 2
