"""Score a folder: what is done already, what is to do, and the tables at the end."""

from __future__ import annotations

import multiprocessing
import platform
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathology.batch.execution import ExecutorKind, make_executor
from pathology.batch.inputs import Inputs, Shard, collect_inputs
from pathology.batch.jobs import Executor, QueuedJobs
from pathology.batch.messages import Job
from pathology.batch.observer import LoggingObserver, Observer, SilentObserver
from pathology.batch.pseudonymise import hide_inputs, refuse_list_without_hiding
from pathology.batch.readers import ReaderFactory, make_factory
from pathology.config import Config, load_config
from pathology.errors import OutputError, SlideError, UsageError
from pathology.pipeline import (
    SlideRequest,
    check_guideline,
    check_specimens,
    slide_identity,
)
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
from pathology.stain.calibrating import check_model

__all__ = ["FolderRun", "TablesError", "score_folder"]


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


def score_folder(  # noqa: PLR0913 - the words of the command line
    inputs: Inputs | Sequence[str | Path],
    out: Path | str,
    *,
    config: Config | None = None,
    model: str | Path | ReaderFactory = "her2-cells",
    device: str | None = None,
    mpp: float | None = None,
    regions: Path | None = None,
    force: bool = False,
    shard: Shard | None = None,
    executor: ExecutorKind = "local",
    ray_address: str | None = None,
    observer: Observer | None = None,
    pseudonymise: bool = False,
    pseudonyms: Path | None = None,
) -> list[SlideResult]:
    """Score slides into a run folder, or go on where an earlier run of the same kind stopped.

    One worker process per device reads the slides. A slide that fails, or even ends its worker,
    costs nobody else's result. Slides that are done are not read again; if all are, no worker is
    started. From a script, call it below ``if __name__ == "__main__":``.

    Parameters
    ----------
    inputs
        Slide files, folders and CSV manifests, or what :func:`collect_inputs` returned.
    out
        The run folder; made where there is none.
    config
        The configuration; None takes the default.
    model
        Name of a bundled model, the folder of one, or what loads one.
    device
        ``auto``, ``cpu``, ``cuda`` or a list such as ``cuda:0,cuda:1``; None takes the
        configuration's.
    mpp, regions
        As for :func:`collect_inputs`; only where ``inputs`` are paths.
    force
        Move an earlier run's results to ``previous/`` and start anew.
    shard
        Score only one of several disjoint parts; other processes may work on theirs in the same
        folder. Slides of parts whose processes have died are taken over.
    executor, ray_address
        ``local``: worker processes of this machine; ``ray``: those of a Ray cluster.
    observer
        Who is told about progress; None for nobody.
    pseudonymise
        Write pseudonyms in place of the names of files, cases, blocks, sites and stain runs, and
        no name or path to any file of the run folder.
    pseudonyms
        The list that says what the pseudonyms stand for; None: ``<out>.pseudonyms.json``, beside
        the run folder. Runs with one list have one pseudonym for one name.

    Returns
    -------
    list of SlideResult
        One for every input slide (of the part, and what was taken over), in the order of
        ``results.csv``.

    Raises
    ------
    UsageError
        Before any work: wrong inputs, configuration, model, device or output folder
        (``ConfigError``, ``ModelError``, ``OutputError``). After it: the tables cannot be written
        (``TablesError``, which holds the results).
    KeyboardInterrupt
        On Ctrl-C, after the tables of the finished slides were written; ``run.json`` then says that
        the run has not finished.
    """
    _refuse_unguarded_script()
    config = config or load_config()
    device = device or config.runtime.device
    factory = make_factory(model)
    # A wrong name must not bind the folder.
    check_guideline(config, tiles=getattr(factory, "kind", "cells") == "tiles")
    check_model(config.calibration, name=factory.name, sha256=factory.sha256)
    if not isinstance(inputs, Inputs):
        inputs = collect_inputs(inputs, mpp=mpp, regions=regions, exclude=(Path(out),))
    elif mpp is not None or regions is not None:
        raise UsageError("mpp and regions are given to collect_inputs, not to score_folder")
    check_specimens(config, inputs.requests)
    observer = observer or SilentObserver()
    secret = None
    if pseudonymise:
        for note in inputs.notes:
            observer.note(note)  # to a person, and not to the log: it names files
        secret = hide_inputs(inputs, Path(out), config, file=pseudonyms)
        inputs = secret.inputs
    else:
        refuse_list_without_hiding(pseudonyms)
    hide = None if secret is None else secret.hidden.text
    ids = inputs.ids
    key = RunKey.of(
        config,
        model=factory.name,
        model_sha256=factory.sha256,
        pseudonyms=None if secret is None else secret.names.fingerprint,
    )
    workers = make_executor(
        executor,
        factory=factory,
        config=config,
        device=device,
        observer=observer,
        ray_address=ray_address,
    )
    try:
        if executor == "ray" or device not in ("auto", "cpu"):
            # Whether there is such a device, or cluster, is known only to a worker: ask before the
            # output folder is touched.
            workers.start()
        if shard is not None:
            from pathology.batch.shard_run import score_shard

            return score_shard(
                inputs, Path(out), key, shard=shard, force=force, executor=workers, secret=secret
            )
        with (
            RunFolder(Path(out), key, force=force) as folder,
            RunLog(folder.path, hide=hide) as log,
        ):
            if secret is not None:
                secret.save()
            workers.observer = LoggingObserver(observer, log)
            run = FolderRun(folder=folder, log=log, inputs=inputs, ids=ids, executor=workers)
            return run.score()
    finally:
        workers.stop(kill=True)


def _refuse_unguarded_script() -> None:
    """Say what is wrong where a worker imports a script that itself scores a folder."""
    if getattr(multiprocessing.process.current_process(), "_inheriting", False):
        raise UsageError(
            "score_folder was called while a worker process was importing the calling script",
            fix='Put the call below `if __name__ == "__main__":`.',
        )


@dataclass(kw_only=True)
class FolderRun:
    """One call of :func:`score_folder`, with its folder open."""

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
