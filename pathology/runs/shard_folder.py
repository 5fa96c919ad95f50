"""A run folder in which several processes work at once, each on its part of the slides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

from pathology.errors import OutputError
from pathology.provenance import SlideIdentity
from pathology.runs.atomic import atomic_write_bytes, disk_errors
from pathology.runs.claims import Claims
from pathology.runs.folder import MIN_FREE_BYTES, RunFolder
from pathology.runs.hidden_names import hide_command
from pathology.runs.layout import CLAIMS, SHARDS, shard_log
from pathology.runs.leases import Lease, ShardRecord, Watch, make_record, read_records
from pathology.runs.result import SlideResult
from pathology.runs.run_info import RunKey, now

__all__ = ["ShardFolder", "read_slide_lists"]

_LIST = "slides-{}.json"


class ShardFolder(RunFolder):
    """Hold an output folder together with other processes of the same configuration and model.

    Parameters
    ----------
    path
        The folder; made where there is none.
    key
        Configuration and model of the run.
    index, count
        This process's part of the slides.
    slides
        Path by slide id of **all** slides, not of this part alone.
    min_free_bytes
        Free space without which the run does not begin.

    Raises
    ------
    OutputError
        As for :class:`RunFolder`; also while a run that is no shard works in the folder.
    """

    SHARED: ClassVar[bool] = True

    def __init__(
        self,
        path: Path,
        key: RunKey,
        *,
        index: int,
        count: int,
        slides: Mapping[str, str],
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        content = json.dumps({"slides": dict(slides)}, indent=0, ensure_ascii=True).encode()
        digest = hashlib.sha256(content).hexdigest()[:16]
        self._list = (_LIST.format(digest), content)
        record = make_record(index=index, count=count, slides=digest, started=now())
        if key.pseudonyms:
            record = record.model_copy(update={"command": hide_command(record.command)})
        self._record = record
        self._lease: Lease | None = None
        super().__init__(path, key, min_free_bytes=min_free_bytes)

    @property
    def record(self) -> ShardRecord:
        """What others read of this process."""
        return self._record

    @property
    def log_name(self) -> str:
        """Name of this process's own log, below the run folder."""
        return shard_log(self._record.owner)

    def others(self) -> list[ShardRecord]:
        """Return the records of the other parts that ever worked here."""
        mine = self._record.part
        return [entry for entry in read_records(self.path / SHARDS) if entry.part != mine]

    def dead_parts(self) -> set[tuple[int, int]]:
        """Return the parts that were begun, are not finished, and have no living process."""
        others = self.others()
        finished = {entry.part for entry in others if entry.finished is not None}
        alive = {entry.part for entry in others if self.watch.is_alive(entry.owner)}
        return {entry.part for entry in others} - finished - alive

    def alone(self, name: str) -> AbstractContextManager[None]:
        """Do something that one process may do at a time; see :meth:`Claims.alone`."""
        return self.claims.alone(name)

    def done_since(
        self, slide_id: str, identity: SlideIdentity | None, before: int
    ) -> SlideResult | None:
        """Return the result that another process wrote while this one had other work.

        Parameters
        ----------
        slide_id
            A slide that this process holds.
        identity
            The slide as it is now; None where it cannot be read.
        before
            What :meth:`stamp` said when this process planned its work.

        Returns
        -------
        SlideResult or None
            A failure counts, if it is new: a slide is tried once in a run.
        """
        if identity is not None and (done := self.done(slide_id, identity)) is not None:
            return done
        if self.stamp(slide_id) == before:
            return None
        return self.slide(slide_id).kept(
            config_hash=self.key.config_hash, model_sha256=self.key.model_sha256
        )

    def stamp(self, slide_id: str) -> int:
        """Return when a slide's result was written, ns; 0 where there is none."""
        try:
            return self.slide(slide_id).result.stat().st_mtime_ns
        except OSError:
            return 0

    def finish(self, *, device: str, counts: Mapping[str, int]) -> None:
        """Record that this part is done."""
        update = {"finished": now(), "device": device, "counts": dict(counts)}
        self._record = self._record.model_copy(update=update)
        if self._lease is not None:
            self._lease.finish(self._record)

    def close(self) -> None:
        """Give free what this process holds; others go on with its slides."""
        if self._lease is not None:
            self.claims.release_all()
            self._lease.stop(now())
            self._lease = None
        super().close()

    def _prepare(self, *, force: bool) -> None:
        if force:
            raise OutputError(
                f"{self.path}: one shard may not move away what others did",
                fix="Leave --force out, or move the folder yourself before the shards start.",
            )
        shards = self.path / SHARDS
        with disk_errors(shards):
            (shards / CLAIMS).mkdir(parents=True, exist_ok=True)
        self.watch = Watch(shards)
        self.claims = Claims(shards / CLAIMS, self.watch, self._record.owner)
        lease = Lease(shards, self._record)
        try:
            with self.claims.alone("run.json"):
                self._bind(force=False)
                name, content = self._list
                if not (shards / name).exists():
                    atomic_write_bytes(shards / name, content)
        except BaseException:
            lease.remove()
            raise
        self._lease = lease


def read_slide_lists(root: Path) -> dict[str, str]:
    """Read all slides that the shards of a folder were started with.

    Parameters
    ----------
    root
        The run folder.

    Returns
    -------
    dict of str to str
        Path by slide id; empty where no shard worked.

    Raises
    ------
    OutputError
        If a list is damaged.
    """
    slides: dict[str, str] = {}
    for name in sorted({record.slides for record in read_records(root / SHARDS)}):
        path = root / SHARDS / _LIST.format(name)
        try:
            slides.update(json.loads(path.read_bytes())["slides"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{path}: the list of slides cannot be read ({error})",
                fix="Give the command of one of the shards again.",
            ) from error
    return slides
