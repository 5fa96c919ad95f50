"""Score one part of the slides beside other processes, in one folder or in a folder of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathology.batch.folder_run import FolderRun
from pathology.batch.inputs import Inputs, Shard
from pathology.batch.jobs import Executor
from pathology.batch.messages import Job
from pathology.batch.observer import LoggingObserver
from pathology.batch.pseudonymise import HiddenInputs
from pathology.batch.sharding import ClaimedJobs
from pathology.errors import UsageError
from pathology.runs import (
    RunKey,
    RunLog,
    ShardFolder,
    SlideResult,
    gather_parts,
    read_slide_lists,
    write_joined,
)
from pathology.runs.results import sort_results

__all__ = ["score_shard"]


def score_shard(
    inputs: Inputs,
    out: Path,
    key: RunKey,
    *,
    shard: Shard,
    force: bool,
    executor: Executor,
    secret: HiddenInputs | None = None,
) -> list[SlideResult]:
    """Score one part of the inputs.

    Slides are claimed one by one, so that another process with the same part, or one that takes
    over, never does a slide twice. The tables are written when the last part of a shared folder is
    done, or at once where no other part ever worked in the folder.

    Parameters
    ----------
    inputs
        All slides, not the part alone.
    out
        The run folder, shared with other parts or not.
    key
        Configuration and model.
    shard
        Which part.
    force
        Refused: it would move away what others have done.
    executor
        What reads the slides.
    secret
        The list of pseudonyms, and the names that no log may hold; None for a run with names.

    Returns
    -------
    list of SlideResult
        Of the part and of what was taken over, in the order of the tables.

    Raises
    ------
    UsageError
        If ``force`` is asked for.
    OutputError
        If the folder cannot be used.
    """
    if force:
        raise UsageError(
            "--force with --shard: one shard would move away what the others have done",
            fix="Move the folder yourself before the shards start, or name another one.",
        )
    part = inputs.part(shard)
    names = dict(zip(inputs.ids, (request.name for request in inputs.requests), strict=True))
    with (
        ShardFolder(out, key, index=shard.index, count=shard.count, slides=names) as folder,
        RunLog(
            folder.path, folder.log_name, hide=None if secret is None else secret.hidden.text
        ) as log,
    ):
        if secret is not None:
            secret.save()
        executor.observer = LoggingObserver(executor.observer, log)
        run = _ShardRun(
            folder=folder,
            shared=folder,
            log=log,
            inputs=part,
            everything=inputs,
            ids=part.ids,
            executor=executor,
            shard=shard,
        )
        return run.score()


@dataclass(kw_only=True)
class _ShardRun(FolderRun):
    """One call of :func:`score_shard`, with its folder open."""

    shared: ShardFolder
    everything: Inputs
    shard: Shard
    _jobs: ClaimedJobs | None = field(default=None, init=False)

    def _work(self, todo: Sequence[Job]) -> None:
        jobs = self._jobs = ClaimedJobs(folder=self.shared, on_done=self._take)
        jobs.add(todo)
        if not todo:
            self._adopt(jobs)
        while jobs.left:
            self.executor.run(jobs, self._take)
            self._adopt(jobs)
        self.executor.stop()

    def _adopt(self, jobs: ClaimedJobs) -> None:
        """Go on with what dead processes of other parts have left."""
        rest = {
            slide_id: self._job(slide_id, request)
            for slide_id, request in zip(self.everything.ids, self.everything.requests, strict=True)
            if slide_id not in self.results
        }
        count = jobs.adopt(rest, self.results)
        if count:
            self.observer.note(f"taking over {count} slides of shards whose processes have died")

    def _take(self, result: SlideResult) -> None:
        super()._take(result)
        if self._jobs is not None:
            self._jobs.release(result.slide_id)

    def _known(self) -> set[str]:
        return {*self.everything.ids, *read_slide_lists(self.folder.path)}

    def _write_info(self, resumed: int, *, finished: bool) -> None:
        if finished:
            super()._write_info(resumed, finished=True)
            return
        with self.shared.alone("run.json"):
            super()._write_info(resumed, finished=False)

    def _write_tables(self, resumed: int, *, finished: bool) -> list[SlideResult]:
        ordered = sort_results(self.results.values())
        if not finished:
            return ordered  # other parts may be at work; what is done stays done
        counts = Counter(str(result.status) for result in ordered)
        with self.shared.alone("run.json"):
            self.shared.finish(device=",".join(self.executor.devices), counts=counts)
            if not self.shared.others():
                return super()._write_tables(resumed, finished=True)
            joined = gather_parts([self.folder.path])
            if not joined.missing:
                write_joined(self.folder, joined)
        for note in joined.notes:
            self.observer.note(note)
        self.observer.note(self._outlook(len(joined.missing), len(self.everything.requests)))
        return ordered

    def _outlook(self, missing: int, total: int) -> str:
        name = f"shard {self.shard.index}/{self.shard.count} is done"
        if not missing:
            return f"{name}, and it was the last: the tables of all {total} slides are written"
        return (
            f"{name}; {missing} of {total} slides of other shards are not. The last shard writes "
            f"the tables (`her2 status {self.folder.path}`)"
        )
