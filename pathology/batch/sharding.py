"""One part of a split run: slides are claimed before they are read, and dead parts taken over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pathology.batch.inputs import Shard
from pathology.batch.messages import Job
from pathology.errors import SlideError
from pathology.pipeline import slide_identity
from pathology.provenance import SlideIdentity
from pathology.runs import ShardFolder, SlideResult

__all__ = ["ClaimedJobs"]


@dataclass(kw_only=True)
class ClaimedJobs:
    """Hand out slides that no other process holds and that nobody has done meanwhile.

    Parameters
    ----------
    folder
        The shared run folder.
    on_done
        Called with the result of a slide that another process has done in the meantime.
    """

    folder: ShardFolder
    on_done: Callable[[SlideResult], None]
    _queue: deque[Job] = field(default_factory=deque, init=False)
    _stamps: dict[str, int] = field(default_factory=dict, init=False)

    def add(self, jobs: Iterable[Job]) -> None:
        """Put slides in line, as they are now."""
        for job in jobs:
            self._stamps[job.slide_id] = self.folder.stamp(job.slide_id)
            self._queue.append(job)

    @property
    def left(self) -> int:
        """How many this process has neither begun nor seen done."""
        return len(self._queue)

    def take(self) -> Job | None:
        """Return the first slide in line that can be had; None where others hold all of them."""
        for _ in range(len(self._queue)):
            job = self._queue.popleft()
            if not self.folder.claims.take(job.slide_id):
                self._queue.append(job)
                continue
            result = self.folder.done_since(
                job.slide_id, _identity(job), self._stamps[job.slide_id]
            )
            if result is None:
                return job
            self.folder.claims.release(job.slide_id)
            self.on_done(result)
        return None

    def release(self, slide_id: str) -> None:
        """Give a slide free, once its result is written."""
        self.folder.claims.release(slide_id)

    def adopt(self, jobs: Mapping[str, Job], known: Iterable[str]) -> int:
        """Put in line what parts without a living process have left undone.

        Parameters
        ----------
        jobs
            All slides of the inputs, by id.
        known
            Slides of which this process has a result.

        Returns
        -------
        int
            How many slides that are.
        """
        shards = [Shard(index=index, count=count) for index, count in self.folder.dead_parts()]
        rest = [
            job
            for slide_id, job in jobs.items()
            if slide_id not in known
            and any(shard.holds(slide_id) for shard in shards)
            and self._is_open(job)
        ]
        self.add(rest)
        return len(rest)

    def _is_open(self, job: Job) -> bool:
        # A slide that has failed there is not tried a second time here.
        key = self.folder.key
        kept = self.folder.slide(job.slide_id).kept(
            config_hash=key.config_hash, model_sha256=key.model_sha256
        )
        if kept is not None and kept.status == "failed":
            return False
        identity = _identity(job)
        return identity is None or self.folder.done(job.slide_id, identity) is None


def _identity(job: Job) -> SlideIdentity | None:
    try:
        return slide_identity(job.request)
    except SlideError:
        return None  # missing or unreadable: the worker says so in the slide's own row
