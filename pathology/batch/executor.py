"""Run slides on one worker process per device, and survive whatever happens to a worker."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from pathology.batch.jobs import POLL_SECONDS, JobSource, QueuedJobs
from pathology.batch.messages import (
    Advanced,
    Assignment,
    Broke,
    Finished,
    FromWorker,
    Job,
    Preparing,
    Ready,
    Refused,
)
from pathology.batch.observer import Observer
from pathology.batch.readers import ReaderFactory
from pathology.batch.results import failed_result
from pathology.batch.worker import worker_main
from pathology.config import Config
from pathology.errors import PathologyError, ReasonCode
from pathology.runs import SlideResult

__all__ = ["LocalExecutor"]

#: A worker that ends before it is ready is tried this often before its device is given up.
_START_ATTEMPTS = 2
#: A worker that was told to stop gets this long before it is killed.
_STOP_SECONDS = 5.0


@dataclass(kw_only=True)
class _Worker:
    """One process as the parent sees it."""

    index: int
    process: SpawnProcess
    connection: Connection
    started: bool = False
    ready: bool = False
    job: Job | None = None
    #: Kept for this worker, which may have opened it already.
    upcoming: Job | None = None
    preparing: bool = False
    failed_starts: int = 0


@dataclass(kw_only=True)
class LocalExecutor:
    """Score slides in worker processes on this machine.

    Each worker is told which slide is probably next, and opens it while the present one is at work.
    If it dies meanwhile, either may be the cause: the present one is scored once more, alone.

    Parameters
    ----------
    factory
        What loads the model in a worker.
    config
        The whole configuration.
    device
        What the user asked for, such as ``auto`` or ``cuda:0,cuda:1``.
    observer
        Who is told about progress.
    """

    factory: ReaderFactory
    config: Config
    device: str
    observer: Observer
    _workers: list[_Worker] = field(default_factory=list, init=False)
    _jobs: JobSource = field(default_factory=lambda: QueuedJobs(()), init=False)
    _returned: deque[Job] = field(default_factory=deque, init=False)
    _alone: set[str] = field(default_factory=set, init=False)
    _on_result: Callable[[SlideResult], None] = field(default=lambda _: None, init=False)
    devices: tuple[str, ...] = field(default=(), init=False)

    def start(self) -> None:
        """Start the first worker and wait until its model is loaded; ``devices`` is known then.

        Raises
        ------
        PathologyError
            If the model or the device cannot be used, or the worker ends before it is ready.
        """
        worker = self._launch(0)
        while not worker.ready:
            multiprocessing.connection.wait([worker.connection, worker.process.sentinel])
            message = _receive(worker)
            match message:
                case Ready():
                    worker.started = worker.ready = True
                    self.devices = message.devices
                case Refused():
                    raise message.error()
                case Broke():
                    self.observer.defect("", message.kind, message.traceback)
                    raise PathologyError(f"the worker could not start ({message.kind})")
                case None if not worker.process.is_alive():
                    raise PathologyError(
                        f"the worker process ended before it was ready ({_exit_text(worker)})",
                        fix="Check free memory and the output of `her2 doctor`.",
                    )
                case _:
                    pass

    def run(self, jobs: JobSource, on_result: Callable[[SlideResult], None]) -> None:
        """Score all jobs, each exactly once; starts the workers that are not yet there.

        Parameters
        ----------
        jobs
            The slides.
        on_result
            Called with every result as soon as it is there, in the order of completion.

        Raises
        ------
        PathologyError
            If no worker can be started at all; see :meth:`start`.
        """
        if not self._workers:
            self.start()
        self._jobs = jobs
        self._on_result = on_result
        there = {worker.index for worker in self._workers}
        for index in range(min(len(self.devices), jobs.left)):
            if index not in there:
                self._launch(index)
        while self._left or any(worker.job for worker in self._workers):
            self._assign()
            if not self._workers:
                self._fail_rest()
                break
            self._wait()

    def stop(self, *, kill: bool = False) -> None:
        """End all workers: at once with ``kill``, else after what they are doing."""
        for worker in self._workers:
            if kill:
                worker.process.kill()
            else:
                _send(worker, None)
        for worker in self._workers:
            worker.process.join(_STOP_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def _launch(self, index: int, *, failed_starts: int = 0) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=worker_main,
            args=(theirs, self.factory, self.config, self.device, index),
            name=f"her2-worker-{index}",
            daemon=True,
        )
        with _sigint_held():
            process.start()
        theirs.close()  # else the end of the worker would not close the pipe
        worker = _Worker(index=index, process=process, connection=ours, failed_starts=failed_starts)
        self._workers.append(worker)
        return worker

    def _assign(self) -> None:
        for worker in self._workers:
            idle = worker.ready and worker.job is None and worker.process.is_alive()
            if idle and (job := self._next(worker)) is not None:
                worker.job, worker.upcoming = job, self._reserve(job)
                if not _send(worker, Assignment(job=job, upcoming=worker.upcoming)):
                    # It has just died, and knows nothing of this slide; its sentinel tells.
                    worker.job = None
                    self._returned.appendleft(job)
                    continue
                self.observer.slide_started(job.slide_id, job.request.name)

    @property
    def _left(self) -> int:
        """How many slides no worker is at."""
        kept = sum(worker.upcoming is not None for worker in self._workers)
        return self._jobs.left + len(self._returned) + kept

    def _next(self, worker: _Worker | None) -> Job | None:
        """Return the slide kept for a worker, or one from the line, or one kept for another."""
        if worker is not None and worker.upcoming is not None:
            return worker.upcoming
        if self._returned:
            return self._returned.popleft()
        job = self._jobs.take()
        for other in self._workers if job is None else ():
            if other.upcoming is not None:
                job, other.upcoming = other.upcoming, None
                break
        return job

    def _reserve(self, job: Job) -> Job | None:
        """Take the slide that a worker may open beside ``job``, while there is enough for all."""
        if job.slide_id in self._alone or self._jobs.left < len(self._workers):
            return None
        return self._jobs.take()

    def _wait(self) -> None:
        by_handle: dict[object, _Worker] = {}
        for worker in self._workers:
            by_handle[worker.connection] = worker
            by_handle[worker.process.sentinel] = worker
        # A slide that another process holds may come free without a word to us.
        idle = any(worker.ready and worker.job is None for worker in self._workers)
        limit = POLL_SECONDS if idle and self._left else None
        ready = multiprocessing.connection.wait(list(by_handle), limit)  # type: ignore[arg-type]
        for worker in {id(by_handle[item]): by_handle[item] for item in ready}.values():
            message = _receive(worker)
            if message is not None:
                self._handle(worker, message)
            elif not worker.process.is_alive():
                self._replace(worker)

    def _handle(self, worker: _Worker, message: FromWorker) -> None:
        match message:
            case Ready():
                worker.started = worker.ready = True
            case Advanced():
                if worker.job is not None:
                    self.observer.slide_progress(worker.job.slide_id, message.progress)
            case Preparing():
                worker.preparing = message.busy
            case Finished():
                worker.job = None
                self._on_result(message.result)
            case Broke():
                self._broken(worker, message)
            case Refused():
                self.observer.note(f"worker {worker.index}: {message.error()}")

    def _broken(self, worker: _Worker, message: Broke) -> None:
        """Note a defect of ours; the worker is about to end, and is replaced then."""
        worker.ready = False
        self.observer.defect(
            worker.job.slide_id if worker.job else "", message.kind, message.traceback
        )
        why = f"internal error ({message.kind})"
        self._lose_slide(
            worker,
            why,
            reason=ReasonCode.INTERNAL_ERROR,
            problem=why,
            fix="Please report it with log.jsonl, which holds the traceback.",
        )

    def _replace(self, worker: _Worker) -> None:
        """Put another worker in the place of a dead one."""
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        why = _exit_text(worker)
        failed_starts = 0 if worker.started else worker.failed_starts + 1
        if worker.upcoming is not None:
            self._returned.append(worker.upcoming)
        if worker.job is not None and not worker.preparing:
            self.observer.note(f"worker {worker.index} ended at {worker.job.request.name}: {why}")
        self._lose_slide(
            worker,
            why,
            reason=ReasonCode.WORKER_CRASHED,
            problem=f"the process that worked on it ended ({why})",
            fix="Often too little memory; run the same command again to retry.",
        )
        if failed_starts >= _START_ATTEMPTS:
            self.observer.note(f"worker {worker.index} does not start ({why}); going on without")
        elif self._left:
            self._launch(worker.index, failed_starts=failed_starts)

    def _lose_slide(
        self, worker: _Worker, why: str, *, reason: ReasonCode, problem: str, fix: str
    ) -> None:
        """Fail the slide that a worker was at when it ended, if any.

        Where the worker was opening the next slide, that one may be the cause: the slide is scored
        once more, with nothing beside it.
        """
        job, worker.job = worker.job, None
        if job is None:
            return
        if not worker.preparing:
            self._fail(job, reason, problem, fix=fix)
            return
        self.observer.note(
            f"worker {worker.index} ended at {job.request.name}, while it opened the next slide: "
            f"{why}; {job.request.name} is scored once more"
        )
        self._alone.add(job.slide_id)
        self._returned.appendleft(job)

    def _fail_rest(self) -> None:
        while (job := self._next(None)) is not None:
            self._fail(
                job,
                ReasonCode.WORKER_CRASHED,
                "no worker process could be started again",
                fix="Check free memory, then run the same command again.",
            )

    def _fail(self, job: Job, reason: ReasonCode, problem: str, *, fix: str) -> None:
        message = f"{job.request.name}: {problem}"
        self._on_result(failed_result(job, self.factory, reason, message, fix=fix))


def _receive(worker: _Worker) -> FromWorker | None:
    """Return the next message, or None if there is none or the worker has gone."""
    try:
        if worker.connection.poll():
            message: FromWorker = worker.connection.recv()
            return message
    except (EOFError, OSError):
        # The pipe closes a moment before the process ends; wait for the end, which says why.
        worker.process.join(_STOP_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
    return None


def _send(worker: _Worker, task: Assignment | None) -> bool:
    """Send a task; False where the worker has gone."""
    try:
        worker.connection.send(task)
    except OSError:
        return False
    return True


def _exit_text(worker: _Worker) -> str:
    code = worker.process.exitcode
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit status {code}"


@contextmanager
def _sigint_held() -> Iterator[None]:
    """Hold Ctrl-C back while a process is started.

    The child inherits the blocked signal, so that Ctrl-C never reaches it, not even before it can
    say so itself; the parent gets what was held back afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
