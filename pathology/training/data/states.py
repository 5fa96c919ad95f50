"""Tell one state of the data of a training from another: the generator's, and a user's folders'."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import pathology.stain
import pathology.synthesis
from pathology.config import load_config
from pathology.training.specs import SourceSpec, SyntheticSpec

__all__ = ["data_state", "folder_hash", "generator_hash"]

_DIGITS = 16
#: Files up to this size are hashed whole: tables and drawings. Of images, name and size stand for
#: the content: a set of patches holds gigabytes, and its files are made once.
_WHOLE_BYTES = 64 * 1024


@lru_cache(maxsize=1)
def generator_hash() -> str:
    """Return the hash (16 hex digits) of all that procedural tissue is drawn and measured by.

    That is the source code of the generator and of the stains, and the default settings of stain
    and measurement.

    Examples
    --------
    >>> len(generator_hash())
    16
    """
    digest = hashlib.sha256()
    for package in (pathology.synthesis, pathology.stain):
        for path in sorted(Path(str(package.__file__)).parent.glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    config = load_config()
    for settings in (config.stain, config.measurement):
        digest.update(settings.model_dump_json().encode())
    return digest.hexdigest()[:_DIGITS]


def folder_hash(path: Path) -> str:
    """Return the hash (16 hex digits) of the files below a folder, or of one file.

    Parameters
    ----------
    path
        A file, or a folder with its subfolders. Small files (tables, drawings) count with their
        content, others with name and size.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     before = folder_hash(Path(folder))
    ...     _ = Path(folder, "labels.csv").write_text("file,label")
    ...     before == folder_hash(Path(folder))
    False
    """
    digest = hashlib.sha256()
    for file in sorted(_files(path)):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(path).as_posix()}\0{size}\0".encode(errors="replace"))
        if size <= _WHOLE_BYTES:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:_DIGITS]


def data_state(specs: Iterable[SourceSpec]) -> str:
    """Say in one line what the examples of a training are made from.

    Parameters
    ----------
    specs
        The sources of the training.

    Returns
    -------
    str
        Hash of the generator where there are procedural fields; name and hash of each folder.

    Examples
    --------
    >>> data_state([SyntheticSpec(fields=8)]) == f"generator {generator_hash()}"
    True
    """
    states = []
    for spec in specs:
        if isinstance(spec, SyntheticSpec):
            states.append(f"generator {generator_hash()}")
            continue
        states.append(f"{spec.path.name} {folder_hash(spec.path)}")
        images = getattr(spec, "images", None)
        if images is not None:
            states.append(f"{images.name} {folder_hash(images)}")
    return ", ".join(dict.fromkeys(states))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
