"""One run at a time in a run folder."""

from __future__ import annotations

import errno
import json
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

from pathology.errors import OutputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["RunLock"]

# What file systems without locks answer (some cluster and network file systems).
_UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


class RunLock:
    """Hold the lock of a run folder until it is released or the process ends.

    The operating system ends the lock with the process, however that dies, so that a lock is never
    left behind: the file that stays is only a name. Where the file system has no locks, the process
    number in the file decides.

    Parameters
    ----------
    path
        The lock file; created where there is none.
    shared
        Let others in that ask for the same, and keep out those that want the folder alone. Where
        the file system has no locks, nothing is kept out; the leases of shards say who is there.

    Raises
    ------
    OutputError
        If another run works in the folder, or the file cannot be created.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lock = RunLock(Path(folder) / "lock")
    ...     lock.release()
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path = path
        self._shared = shared
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._handle = os.open(path, flags, 0o644)
        except OSError as error:
            raise OutputError(
                f"{path.parent}: the output folder cannot be written ({error.strerror or error})",
                fix="Name a folder that you may write to.",
            ) from error
        try:
            self._acquire()
            if not shared:
                self._sign()
        except BaseException:
            os.close(self._handle)
            raise

    def release(self) -> None:
        """Give the folder free; the file stays, as removing it would race with the next run."""
        if self._handle < 0:
            return
        if not self._shared:
            os.ftruncate(self._handle, 0)
        # Said aloud, because a forked process may hold the same file open a little longer.
        _unlock(self._handle)
        os.close(self._handle)
        self._handle = -1

    def _acquire(self) -> None:
        try:
            _lock(self._handle, shared=self._shared)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise self._busy() from error
            if self._holder_lives():
                raise self._busy() from error

    def _sign(self) -> None:
        text = json.dumps({"pid": os.getpid(), "host": platform.node()})
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, text.encode(), 0)

    def _holder(self) -> tuple[int, str]:
        try:
            content = json.loads(os.pread(self._handle, 4096, 0))
            return int(content["pid"]), str(content["host"])
        except (OSError, ValueError, KeyError, TypeError):
            # An empty or half-written file: nobody holds it by name.
            return 0, ""

    def _holder_lives(self) -> bool:
        pid, host = self._holder()
        if not pid:
            return False
        if host != platform.node():
            # Processes of another machine cannot be asked.
            return True
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return pid != os.getpid()

    def _busy(self) -> OutputError:
        pid, host = self._holder()
        who = f"process {pid} on {host}" if pid else "another process"
        return OutputError(
            f"{self._path.parent}: {who} is working in this output folder",
            fix=f"Wait for it, name another folder, or remove {self._path.name} there if you are "
            "sure that no run is going on.",
        )


if sys.platform == "win32":

    def _lock(handle: int, *, shared: bool) -> None:
        if shared:
            # There is no shared lock here; the leases alone say who is in the folder.
            return
        # Far behind the content, so that the content stays readable.
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def _unlock(handle: int) -> None:
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        with suppress(OSError):  # a shared one holds nothing
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:

    def _lock(handle: int, *, shared: bool) -> None:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def _unlock(handle: int) -> None:
        # A file system without locks has none to give back.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
