"""Take a slide of a shared run folder so that no other process takes it too.

A claim is a file ``<slide>.<generation>`` that is created exclusively, which one process alone can
do. The highest generation holds the slide. If its process is dead, the next generation may be
created: again one process alone succeeds, and nobody ever removes the claim of somebody else who
lives. What a file system must offer is exclusive creation (NFS has it since version 3).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pathology.errors import OutputError
from pathology.runs.atomic import disk_errors
from pathology.runs.leases import LEASE_SECONDS, Watch

__all__ = ["Claims"]

#: Seconds between two looks at a claim that somebody else holds.
POLL_SECONDS = 0.2


class Claims:
    """Take and release slides in the name of one process.

    Parameters
    ----------
    folder
        Where the claims lie; must exist.
    watch
        Who knows which processes live.
    owner
        Name of this process.
    """

    def __init__(self, folder: Path, watch: Watch, owner: str) -> None:
        self._folder = folder
        self._watch = watch
        self._owner = owner
        self._held: dict[str, int] = {}

    def take(self, name: str) -> bool:
        """Try to take a slide.

        Parameters
        ----------
        name
            Its id.

        Returns
        -------
        bool
            Whether it is now, or was already, this process's. It may be done all the same: look
            after taking, not before.

        Raises
        ------
        SlideError
            If the disk is full or the folder cannot be written.
        """
        if name in self._held:
            return True
        highest = max(self._generations(name), default=0)
        before = "" if highest == 0 else self._owner_of(name, highest)
        if highest and self._is_held(name, highest, before):
            return False
        if not self._create(name, highest + 1):
            return False
        # Somebody may have come and gone since the look at the folder.
        now = self._generations(name)
        same = highest == 0 or (highest in now and self._owner_of(name, highest) == before)
        if max(now, default=0) != highest + 1 or not same:
            self._remove(name, highest + 1)
            return False
        self._held[name] = highest + 1
        return True

    def release(self, name: str) -> None:
        """Give a slide free, and clear what dead processes left of it; harmless when repeated."""
        generation = self._held.pop(name, None)
        if generation is None:
            return
        # The highest goes last: until then nobody may take a lower one for a free slide.
        for older in sorted(self._generations(name)):
            if older <= generation:
                self._remove(name, older)

    def release_all(self) -> None:
        """Give everything free."""
        for name in list(self._held):
            self.release(name)

    @contextmanager
    def alone(self, name: str, *, limit_s: float = 3 * LEASE_SECONDS) -> Iterator[None]:
        """Do something that only one process may do at a time; wait for the others.

        Parameters
        ----------
        name
            What is done; no slide has such an id.
        limit_s
            How long to wait.

        Raises
        ------
        OutputError
            If the others do not come to an end.
        """
        end = time.monotonic() + limit_s
        while not self.take(name):
            if time.monotonic() > end:
                raise OutputError(
                    f"{self._folder}: another process has held {name!r} for {limit_s:.0f} s",
                    fix="See `her2 status`; end that process, then give the same command again.",
                )
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self.release(name)

    def _generations(self, name: str) -> list[int]:
        found = []
        for entry in os.scandir(self._folder):
            stem, _, number = entry.name.rpartition(".")
            if stem == name and number.isdecimal():
                found.append(int(number))
        return found

    def _path(self, name: str, generation: int) -> Path:
        return self._folder / f"{name}.{generation}"

    def _create(self, name: str, generation: int) -> bool:
        path = self._path(name, generation)
        with disk_errors(path):
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                return False
            try:
                os.write(handle, self._owner.encode())
            except OSError:
                self._remove(name, generation)
                raise
            finally:
                os.close(handle)
        return True

    def _owner_of(self, name: str, generation: int) -> str:
        try:
            return self._path(name, generation).read_text()
        except OSError:
            return ""

    def _is_held(self, name: str, generation: int, owner: str) -> bool:
        if owner:
            return self._watch.is_alive(owner)
        # Created, but not yet signed: its process is about to sign, or was killed before it could.
        try:
            touched = self._path(name, generation).stat().st_mtime
        except FileNotFoundError:
            return True  # just released: look again later
        return self._watch.age_s(touched) <= LEASE_SECONDS

    def _remove(self, name: str, generation: int) -> None:
        self._path(name, generation).unlink(missing_ok=True)
