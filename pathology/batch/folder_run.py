"""Score the slides of one folder: what is done already, what is to do, the tables at the end."""

from __future__ import annotations

import platform
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathology.batch.inputs import Inputs
from pathology.batch.jobs import Executor, QueuedJobs
from pathology.batch.messages import Job
from pathology.batch.observer import LoggingObserver, Observer
from pathology.batch.pseudonymise import HiddenInputs
from pathology.errors import OutputError, SlideError
from pathology.pipeline import SlideRequest, slide_identity
from pathology.provenance import versions
from pathology.runs import (
    KeptResults,
    RunFolder,
    RunInfo,
    RunKey,
    RunLog,
    SlideResult,
    now,
    read_run_info,
    write_cases,
    write_results,
)

__all__ = ["FolderRun", "TablesError", "score_whole"]


class TablesError(OutputError):
    """The slides are done, but the tables of the run cannot be written (exit status 2).

    Parameters
    ----------
    message, fix
        As for every error.
    results
        What is known of the slides, in the order of the table.
    """

    def __init__(self, message: str, *, results: Sequence[SlideResult], fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.results = tuple(results)


def score_whole(
    inputs: Inputs,
    out: Path,
    key: RunKey,
    *,
    force: bool,
    executor: Executor,
    secret: HiddenInputs | None = None,
) -> list[SlideResult]:
    """Score all inputs into a folder that no other process works in.

    Parameters
    ----------
    inputs
        The slides.
    out
        The run folder.
    key
        Configuration and model.
    force
        Move an earlier run's results to ``previous/`` and start anew.
    executor
        What reads the slides.
    secret
        The list of pseudonyms, and the names that no log may hold; None for a run with names.

    Returns
    -------
    list of SlideResult
        In the order of the tables.

    Raises
    ------
    OutputError
        If the folder cannot be used.
    TablesError
        If the tables cannot be written.
    """
    hide = None if secret is None else secret.hidden.text
    with RunFolder(out, key, force=force) as folder, RunLog(folder.path, hide=hide) as log:
        if secret is not None:
            secret.save()
        executor.observer = LoggingObserver(executor.observer, log)
        run = FolderRun(folder=folder, log=log, inputs=inputs, ids=inputs.ids, executor=executor)
        return run.score()


@dataclass(kw_only=True)
class FolderRun:
    """The slides of one call, with the folder open."""

    folder: RunFolder
    log: RunLog
    inputs: Inputs
    ids: Sequence[str]
    executor: Executor
    results: KeptResults = field(default_factory=KeptResults)
    started: str = field(default_factory=now)
    _clock: float = field(default_factory=time.monotonic)
    _device_before: str = ""

    def __post_init__(self) -> None:
        _, before = read_run_info(self.folder.path)
        self._device_before = "" if before is None else before.device

    @property
    def observer(self) -> Observer:
        """Who is told about progress."""
        return self.executor.observer

    def score(self) -> list[SlideResult]:
        """Do what is to do, then write the tables."""
        todo = self._plan()
        resumed = len(self.results)
        self.observer.run_started(
            total=len(self.ids), done=resumed, skipped=len(self.inputs.skipped)
        )
        for note in (*self.inputs.notes, *self._strangers()):
            self.observer.note(note)
        self._write_info(resumed, finished=False)
        try:
            self._work(todo)
        except KeyboardInterrupt:
            self._interrupted(resumed)
            raise
        except Exception:
            self.log.write("error", "internal_error", traceback=traceback.format_exc())
            raise
        return self._finish(resumed)

    def _plan(self) -> list[Job]:
        todo = []
        for slide_id, request in zip(self.ids, self.inputs.requests, strict=True):
            result = self._done(slide_id, request)
            if result is None:
                todo.append(self._job(slide_id, request))
            else:
                self.results[slide_id] = result
        return todo

    def _job(self, slide_id: str, request: SlideRequest) -> Job:
        return Job(
            slide_id=slide_id,
            request=request,
            out_dir=self.folder.path,
            config=self.executor.config,
        )

    def _done(self, slide_id: str, request: SlideRequest) -> SlideResult | None:
        try:
            return self.folder.done(slide_id, slide_identity(request))
        except SlideError:
            return None  # missing or unreadable: the worker says so in the slide's own row

    def _work(self, todo: Sequence[Job]) -> None:
        if todo:
            self.executor.run(QueuedJobs(todo), self._take)
            self.executor.stop()

    def _take(self, result: SlideResult) -> None:
        self.results[result.slide_id] = result
        if result.status == "failed":
            self._record_failure(result)
        self.observer.slide_finished(result)

    def _record_failure(self, result: SlideResult) -> None:
        """Give a slide that never got to its own ``result.json`` one, and drop its half tables."""
        place = self.folder.slide(result.slide_id)
        if place.load() == result:
            return
        try:
            place.begin()
            place.write_result(result)
        except SlideError as error:
            self.observer.note(str(error))

    def _strangers(self) -> list[str]:
        """Name results of slides that this command does not list: they get no row."""
        known = self._known()
        folders = (self.folder.path / "slides").iterdir()
        count = sum(entry.is_dir() and entry.name not in known for entry in folders)
        if not count:
            return []
        return [
            f"{self.folder.path}: {count} slides of an earlier command are not among the inputs; "
            "their files stay, but results.csv holds the present inputs only"
        ]

    def _known(self) -> set[str]:
        return set(self.ids)

    def _interrupted(self, resumed: int) -> None:
        self.executor.stop(kill=True)
        self.log.write("warning", "interrupted", finished=len(self.results))
        try:
            self._write_tables(resumed, finished=False)
        except OutputError as error:
            self.observer.note(str(error))

    def _finish(self, resumed: int) -> list[SlideResult]:
        try:
            ordered = self._write_tables(resumed, finished=True)
        except OutputError as error:
            known = sorted(self.results.values(), key=lambda result: (result.path, result.slide_id))
            raise TablesError(error.message, results=known, fix=error.fix) from error
        self.log.write("info", "run_finished", slides=len(ordered))
        return ordered

    def _write_tables(self, resumed: int, *, finished: bool) -> list[SlideResult]:
        ordered = write_results(self.folder.path, self.results.values())
        write_cases(self.folder.path, ordered)
        self._write_info(resumed, finished=finished)
        return ordered

    def _write_info(self, resumed: int, *, finished: bool) -> None:
        told = self.observer
        timing = told.timing if isinstance(told, LoggingObserver) else None
        self.folder.write_info(
            RunInfo(
                command=tuple(sys.argv),
                versions=versions(),
                host=platform.node(),
                # Where nothing is left to do no worker starts: the work was done on that device.
                device=",".join(self.executor.devices) or self._device_before,
                started=self.started,
                finished=now() if finished else None,
                seconds={"total": round(time.monotonic() - self._clock, 3)},
                counts={
                    "slides": len(self.ids),
                    "resumed": resumed,
                    "skipped_files": len(self.inputs.skipped),
                    **dict(sorted(self.results.statuses.items())),
                },
                readers=dict(sorted(self.results.readers.items())),
                timing=None if timing is None else timing.content(),
            )
        )
