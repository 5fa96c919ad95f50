"""The built wheel works from an empty directory, with its assets, without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack a freshly built wheel as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy: building leaves files behind
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("pathology", "models", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, cwd=folder)
    (wheel,) = folder.glob("her2_ihc-*.whl")
    target = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run(site: Path, code: str, cwd: Path) -> str:
    # -P and the empty directory keep the checkout out; the wheel comes first on the path.
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(
        command, cwd=cwd, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_the_wheel_holds_code_and_assets_and_nothing_else(site: Path) -> None:
    tops = {path.name for path in site.iterdir()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"pathology"}
    bundled = site / "pathology" / "_bundled"
    for path in ("configs/default.yaml", "configs/guidelines/asco-cap-breast-2018.yaml"):
        assert (bundled / path).is_file()
    weights = list((bundled / "models").glob("her2-cells/*/weights.safetensors"))
    assert weights
    assert (site / "pathology" / "py.typed").is_file()
    assert list((site / "pathology" / "runs" / "schemas").glob("*.json"))
    assert list((site / "pathology" / "report" / "templates").iterdir())


def test_help_and_models_work_from_an_empty_directory(site: Path, tmp_path: Path) -> None:
    where = run(site, "import pathology; print(pathology.__file__)", tmp_path)
    assert str(site) in where
    call = "from pathology.cli import main; main([{}])"
    assert "score" in run(site, call.format("'--help'"), tmp_path)
    assert "her2-cells" in run(site, call.format("'models'"), tmp_path)
    assert "min_tumour_cells" in run(site, call.format("'config'"), tmp_path)
    assert not list(tmp_path.iterdir())
