"""The worker process: one device, one loaded model, one slide at a time.

Torch is imported here and nowhere else in a run. An unforeseen exception ends the process after it
was reported: the parent fails that slide, starts a fresh worker and goes on, so that a broken
interpreter or device state never reaches the next slide.
"""

from __future__ import annotations

import errno
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

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
from pathology.batch.readers import ReaderFactory
from pathology.batch.results import failed_result
from pathology.cells.reader import AnyReader
from pathology.config import Config
from pathology.errors import OutputError, PathologyError, ReasonCode
from pathology.pipeline import Progress, SlideAhead, score_slide
from pathology.runs import SlideResult

__all__ = ["EXIT_DEFECT", "EXIT_ORPHANED", "score_job", "worker_main"]

#: Exit status of a worker after an unforeseen exception (sysexits.h: EX_SOFTWARE).
EXIT_DEFECT = 70
#: Exit status of a worker whose parent has died.
EXIT_ORPHANED = 71
#: At most one progress message in this many seconds: a screen does not show more.
_PROGRESS_SECONDS = 0.1
#: Stages of a slide from which on the next one is opened. On the CPU the network keeps all cores
#: busy while a slide is read, but one core is enough for its scores and pictures; on a GPU the
#: processor has time to spare as soon as reading begins.
_AHEAD_FROM = {
    "cpu": frozenset({"score", "report"}),
    "gpu": frozenset({"read", "score", "report"}),
}
#: "No space left on device" and "disk quota exceeded".
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def worker_main(
    connection: Connection, factory: ReaderFactory, config: Config, device: str, index: int
) -> None:
    """Load the model, say so, then score slides until the parent sends None.

    Parameters
    ----------
    connection
        Two-way pipe to the parent.
    factory
        What loads the model.
    config
        The whole configuration.
    device
        What the user asked for, such as ``auto``.
    index
        Which of the resolved devices is this worker's.
    """
    # Idle threads of torch must sleep, not spin: on busy cores they would starve the readers. Read
    # once, when torch is imported; no result depends on it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Ctrl-C goes to the whole group of processes; the parent alone decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _exit_with_parent()
    send = _one_at_a_time(connection)
    try:
        try:
            devices = factory.devices(device)
            reader = factory.open(devices[index], config)
        except PathologyError as error:
            send(Refused(kind=type(error), message=error.message, fix=error.fix))
            return
        send(Ready(devices=devices))
        _Line(connection.recv, send, reader).serve()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise SystemExit(EXIT_ORPHANED) from None
    except Exception as error:
        send(Broke(kind=type(error).__name__, traceback=traceback.format_exc()))
        raise SystemExit(EXIT_DEFECT) from error


def _one_at_a_time(connection: Connection) -> Callable[[FromWorker], None]:
    """Return what sends whole messages; the thread that opens the next slide sends some, too."""
    sending = threading.Lock()

    def send(message: FromWorker) -> None:
        with sending:
            connection.send(message)

    return send


class _Line:
    """The slides of one worker: one is scored, and the next one is opened in good time."""

    def __init__(
        self,
        receive: Callable[[], Assignment | None],
        send: Callable[[FromWorker], None],
        reader: AnyReader,
    ) -> None:
        self._receive, self._send, self._reader = receive, send, reader
        self._from = _AHEAD_FROM["cpu" if reader.device.startswith("cpu") else "gpu"]
        self._ahead: SlideAhead | None = None

    def serve(self) -> None:
        """Score what the parent sends, until that is None."""
        while (task := self._receive()) is not None:
            self._send(Finished(result=self._score(task)))

    def _score(self, task: Assignment) -> SlideResult:
        ready, self._ahead = self._ahead, self._plan(task.upcoming)
        if ready is not None and ready.request != task.job.request:
            ready.close()  # another worker was faster
            ready = None
        note = _sender(self._send)

        def progress(progress: Progress) -> None:
            note(progress)
            if progress.stage in self._from:
                self._look_ahead()

        try:
            result = score_job(task.job, self._reader, progress, ahead=ready)
        finally:
            if ready is not None:
                ready.close()
        if ReasonCode.OUT_OF_MEMORY in result.reasons and self._drop_ahead():
            # The slide opened beside it may have taken the memory: once more, alone.
            result = score_job(task.job, self._reader, note)
        return result

    def _drop_ahead(self) -> bool:
        """Close the slide that was opened beside the present one; False where none was."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or not ahead.begun:
            return False
        ahead.close()
        return True

    def _plan(self, job: Job | None) -> SlideAhead | None:
        if job is None:
            return None
        return SlideAhead(job.request, job.config, on_end=self._end_ahead)

    def _look_ahead(self) -> None:
        if self._ahead is not None and not self._ahead.begun:
            self._send(Preparing(busy=True))
            try:
                self._ahead.begin()
            except RuntimeError:  # no thread to be had: the slide is opened in its own turn
                self._ahead = None
                self._end_ahead()

    def _end_ahead(self) -> None:
        with suppress(OSError):  # the parent is gone, and this process is about to follow
            self._send(Preparing(busy=False))


def score_job(
    job: Job,
    reader: AnyReader,
    progress: Callable[[Progress], None],
    *,
    ahead: SlideAhead | None = None,
) -> SlideResult:
    """Score one slide; failures of the machine, not of the slide, become failed rows here.

    Parameters
    ----------
    job
        The slide.
    reader
        The loaded model.
    progress
        Called as the work goes on.
    ahead
        The same slide, opened before, or None.
    """
    try:
        return score_slide(
            job.request.path,
            out_dir=job.out_dir,
            slide_id=job.slide_id,
            request=job.request,
            reader=reader,
            config=job.config,
            progress=progress,
            ahead=ahead,
        )
    except OutputError as error:
        return failed_result(
            job, reader, ReasonCode.OUTPUT_NOT_WRITABLE, error.message, fix=error.fix
        )
    except MemoryError:
        return failed_result(
            job,
            reader,
            ReasonCode.OUT_OF_MEMORY,
            f"{job.request.name}: not enough memory",
            fix="Close other programs, or lower tiling.tile_px.",
        )
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return failed_result(
            job,
            reader,
            ReasonCode.DISK_FULL,
            f"{job.out_dir}: no space left while the results of {job.request.name} were written",
            fix="Free some space and run the same command again.",
        )


def _sender(send_message: Callable[[FromWorker], None]) -> Callable[[Progress], None]:
    """Return a progress callback that sends at most ten messages a second."""
    last = 0.0

    def send(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_SECONDS or progress.timing is not None:
            last = now
            send_message(Advanced(progress=progress))

    return send


def _exit_with_parent() -> None:
    """End this process as soon as the parent is gone, however it went.

    The sentinel is a pipe that the kernel closes with the parent, on every system and also after
    a kill -9; a process of ours must not go on writing beside a second run.
    """
    parent = multiprocessing.parent_process()
    if parent is None:  # run in the main process: there is nobody to watch
        return

    def watch(sentinel: int) -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(EXIT_ORPHANED)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
