"""The folder given as ``--out``: a command writes over what it wrote itself, and nothing else.

What a command wrote is known by its content: the SHA-256 of every file goes into a list in the
folder before the file gets its name. A file that somebody put there, or changed, is not in the
list, whatever it is called. The list holds no names, because a list that outlives a file would give
away the names of slides that were taken out before the folder was handed on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from pathology.errors import OutputError
from pathology.provenance import sha256_file
from pathology.runs.atomic import (
    AtomicFile,
    disk_errors,
    make_folder,
    output_errors,
    sync_folder,
    temporary_of,
)

__all__ = ["WRITTEN", "OutputFolder"]

#: Name of the list; hidden, as it is of no use to a person.
WRITTEN: Final = ".her2-files"
_HEAD: Final = b"# SHA-256 of what her2 wrote in this folder. Other files are never written over.\n"
_ANOTHER_OUT: Final = "Name a folder that you may write to with --out."


class OutputFolder:
    """Write files into a folder that may hold files of others, and keep those.

    Parameters
    ----------
    path
        The folder; made with the first file.
    command
        Who writes, such as ``her2 export``; what other commands wrote is kept as well.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = OutputFolder(Path(folder) / "study", command="her2 cohort")
    ...     _ = study.write("flow.csv", b"1")
    ...     study.write("flow.csv", b"2").read_bytes()
    b'2'
    """

    def __init__(self, path: Path, *, command: str) -> None:
        self.path = path
        self.command = command
        self._known: set[str] | None = None
        # Between a line that a power cut tore and the next one.
        self._gap = b""

    def check(self, names: Iterable[str]) -> None:
        """Refuse before any work what would be refused after it.

        Parameters
        ----------
        names
            Of files that will be written, below the folder, with ``/``.

        Raises
        ------
        OutputError
            If one is there that the command did not write; names it.
        """
        for name in names:
            path = self.path / name
            if os.path.lexists(path) and not self.owns(name):
                raise self._refusal(path)

    def owns(self, name: str) -> bool:
        """Tell whether a file is there as the command wrote it.

        Raises
        ------
        OutputError
            If the list of the folder cannot be read.
        """
        digest = _digest(self.path / name)
        if digest is None:
            return False
        if digest not in self._digests():
            # Another process may have written it meanwhile.
            self._known = None
        return digest in self._digests()

    def open(self, name: str) -> AtomicFile:
        """Begin a file; it is refused when it is complete, if another one is in its place.

        Parameters
        ----------
        name
            Below the folder, with ``/``.

        Returns
        -------
        AtomicFile
            To write to; raises OutputError at its end where another file is in its place.

        Raises
        ------
        OutputError
            If its folder cannot be made.
        SlideError
            If it cannot be created.
        """
        return AtomicFile(self._place(name), admit=self._admit)

    def write(self, name: str, content: bytes) -> Path:
        """Write a whole file at once.

        Parameters
        ----------
        name
            Below the folder, with ``/``.
        content
            All bytes of the file.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        OutputError
            If its folder cannot be made, or a file is there that the command did not write.
        SlideError
            If the disk is full or the folder cannot be written.
        """
        with self.open(name) as file, disk_errors(file.path):
            file.stream.write(content)
        return file.path

    def put(self, name: str, make: Callable[[Path], None]) -> Path:
        """Write a file that only a function can write; one with the same bytes is left alone.

        Parameters
        ----------
        name
            Below the folder, with ``/``.
        make
            Writes the file under the name that it is called with.

        Returns
        -------
        pathlib.Path
            The file. Its time of change is kept where its bytes are the same, so that results made
            from it still count.

        Raises
        ------
        OutputError
            If it cannot be written, or a file is there that the command did not write.
        """
        path = self._place(name)
        temporary = temporary_of(path)
        with output_errors(), disk_errors(path):
            try:
                make(temporary)
                if not self._admit(path, temporary):
                    temporary.replace(path)
                    sync_folder(path.parent)
            finally:
                temporary.unlink(missing_ok=True)
        return path

    def _place(self, name: str) -> Path:
        path = self.path / name
        make_folder(path.parent, fix=_ANOTHER_OUT)
        return path

    def _admit(self, path: Path, complete: Path) -> bool:
        """Let a file have its name, or refuse; tells whether it is there already, byte for byte."""
        digest = sha256_file(complete)
        same = False
        if os.path.lexists(path):
            same = _digest(path) == digest
            if not same and not self.owns(path.relative_to(self.path).as_posix()):
                raise self._refusal(path)
        # Before the file has its name: a kill in between leaves a line too many, which is no harm.
        self._note(digest)
        return same

    def _note(self, digest: str) -> None:
        """Add to the list; not synced: a line lost in a power cut keeps a file, it costs none."""
        known = self._digests()
        if digest in known:
            return
        with disk_errors(self._list), self._list.open("ab", buffering=0) as file:
            head = self._gap if file.tell() else _HEAD
            file.write(head + f"{digest}  {self.command}\n".encode())
        self._gap = b""
        known.add(digest)

    @property
    def _list(self) -> Path:
        return self.path / WRITTEN

    def _digests(self) -> set[str]:
        """Return the digests of what the command wrote, from the list where it was not read yet."""
        if self._known is None:
            content = self._read()
            self._gap = b"" if content.endswith(b"\n") else b"\n"
            lines = (
                line.partition("  ") for line in content.decode("utf-8", "replace").split("\n")
            )
            self._known = {digest for digest, _, command in lines if command == self.command}
        return self._known

    def _read(self) -> bytes:
        try:
            content = self._list.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise OutputError(
                f"{self._list}: cannot be read ({error.strerror or error})",
                fix="Make it readable, or name another folder with --out.",
            ) from error
        if content and not content.startswith(_HEAD):
            raise OutputError(
                f"{self._list}: is not the list of files that her2 keeps under this name",
                fix="Rename it, or name another folder with --out.",
            )
        return content

    def _refusal(self, path: Path) -> OutputError:
        return OutputError(
            f"{path}: is there already, and `{self.command}` did not write what it holds now",
            fix="Move or rename it, or name another folder with --out.",
        )


def _digest(path: Path) -> str | None:
    """Return the SHA-256 of a file; None for links, folders and what nobody may read."""
    try:
        return None if path.is_symlink() or not path.is_file() else sha256_file(path)
    except OSError:
        return None
