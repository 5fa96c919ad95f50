"""Write files so that a file that exists is complete, whatever kills the program.

A file is written under a temporary name in its own folder, synced, renamed over its final name,
and the folder is synced. A kill leaves the old file, the new file, or a temporary name that no
reader looks at and that the next run removes.

Files that count only together are made durable together, just before the last of them, which says
that the others are there, gets its name: a disk that is told so all at once is waited for once.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pathology.errors import OutputError, ReasonCode, SlideError
from pathology.runs.processes import machine_tag

__all__ = [
    "TEMP_MARK",
    "AtomicFile",
    "atomic_write_bytes",
    "disk_errors",
    "is_temporary",
    "make_folder",
    "output_errors",
    "remove_temporary",
    "sync_folder",
    "temporary_of",
]

#: Part of every temporary name; no other file of a run folder carries it.
TEMP_MARK = ".her2-tmp-"
# "No space", "quota exceeded" and "file too large for the medium" have the same remedy.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_temporary(name: str) -> bool:
    """Tell whether a file name is that of an unfinished file of ours.

    Examples
    --------
    >>> is_temporary(".cells.parquet.her2-tmp-4711"), is_temporary("cells.parquet")
    (True, False)
    """
    return name.startswith(".") and TEMP_MARK in name


def temporary_of(path: Path) -> Path:
    """Return the name beside a file under which this process writes it.

    Examples
    --------
    >>> is_temporary(temporary_of(Path("out/cells.parquet")).name)
    True
    """
    return path.with_name(f".{path.name}{TEMP_MARK}{_process_tag()}")


def remove_temporary(folder: Path) -> int:
    """Remove the unfinished files of a folder, not of the folders in it.

    Returns
    -------
    int
        How many there were.

    Raises
    ------
    SlideError
        If one cannot be removed.
    """
    if not folder.is_dir():
        return 0
    left = [entry for entry in folder.iterdir() if is_temporary(entry.name)]
    with disk_errors(folder):
        for entry in left:
            entry.unlink(missing_ok=True)
    return len(left)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an operating-system error while writing into one that names the file and the fix.

    Parameters
    ----------
    path
        The file or folder that is written.

    Raises
    ------
    SlideError
        With the reason ``disk_full`` or ``output_not_writable``.

    Examples
    --------
    >>> with disk_errors(Path("out/cells.parquet")):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    pathology.errors.SlideError: out/cells.parquet: the disk is full. Free some space, then ...
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise SlideError(
                f"{path}: the disk is full",
                reason=ReasonCode.DISK_FULL,
                fix="Free some space, then give the same command again: it goes on.",
            ) from error
        raise SlideError(
            f"{path}: cannot be written ({error.strerror or error})",
            reason=ReasonCode.OUTPUT_NOT_WRITABLE,
            fix="Check that the output folder exists and may be written.",
        ) from error


@contextmanager
def output_errors() -> Iterator[None]:
    """Turn what cannot be written of one slide into what ends the command: files of a whole run.

    Raises
    ------
    OutputError
        In place of a SlideError, with its text.

    Examples
    --------
    >>> with output_errors(), disk_errors(Path("out/results.csv")):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    pathology.errors.OutputError: out/results.csv: the disk is full. Free some space, then ...
    """
    try:
        yield
    except SlideError as error:
        raise OutputError(error.message, fix=error.fix) from error


def make_folder(folder: Path, *, fix: str) -> None:
    """Make a folder for output and those above it, where they are missing.

    Parameters
    ----------
    folder
        The folder.
    fix
        What to do where it cannot be made.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror or error})", fix=fix
        ) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (no-op on Windows, which has no such call).

    Raises
    ------
    OSError
        If the folder cannot be synced.
    """
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_together(paths: Sequence[Path]) -> None:
    """Make the contents of files, and the names in folders, durable, all at the same time.

    Raises
    ------
    SlideError
        If one of them cannot be synced.
    """
    with ThreadPoolExecutor(max_workers=len(paths), thread_name_prefix="sync") as pool:
        waiting = [(path, pool.submit(_sync, path)) for path in paths]
    for path, done in waiting:
        with disk_errors(path):
            done.result()


def _sync(path: Path) -> None:
    if path.is_dir():
        sync_folder(path)
        return
    # Windows syncs only what was opened for writing.
    handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _process_tag() -> str:
    """Name this process; two machines that share a folder may have equal process numbers."""
    return f"{machine_tag()}-{os.getpid()}"


class AtomicFile:
    """Write one file that appears under its name only when it is complete.

    Use it in a ``with`` block: a block that ends normally publishes the file, a block that raises
    leaves no trace of it and an older file of that name as it was.

    Parameters
    ----------
    path
        Final name; its folder must exist.
    sync
        False leaves it to the caller to make the file and its name durable before anything says
        that it is there (``after`` of :meth:`commit`): until then a power cut may take it away, or
        leave it empty. No kill does.
    admit
        Called with the final and the temporary name, once the content is whole and before it gets
        its name; where it raises, the file is discarded.

    Raises
    ------
    SlideError
        If the file cannot be created, written or renamed (``disk_full``, ``output_not_writable``).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with AtomicFile(Path(folder) / "a.txt") as file:
    ...         _ = file.stream.write(b"abc")
    ...     (Path(folder) / "a.txt").read_bytes()
    b'abc'
    """

    def __init__(
        self,
        path: Path,
        *,
        sync: bool = True,
        admit: Callable[[Path, Path], object] | None = None,
    ) -> None:
        self.path = path
        self._synced = sync
        self._admit = admit
        self._temporary = temporary_of(path)
        self._stream: BinaryIO | None = None
        # Exclusive creation does not follow a link that someone left under this name.
        with disk_errors(path):
            self._temporary.unlink(missing_ok=True)
            self._stream = self._temporary.open("xb")

    @property
    def stream(self) -> BinaryIO:
        """The open binary file to write to.

        Raises
        ------
        ValueError
            If the file was committed or discarded.
        """
        if self._stream is None:
            raise ValueError(f"{self.path}: the file is closed")
        return self._stream

    def commit(self, *, after: Sequence[Path] = ()) -> None:
        """Sync and rename, then sync the folder; leaves no temporary file if that fails.

        Parameters
        ----------
        after
            Files and folders that must be durable before this file has its name; they are synced
            at the same time as its content.

        Raises
        ------
        SlideError
            If the disk is full or the folder cannot be written.
        """
        stream = self.stream
        try:
            with disk_errors(self.path):
                stream.flush()
                if self._synced and not after:
                    os.fsync(stream.fileno())
                stream.close()
            if after:
                _sync_together([self._temporary, *after])
            with disk_errors(self.path):
                if self._admit is not None:
                    self._admit(self.path, self._temporary)
                self._temporary.replace(self.path)
                if self._synced:
                    sync_folder(self.path.parent)
        except BaseException:
            self.discard()
            raise
        self._stream = None

    def discard(self) -> None:
        """Close and remove the unfinished file; nothing to do where there is none."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        try:
            stream.close()
        except OSError:
            # A full disk refuses the buffered rest again; the file goes anyway.
            pass
        finally:
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Publish the file, if the block has not, or remove it where the block raised."""
        if kind is not None:
            self.discard()
        elif self._stream is not None:
            self.commit()


def atomic_write_bytes(
    path: Path, content: bytes, *, sync: bool = True, after: Sequence[Path] = ()
) -> None:
    """Write a whole file at once.

    Parameters
    ----------
    path
        Final name; its folder must exist.
    content
        All bytes of the file.
    sync
        As for :class:`AtomicFile`.
    after
        As for :meth:`AtomicFile.commit`.

    Raises
    ------
    SlideError
        If the disk is full or the folder cannot be written.
    """
    with AtomicFile(path, sync=sync) as file:
        with disk_errors(path):
            file.stream.write(content)
        file.commit(after=after)
