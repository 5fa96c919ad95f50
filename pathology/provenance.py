"""What a result was made from: files by size, time and hash; programs by version."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pathology.errors import ReasonCode, SlideError

__all__ = ["PACKAGES", "SlideIdentity", "file_identity", "sha256_file", "versions"]

#: Distributions whose version can change a result or the bytes of an output file.
PACKAGES: tuple[str, ...] = (
    "her2-ihc",
    "numpy",
    "openslide-bin",
    "openslide-python",
    "pillow",
    "pyarrow",
    "pydantic",
    "safetensors",
    "scikit-image",
    "scipy",
    "shapely",
    "tifffile",
    "torch",
    "torchvision",
)
#: Bytes hashed at a time: large enough that the loop costs nothing beside SHA-256.
_CHUNK = 1 << 20


class SlideIdentity(BaseModel):
    """Tell one state of a slide from any other, without reading its pixels.

    Parameters
    ----------
    size
        Bytes of the file and its companion files together.
    mtime_ns
        Time of the last change of any of them, nanoseconds since 1970.
    quickhash
        OpenSlide's quickhash-1, or the reader's hash of the content; None where the slide was not
        opened.
    inputs_sha256
        SHA-256 (hex) of what else the slide's result was made from: a pixel size or metadata from
        a manifest, the content of its region file; None where there is nothing of the kind.

    Examples
    --------
    >>> old = SlideIdentity(size=10, mtime_ns=5, quickhash="ab")
    >>> old.matches(SlideIdentity(size=10, mtime_ns=5, quickhash="ab"))
    True
    >>> old.matches(SlideIdentity(size=10, mtime_ns=6, quickhash="ab"))
    False
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    size: Annotated[int, Field(ge=0)]
    mtime_ns: int
    quickhash: Annotated[str, Field(min_length=1)] | None = None
    inputs_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None

    def matches(self, now: SlideIdentity) -> bool:
        """Tell whether this recorded identity is that of the slide as it is now.

        Parameters
        ----------
        now
            The slide's present identity. Without a ``quickhash`` (the slide was not opened, which
            on a folder of ten thousand saves hours) size, time and inputs decide alone.

        Returns
        -------
        bool
            False as soon as one property differs.
        """
        if now.quickhash is not None and now.quickhash != self.quickhash:
            return False
        return (
            self.size == now.size
            and self.mtime_ns == now.mtime_ns
            and self.inputs_sha256 == now.inputs_sha256
        )


def file_identity(
    path: Path,
    *,
    companions: Iterable[Path] = (),
    quickhash: str | None = None,
    inputs_sha256: str | None = None,
) -> SlideIdentity:
    """Take the identity of a slide from its file and the files that belong to it.

    Parameters
    ----------
    path
        The slide's file, or a folder that is one slide. The data folder of a MIRAX slide
        (``x.mrxs`` and ``x/``) is included by itself.
    companions
        Further files or folders of the same slide, such as the other instances of a DICOM series.
    quickhash, inputs_sha256
        Passed on; see :class:`SlideIdentity`.

    Returns
    -------
    SlideIdentity
        Total size in bytes and latest change.

    Raises
    ------
    SlideError
        If a file is missing or may not be read (``file_missing``, ``permission_denied``,
        ``unreadable``).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.svs"
    ...     _ = path.write_bytes(b"1234")
    ...     file_identity(path).size
    4
    """
    roots = [path, *companions]
    data_folder = path.with_suffix("")
    if path.suffix.lower() == ".mrxs" and data_folder.is_dir():
        roots.append(data_folder)
    size, mtime_ns = 0, 0
    try:
        for file in sorted({file for root in roots for file in _files(root)}):
            entry = file.stat()
            size += entry.st_size
            mtime_ns = max(mtime_ns, entry.st_mtime_ns)
    except OSError as error:
        raise _slide_error(path, error) from error
    return SlideIdentity(
        size=size, mtime_ns=mtime_ns, quickhash=quickhash, inputs_sha256=inputs_sha256
    )


def sha256_file(path: Path) -> str:
    """Hash the content of a file.

    Parameters
    ----------
    path
        Any file; read in pieces, so that its size does not matter.

    Returns
    -------
    str
        SHA-256 as 64 lower-case hexadecimal digits.

    Raises
    ------
    OSError
        If the file cannot be read: the caller knows what the file is for, and names the fix.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "empty"
    ...     _ = path.write_bytes(b"")
    ...     sha256_file(path)[:12]
    'e3b0c44298fc'
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Collect the versions of Python, the platform and the packages that results depend on.

    Packages are looked up by their metadata and not imported, so that nothing heavy is loaded.

    Returns
    -------
    dict of str to str
        ``python``, ``platform``, ``machine``, then one entry for each of :data:`PACKAGES`;
        ``absent`` where a package is not installed.

    Examples
    --------
    >>> sorted(versions())[:2]
    ['her2-ihc', 'machine']
    """
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
    }
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _files(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        yield root
        return
    for folder, _, names in os.walk(root):
        for name in names:
            yield Path(folder) / name


def _slide_error(path: Path, error: OSError) -> SlideError:
    if isinstance(error, FileNotFoundError):
        return SlideError(
            f"{path}: there is no such file",
            reason=ReasonCode.FILE_MISSING,
            fix="Check the path; a link may point to a file that was moved.",
        )
    if isinstance(error, PermissionError):
        return SlideError(
            f"{path}: reading is not permitted",
            reason=ReasonCode.PERMISSION_DENIED,
            fix="Give the user who runs the program the right to read it.",
        )
    return SlideError(
        f"{path}: cannot be read ({error.strerror or error})", reason=ReasonCode.UNREADABLE
    )
