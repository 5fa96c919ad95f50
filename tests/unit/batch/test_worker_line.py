"""The worker's own side: what it does where opening the next slide costs the present one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path

import pytest
from running import quick_config

from pathology.batch import worker as module
from pathology.batch.messages import Assignment, Broke, Finished, FromWorker, Job, Preparing
from pathology.batch.results import failed_result
from pathology.batch.worker import _Line, _one_at_a_time
from pathology.errors import ReasonCode
from pathology.pipeline import Progress, SlideAhead, SlideRequest
from pathology.runs import SlideResult
from pathology.testing import FakeModel

CONFIG = quick_config()


def job(name: str) -> Job:
    request = SlideRequest(path=Path(f"{name}.tif"))
    return Job(slide_id=name, request=request, out_dir=Path("out"), config=CONFIG)


def serve(
    monkeypatch: pytest.MonkeyPatch, scores: Callable[[Job, bool], SlideResult]
) -> list[FromWorker]:
    """Serve the slide a, beside which b may be opened; ``scores`` is told whether b is begun."""
    sent: list[FromWorker] = []
    tasks = iter([Assignment(job=job("a"), upcoming=job("b")), None])
    line = _Line(lambda: next(tasks), sent.append, FakeModel())

    def score(given: Job, _: object, progress: Callable[[Progress], None], **__: object) -> object:
        progress(Progress(stage="score"))
        return scores(given, line._ahead is not None)

    monkeypatch.setattr(module, "score_job", score)
    line.serve()
    return sent


def test_no_memory_beside_another_slide_is_tried_once_more_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[bool] = []

    def scores(given: Job, beside: bool) -> SlideResult:
        tries.append(beside)
        reason = ReasonCode.OUT_OF_MEMORY if beside else ReasonCode.INTERNAL_ERROR
        return failed_result(given, FakeModel(), reason, "a.tif: no")

    finished = [m for m in serve(monkeypatch, scores) if isinstance(m, Finished)]
    assert tries == [True, False]
    assert [m.result.reasons for m in finished] == [(ReasonCode.INTERNAL_ERROR,)]


def test_no_memory_alone_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[bool] = []

    def scores(given: Job, beside: bool) -> SlideResult:
        tries.append(beside)
        return failed_result(given, FakeModel(), ReasonCode.OUT_OF_MEMORY, "a.tif: no")

    serve(monkeypatch, scores)
    assert tries == [True, False]


def test_where_no_thread_can_be_had_the_slide_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: SlideAhead) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(SlideAhead, "begin", refused)
    sent = serve(
        monkeypatch,
        lambda given, _: failed_result(given, FakeModel(), ReasonCode.UNREADABLE, "a.tif: no"),
    )
    assert [m.busy for m in sent if isinstance(m, Preparing)] == [True, False]
    assert isinstance(sent[-1], Finished)


def test_long_messages_of_two_threads_do_not_mix() -> None:
    ours, theirs = Pipe()
    send = _one_at_a_time(theirs)
    # Longer than what a pipe takes in one piece.
    long = Broke(kind="Error", traceback="x" * 300_000)

    def some(message: FromWorker) -> None:
        for _ in range(30):
            send(message)

    threads = [
        threading.Thread(target=some, args=(message,), daemon=True)
        for message in (long, Preparing(busy=False))
    ]
    for thread in threads:
        thread.start()
    got = [ours.recv() for _ in range(60)]
    assert sorted(type(message).__name__ for message in got) == ["Broke"] * 30 + ["Preparing"] * 30
    for thread in threads:
        thread.join(30)
