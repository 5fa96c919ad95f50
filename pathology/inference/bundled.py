"""Find models: folders of the user, and those that come with the package; works without torch."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pathology.assets import models_dir
from pathology.errors import ModelError
from pathology.inference.manifest import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    AnyManifest,
    read_manifest,
)

__all__ = ["DEFAULT_MODEL", "find_model", "list_models", "read_weights"]

#: The model that is used where none is named.
DEFAULT_MODEL = "her2-cells"

_VERSION = re.compile(r"\d+\.\d+\.\d+")


def find_model(name_or_dir: str | Path) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    name_or_dir
        A folder that holds ``model.yaml``; or the name of a bundled model, for its newest version;
        or ``name/version``.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ModelError
        If there is no such model; lists those that there are.
    """
    folder = Path(name_or_dir)
    if (folder / MANIFEST_FILE).is_file():
        return folder
    name, _, version = str(name_or_dir).partition("/")
    versions = _bundled().get(name, {})
    if versions and not version:
        return versions[max(versions)]
    if _VERSION.fullmatch(version) and _number(version) in versions:
        return versions[_number(version)]
    known = ", ".join(f"{name}/{path.name}" for name, path in _all_bundled()) or "none"
    raise ModelError(
        f"no model {str(name_or_dir)!r}: neither a folder with {MANIFEST_FILE} nor a bundled model",
        fix=f"Bundled models: {known}.",
    )


def list_models() -> list[AnyManifest]:
    """Return the manifests of all bundled models, by name and then version, oldest first.

    Raises
    ------
    ModelError
        If a bundled manifest is not valid.

    Examples
    --------
    >>> {manifest.kind for manifest in list_models()} <= {"cells", "tiles"}
    True
    """
    return [read_manifest(path) for _, path in _all_bundled()]


def read_weights(directory: Path, manifest: AnyManifest) -> bytes:
    """Read the weights of a bundle, and check them.

    Parameters
    ----------
    directory
        The bundle's folder.
    manifest
        Its manifest, which says what the weights' hash has to be.

    Returns
    -------
    bytes
        The file, whose hash is that of the manifest.

    Raises
    ------
    ModelError
        If it cannot be read, or has been changed.
    """
    path = directory / WEIGHTS_FILE
    bundled = directory.absolute().is_relative_to(models_dir().absolute())
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror or error})",
            fix="Reinstall her2-ihc." if bundled else "Copy the model's folder again, whole.",
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.weights_sha256:
        own = "write the bundle again with `her2 train`"
        raise ModelError(
            f"{path}: the weights have been changed: their SHA-256 is {digest[:12]}…, and "
            f"{MANIFEST_FILE} says {manifest.weights_sha256[:12]}…",
            fix=f"Restore the file, or {'reinstall her2-ihc' if bundled else own}.",
        )
    return content


def _all_bundled() -> list[tuple[str, Path]]:
    return [
        (name, path)
        for name, versions in _bundled().items()
        for _, path in sorted(versions.items())
    ]


def _bundled() -> dict[str, dict[tuple[int, ...], Path]]:
    """Return the folders of all bundled models by name and version."""
    found: dict[str, dict[tuple[int, ...], Path]] = {}
    for path in sorted(models_dir().glob(f"*/*/{MANIFEST_FILE}")):
        folder = path.parent
        if _VERSION.fullmatch(folder.name):
            found.setdefault(folder.parent.name, {})[_number(folder.name)] = folder
    return found


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
