"""Run slides on the nodes of a Ray cluster, and survive the loss of processes and nodes."""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pathology.batch.jobs import POLL_SECONDS, JobSource, QueuedJobs
from pathology.batch.messages import Broke, Finished, Job, Refused
from pathology.batch.observer import Observer
from pathology.batch.ray_cluster import RayCluster, RayProcess
from pathology.batch.ray_worker import Absent, Opened
from pathology.batch.readers import ReaderFactory
from pathology.batch.results import failed_result
from pathology.config import Config
from pathology.errors import PathologyError, ReasonCode, UsageError
from pathology.pipeline import Progress
from pathology.provenance import PACKAGES, versions
from pathology.runs import SlideFolder, SlideResult
from pathology.runs.atomic import TEMP_MARK

__all__ = ["RayExecutor"]

#: A slide whose process or node has gone is begun this often before it fails: a slide that itself
#: ends its process must not go round the cluster for ever.
_ATTEMPTS = 3
#: A process that ends before its model is loaded is started again this often in a row.
_START_ATTEMPTS = 3
#: Seconds between two looks at what the cluster has.
_LOOK_SECONDS = 2.0
#: Without a process for so long, a person is told what is waited for.
_PATIENCE_SECONDS = 30.0


@dataclass(kw_only=True)
class RayExecutor:
    """Score slides in processes that a Ray cluster runs, one for each GPU or share of CPUs.

    Parameters
    ----------
    factory
        What loads the model; every node needs the same installation.
    config
        The whole configuration.
    device
        ``auto``, ``cpu`` or ``cuda``; which GPU is Ray's choice. What ``auto`` finds at the start
        holds for the whole run.
    observer
        Who is told about progress.
    address
        Of the cluster; None takes ``RAY_ADDRESS``, or starts Ray on this machine.
    """

    factory: ReaderFactory
    config: Config
    device: str
    observer: Observer
    address: str | None = None
    devices: tuple[str, ...] = field(default=(), init=False)
    _cluster: RayCluster | None = field(default=None, init=False)
    _gpu: bool = field(default=False, init=False)
    _processes: list[RayProcess] = field(default_factory=list, init=False)
    _jobs: JobSource = field(default_factory=lambda: QueuedJobs(()), init=False)
    _again: deque[Job] = field(default_factory=deque, init=False)
    _attempts: Counter[str] = field(default_factory=Counter, init=False)
    _settling: list[tuple[Job, SlideResult]] = field(default_factory=list, init=False)
    _on_result: Callable[[SlideResult], None] = field(default=lambda _: None, init=False)
    _failed_starts: int = field(default=0, init=False)
    _blind: int = field(default=0, init=False)
    _probe: Path | None = field(default=None, init=False)
    _looked: float = field(default=0.0, init=False)
    _capacity: int = field(default=0, init=False)
    _seen: float = field(default_factory=time.monotonic, init=False)

    def start(self) -> None:
        """Join the cluster, start one process and wait until its model is loaded.

        Raises
        ------
        PathologyError
            If there is no cluster, it has no such device, or the model cannot be used there.
        """
        self._cluster = self._cluster or RayCluster(self.address)
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(
                f"--device {self.device}: which GPU a process gets is Ray's choice",
                fix="Give --device cuda, or auto.",
            )
        self._gpu = self._wants_gpu()
        if self._count_places() == 0:
            raise UsageError(
                f"the Ray cluster has no node with {self._needs()}",
                fix="Start one with `ray start`, or change --device or inference.cpu_threads.",
            )
        while not any(process.ready for process in self._processes):
            if not self._processes:
                self._launch()
            self._be_patient()
            self._wait()

    def run(self, jobs: JobSource, on_result: Callable[[SlideResult], None]) -> None:
        """Score all slides; those of a lost process or node are given to another one.

        Parameters
        ----------
        jobs
            The slides.
        on_result
            Called with every result, in the order of completion.

        Raises
        ------
        PathologyError
            If no process can be started, or no node sees the files.
        """
        if self._cluster is None:
            self.start()
        self._jobs, self._on_result = jobs, on_result
        while self._is_busy() or self._settle():
            self._scale()
            self._assign()
            self._ask_progress()
            self._wait()

    def stop(self, *, kill: bool = False) -> None:
        """End all processes and leave the cluster; both are the same here, nothing is at work."""
        del kill
        if self._probe is not None:
            self._probe.unlink(missing_ok=True)
            self._probe = None
        if self._cluster is None:
            return
        for process in self._processes:
            self._cluster.end(process)
        self._processes.clear()
        self._cluster.leave()
        self._cluster = None

    @property
    def _there(self) -> RayCluster:
        if self._cluster is None:
            raise RuntimeError("the executor was not started")
        return self._cluster

    def _is_busy(self) -> bool:
        return bool(self._jobs.left or self._again or any(p.job for p in self._processes))

    def _settle(self) -> bool:
        """Hand on the results of slides that were begun twice, if they are what the disk says.

        A process on a node that was given up may have gone on for a moment and written over them.
        """
        waiting, self._settling = self._settling, []
        for job, result in waiting:
            if SlideFolder(root=job.out_dir, slide_id=job.slide_id).load() == result:
                self._on_result(result)
            else:
                self._retry(job, "another process wrote to its folder")
        return self._is_busy()

    def _wants_gpu(self) -> bool:
        """Say what this run's processes work on; asked once, at the start.

        CPU and GPU round differently: a run whose GPU nodes go away must not go on with CPUs.
        """
        if self.device == "auto":
            return any(node.get("GPU", 0) >= 1 for node in self._there.nodes())
        return self.device == "cuda"

    def _needs(self) -> str:
        return "a GPU" if self._gpu else f"{self.config.inference.cpu_threads} CPUs"

    def _count_places(self) -> int:
        """Return how many processes the living nodes have room for."""
        if self._gpu:
            return sum(int(node.get("GPU", 0)) for node in self._there.nodes())
        threads = self.config.inference.cpu_threads
        return sum(int(node.get("CPU", 0)) // threads for node in self._there.nodes())

    def _launch(self) -> None:
        gpu = self._gpu
        self._processes.append(
            self._there.launch(
                self.factory,
                self.config,
                "cuda" if gpu else "cpu",
                cpus=1 if gpu else self.config.inference.cpu_threads,
                gpus=int(gpu),
            )
        )

    def _scale(self) -> None:
        """Start processes where nodes have come or processes have gone."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked, self._capacity = now, self._count_places()
        working = sum(process.job is not None for process in self._processes)
        wanted = min(self._capacity - self._blind, working + self._jobs.left + len(self._again))
        if self._failed_starts >= _START_ATTEMPTS and self._processes:
            wanted = 0  # what is there goes on alone
        while len(self._processes) < wanted:
            self._launch()
        self._be_patient()

    def _be_patient(self) -> None:
        now = time.monotonic()
        if any(process.node for process in self._processes):
            self._seen = now
        elif now - self._seen > _PATIENCE_SECONDS:
            self._seen = now
            text = f"waiting for room in the Ray cluster ({self._needs()} a process)"
            if self._gpu and self._count_places() == 0:
                text += (
                    "; no node with a GPU is left, and a run that began on GPUs does not go on "
                    "with CPUs: start such a node, or end the run and give the command again then"
                )
            self.observer.note(text)

    def _assign(self) -> None:
        for process in self._processes:
            if not process.ready:
                continue
            job = self._again.popleft() if self._again else self._jobs.take()
            if job is None:
                return
            self._attempts[job.slide_id] += 1
            process.job = job
            if self._attempts[job.slide_id] == 1:
                self.observer.slide_started(job.slide_id, job.request.name)
            process.pending = process.handle.score.remote(
                job, (self._probe_in(job.out_dir), *_needed(job))
            )

    def _probe_in(self, folder: Path) -> Path:
        """Leave a file by which a node tells this folder from another one of the same name."""
        if self._probe is None:
            self._probe = folder / f".ray{TEMP_MARK}{secrets.token_hex(8)}"
            self._probe.touch()
        return self._probe

    def _ask_progress(self) -> None:
        for process in self._processes:
            if process.job is not None and process.progress is None:
                process.progress = process.handle.progress.remote()

    def _wait(self) -> None:
        pending = {p.pending: p for p in self._processes if p.pending is not None}
        for reference in self._there.finished(list(pending), POLL_SECONDS):
            self._answered(pending[reference], reference)
        if not pending:
            time.sleep(POLL_SECONDS)
        asked = {p.progress: p for p in self._processes if p.progress is not None}
        for reference in self._there.finished(list(asked), 0):
            self._advanced(asked[reference], reference)

    def _answered(self, process: RayProcess, reference: Any) -> None:
        process.pending = None
        try:
            message = self._there.answer(reference)
        except self._there.lost_errors() as error:
            self._lost(process, _first_line(error))
            return
        match message:
            case Opened():
                self._opened(process, message)
            case Finished():
                self._finished(process, message)
            case Absent():
                self._absent(process, message)
            case Refused():
                raise message.error()
            case Broke():
                self._broke(process, message)

    def _advanced(self, process: RayProcess, reference: Any) -> None:
        process.progress = None
        try:
            progress = self._there.answer(reference)
        except self._there.lost_errors():
            return  # the answer about the slide says the same
        if progress is not None and process.job is not None:
            self.observer.slide_progress(process.job.slide_id, progress)

    def _opened(self, process: RayProcess, message: Opened) -> None:
        here = versions()
        wrong = [
            f"{name} {message.packages[name]} there, {here[name]} here"
            for name in PACKAGES
            if message.packages[name] != here[name]
        ]
        if wrong:
            raise UsageError(
                f"{message.node}: is installed differently ({'; '.join(wrong)})",
                fix="Install the same lock file on every node, else results could differ.",
            )
        process.node, process.device = message.node, message.device
        self._failed_starts = 0
        self.devices = tuple(f"{p.node}:{p.device}" for p in self._processes if p.node)

    def _finished(self, process: RayProcess, message: Finished) -> None:
        job, process.job, result = process.job, None, message.result
        if job is None:
            return
        if message.timing is not None:
            last = Progress(stage="done", timing=message.timing)
            self.observer.slide_progress(job.slide_id, last)
        if self._attempts[job.slide_id] > 1:
            self._settling.append((job, result))
        else:
            self._on_result(result)

    def _absent(self, process: RayProcess, message: Absent) -> None:
        """Go on without a node that does not see the files; end where none does."""
        job = process.job
        self._drop(process)
        text = f"{message.node}: {message.path} is not there, and is on this machine"
        fix = "Mount the shared folders under the same paths on every node."
        self._blind += 1  # its place is not filled again
        if not any(other.node for other in self._processes) or job is None:
            raise UsageError(text, fix=fix)
        self.observer.note(f"{text}; going on without this process. {fix}")
        self._attempts[job.slide_id] -= 1
        self._again.append(job)

    def _broke(self, process: RayProcess, message: Broke) -> None:
        job = process.job
        self._drop(process)  # a broken interpreter or device must not reach the next slide
        self.observer.defect(job.slide_id if job else "", message.kind, message.traceback)
        if job is None:
            raise PathologyError(f"the process could not load the model ({message.kind})")
        self._fail(
            job,
            ReasonCode.INTERNAL_ERROR,
            f"{job.request.name}: internal error ({message.kind})",
            "Please report it with log.jsonl, which holds the traceback.",
        )

    def _lost(self, process: RayProcess, why: str) -> None:
        job = process.job
        where = process.node or "a node"
        self._drop(process)
        self._looked = 0.0  # a node may have gone with it
        if job is not None:
            self.observer.note(f"lost a process on {where} at {job.request.name}: {why}")
            self._retry(job, why)
            return
        self._failed_starts += 1
        self.observer.note(f"lost a process on {where}: {why}")
        if self._failed_starts >= _START_ATTEMPTS and not any(p.node for p in self._processes):
            raise PathologyError(
                f"no process of the Ray cluster could be started ({why})",
                fix="Check free memory on the nodes and `ray status`.",
            )

    def _retry(self, job: Job, why: str) -> None:
        if self._attempts[job.slide_id] < _ATTEMPTS:
            self._again.append(job)
            return
        self._fail(
            job,
            ReasonCode.WORKER_CRASHED,
            f"{job.request.name}: the process that worked on it ended {_ATTEMPTS} times ({why})",
            "Often too little memory; run the same command again to retry.",
        )

    def _fail(self, job: Job, reason: ReasonCode, message: str, fix: str) -> None:
        self._on_result(failed_result(job, self.factory, reason, message, fix=fix))

    def _drop(self, process: RayProcess) -> None:
        self._processes.remove(process)
        self._there.end(process)


def _needed(job: Job) -> tuple[Path, ...]:
    """Return what a node must see: what is there on this machine."""
    request = job.request
    places = [request.path, *request.companions]
    if request.regions is not None:
        places.append(request.regions)
    return tuple(path for path in places if path.exists())


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
