"""Who works in a shared run folder, and who has stopped doing so.

Each process keeps one file that it touches every ten seconds. A process that has not touched its
file for two minutes is taken for dead, at once where it ran on this machine and is gone. Times are
compared as the file system stamped them, so that clocks of different hosts need not agree.
"""

from __future__ import annotations

import os
import platform
import secrets
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pathology.provenance import versions
from pathology.runs.atomic import (
    TEMP_MARK,
    atomic_write_bytes,
    disk_errors,
    is_temporary,
    output_errors,
)
from pathology.runs.layout import path_text
from pathology.runs.processes import is_running, machine_name, machine_tag, process_start

__all__ = [
    "BEAT_SECONDS",
    "LEASE_SECONDS",
    "Lease",
    "ShardRecord",
    "Watch",
    "make_record",
    "read_records",
]

#: How often a process touches its file. Above the time for which clients of network file systems
#: may show old attributes (nfs(5): acregmin 3 s).
BEAT_SECONDS: Final = 10.0
#: A process without a sign of life for so long is dead for the others: twice the longest time for
#: which an NFS client shows old attributes by default (nfs(5): acregmax 60 s).
LEASE_SECONDS: Final = 120.0
_ENDING = ".shard.json"


class ShardRecord(BaseModel):
    """Say which part of the slides a process works on, and how it ended.

    Parameters
    ----------
    owner
        Name of the process, unlike any other.
    index, count
        Its part of the inputs, as in ``--shard index/count``.
    slides
        Which list of input slides it was started with.
    host, machine, pid, process_start
        Where it runs.
    command, versions
        The command line and the versions of the packages.
    started, finished, stopped
        Times in ISO 8601, UTC; ``finished`` is None until its part is done, ``stopped`` unless it
        ended before that and could say so.
    device
        What its slides were read on.
    counts
        Its slides by what became of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: str
    index: int
    count: int
    slides: str
    host: str
    machine: str
    pid: int
    process_start: str
    command: tuple[str, ...] = ()
    versions: Annotated[dict[str, str], Field(default_factory=dict)]
    started: str
    finished: str | None = None
    stopped: str | None = None
    device: str = ""
    counts: Annotated[dict[str, int], Field(default_factory=dict)]

    @property
    def part(self) -> tuple[int, int]:
        """Index and count of the part."""
        return self.index, self.count


def make_owner() -> str:
    """Return a name for this process that no other process has or will have.

    Examples
    --------
    >>> make_owner() != make_owner()
    True
    """
    return f"{machine_tag()}-{os.getpid()}-{secrets.token_hex(4)}"


class Lease:
    """Keep the record of this process, and touch it until it is closed.

    Parameters
    ----------
    folder
        Where the records lie; must exist.
    record
        Of this process.

    Raises
    ------
    OutputError
        If the record cannot be written.
    """

    def __init__(self, folder: Path, record: ShardRecord) -> None:
        self.record = record
        self.path = folder / f"{record.owner}{_ENDING}"
        self._write()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="her2-lease", daemon=True)
        self._thread.start()

    def finish(self, record: ShardRecord) -> None:
        """Write how this process ended, and stop touching the record."""
        self._still()
        self.record = record
        self._write()

    def stop(self, when: str) -> None:
        """Let others go on with this process's slides; nothing to do once it has finished."""
        self._still()
        if self.record.finished is None and self.record.stopped is None:
            self.record = self.record.model_copy(update={"stopped": when})
            self._write()

    def remove(self) -> None:
        """Leave no trace of a process that has done nothing."""
        self._still()
        self.path.unlink(missing_ok=True)

    def _still(self) -> None:
        self._closed.set()
        self._thread.join()

    def _write(self) -> None:
        with output_errors():
            atomic_write_bytes(self.path, self.record.model_dump_json(indent=2).encode() + b"\n")

    def _beat(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            try:
                os.utime(self.path)
            except OSError:
                # Gone, or the file server does not answer: nothing to do but to try again. Others
                # may take over meanwhile, and what is then done twice has the same bytes.
                continue


class Watch:
    """Tell living processes of a shared run folder from dead ones.

    Parameters
    ----------
    folder
        Where the records lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def is_alive(self, owner: str) -> bool:
        """Tell whether a process is, or may be, at work.

        Parameters
        ----------
        owner
            Its name.

        Returns
        -------
        bool
            False once it has finished, has ended on this machine, has left no record, or has not
            touched it for :data:`LEASE_SECONDS`.
        """
        try:
            record, touched = _read(self._folder / f"{owner}{_ENDING}")
        except FileNotFoundError:
            return False
        except OSError:
            return True  # the file server does not answer: nothing is known, nothing is taken
        if record is None:
            return self.age_s(touched) <= LEASE_SECONDS
        if record.finished is not None or record.stopped is not None:
            return False
        if record.machine and record.machine == machine_name():
            return is_running(record.pid, record.process_start)
        return self.age_s(touched) <= LEASE_SECONDS

    def age_s(self, touched: float) -> float:
        """Return how long ago a file of the folder was touched, by the file system's own clock."""
        probe = self._folder / f".clock{TEMP_MARK}{make_owner()}"
        try:
            with disk_errors(probe), probe.open("xb") as file:
                now = os.fstat(file.fileno()).st_mtime
        finally:
            probe.unlink(missing_ok=True)
        return now - touched


def read_records(folder: Path) -> list[ShardRecord]:
    """Read the records of all processes that ever worked in a shared folder.

    Parameters
    ----------
    folder
        Where the records lie; it need not exist.

    Returns
    -------
    list of ShardRecord
        By part, then by start; what is damaged is left out.
    """
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        if path.name.endswith(_ENDING) and not is_temporary(path.name):
            with suppress(OSError):
                found.append(_read(path)[0])
    whole = [record for record in found if record is not None]
    return sorted(whole, key=lambda record: (record.count, record.index, record.started))


def _read(path: Path) -> tuple[ShardRecord | None, float]:
    # Opened first: a network file system then asks its server, and does not answer from memory.
    with path.open("rb") as file:
        content, touched = file.read(), os.fstat(file.fileno()).st_mtime
    try:
        return ShardRecord.model_validate_json(content), touched
    except ValidationError:
        return None, touched


def make_record(*, index: int, count: int, slides: str, started: str) -> ShardRecord:
    """Make the record of this process.

    Parameters
    ----------
    index, count, slides, started
        As in :class:`ShardRecord`.
    """
    return ShardRecord(
        owner=make_owner(),
        index=index,
        count=count,
        slides=slides,
        host=platform.node(),
        machine=machine_name(),
        pid=os.getpid(),
        process_start=process_start(os.getpid()),
        command=tuple(path_text(word) for word in sys.argv),
        versions=versions(),
        started=started,
        counts={},
    )
