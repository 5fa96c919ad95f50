"""``her2 models``: the bundled models and whether they are intact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from pathology.cli.status import EXIT_FAILED_SLIDES

if TYPE_CHECKING:
    from pathology.batch import BundleFactory

__all__ = ["check_models", "models"]


def models() -> None:
    """List the bundled models with their kind, and the check of their weights' SHA-256."""
    found = check_models()
    for name, checked in found:
        if isinstance(checked, str):
            print(f"{name}  PROBLEM  {checked}")
        else:
            seen = f"{checked.spec.mpp:g} µm/px"
            if checked.spec.tile_px is not None:
                seen += f", tiles of {checked.spec.tile_px} px"
            print(f"{name}  ok  {checked.kind}  sha256 {checked.sha256}  {seen}")
    if not found:
        print("no bundled models")
    if not found or any(isinstance(checked, str) for _, checked in found):
        raise typer.Exit(EXIT_FAILED_SLIDES)


def check_models() -> list[tuple[str, BundleFactory | str]]:
    """Check all bundled models; the second of each pair says what is wrong, if something is."""
    from pathology.assets import models_dir
    from pathology.batch import BundleFactory
    from pathology.errors import ModelError
    from pathology.inference.manifest import MANIFEST_FILE

    checked: list[tuple[str, BundleFactory | str]] = []
    for path in sorted(models_dir().glob(f"*/*/{MANIFEST_FILE}")):
        name = "/".join(path.parent.parts[-2:])
        try:
            checked.append((name, BundleFactory.of(path.parent)))
        except ModelError as error:
            checked.append((name, str(error)))
    return checked
