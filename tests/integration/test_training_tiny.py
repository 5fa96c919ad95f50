"""The first steps of the documentation: from nothing to a model that scores a slide."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pathology.assets import config_path
from pathology.synthesis import SlideSpec, render_slide, write_slide
from pathology.training.engine.journal import LOG_FILE

#: From nothing to a bundle on two cores, in seconds.
LIMIT_S = 15 * 60


def her2(*words: str | Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from pathology.cli import main; main(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=3000,
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_from_nothing_to_a_model_that_scores(tmp_path: Path) -> None:
    out = tmp_path / "trained"
    begun = time.monotonic()
    config = config_path("training/tiny.yaml")
    done = her2("train", "--config", config, "--out", out, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < LIMIT_S
    bundle = Path(done.stdout.strip())
    assert bundle == out / "tiny-cells" / "0.0.1"
    log = bundle.with_name("0.0.1.training") / LOG_FILE
    assert '"held_out"' in log.read_text(encoding="utf-8")
    manifest = yaml.safe_load((bundle / "model.yaml").read_text(encoding="utf-8"))
    assert 0 < manifest["training"]["weights_of_step"] <= manifest["training"]["settings"]["steps"]

    slide = tmp_path / "slide.tif"
    write_slide(render_slide(SlideSpec(score="3+", piece_mm=1.0), 5), slide)
    scored = her2("score", slide, "--out", tmp_path / "results", "--model", bundle)
    assert scored.returncode == 0, scored.stderr
    with (tmp_path / "results" / "results.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["model"] == "tiny-cells/0.0.1"
    # Of some use: it finds the tumour of a slide that is brown all over, and does not call it low.
    assert row["status"] == "scored", row["reasons"]
    assert row["ihc_score"] in {"2+", "3+"}


def test_other_settings_are_refused_before_the_first_step(tmp_path: Path) -> None:
    brief = (
        "--set=steps=1", "--set=batch=1", "--set=warmup_steps=0", "--set=measure_fields=1",
        "--set=holdout_fields=2", "--set=field_px=128", "--set=workers=0", "--set=threads=1",
        "--set=sources=[{kind: synthetic, fields: 1}]",
    )  # fmt: skip
    words = ["train", "--config", config_path("training/tiny.yaml"), "--out", tmp_path]
    words += ["--device", "cpu", *brief]
    first = her2(*words)
    assert first.returncode == 0, first.stderr
    checkpoint = tmp_path / "tiny-cells" / "0.0.1.training" / "checkpoint.safetensors"
    before = checkpoint.read_bytes()
    # Once its bundle is there, name and version are taken; before, its checkpoint is in the way.
    taken = her2(*words, "--set=network={class_width: 12}")
    assert taken.returncode == 2
    assert "a model of other settings" in taken.stderr
    assert "--set version" in taken.stderr
    shutil.rmtree(tmp_path / "tiny-cells" / "0.0.1")
    wider = her2(*words, "--set=network={class_width: 12}")
    assert wider.returncode == 2
    assert "network is" in wider.stderr
    assert "--no-resume" in wider.stderr
    assert wider.stdout == ""
    assert checkpoint.read_bytes() == before
