from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pathology

ROOT = Path(__file__).parents[2]


def test_the_package_list_is_what_lies_on_the_disk() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(settings["tool"]["setuptools"]["packages"])
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "pathology").rglob("__init__.py")
    }
    assets = {"pathology._bundled.configs", "pathology._bundled.models"}
    assert listed == on_disk | assets


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, pathology; "
        "heavy = {'torch', 'numpy', 'openslide', 'matplotlib'} & set(sys.modules); "
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_face_resolves() -> None:
    for name in pathology.__all__:
        assert getattr(pathology, name)


def test_the_lock_pins_every_requirement_with_a_hash() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert pins
    assert all("==" in pin and pin.endswith("\\") for pin in pins)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = {pin.split("==")[0].split("[")[0].strip().lower() for pin in pins}
    for requirement in settings["project"]["dependencies"]:
        assert requirement.split(">=")[0].split("==")[0].lower() in names
