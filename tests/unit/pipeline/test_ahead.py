"""Opening a slide ahead of its turn: the same result, and nothing left open."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "batch"))

from running import quick_config
from tiny_slides import write_slide

from pathology.pipeline import SlideAhead, SlideRequest, ahead, score_slide, slide_identity
from pathology.testing import FakeModel
from pathology.timing import SlideTiming

CONFIG = quick_config()


@pytest.fixture
def request_(tmp_path: Path) -> SlideRequest:
    return SlideRequest(path=write_slide(tmp_path / "a.tif", width=576, dab=0.9))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Count what is opened, and take off what is closed."""
    there: list[object] = []
    real = ahead.open_request

    def watched(request: SlideRequest, config: object) -> object:
        slide = real(request, config)  # type: ignore[arg-type]
        there.append(slide)
        close = slide.close
        slide.close = lambda: (there.remove(slide), close())  # type: ignore[method-assign]
        return slide

    monkeypatch.setattr(ahead, "open_request", watched)
    return there


def begun(request: SlideRequest) -> SlideAhead:
    made = SlideAhead(request, CONFIG)
    made.begin()
    return made


def test_the_result_is_the_same_and_the_time_counts(request_: SlideRequest, tmp_path: Path) -> None:
    files, timings = [], []
    for name, given in (("own", None), ("ahead", begun(request_))):
        timing: list[SlideTiming] = []
        score_slide(
            request_.path,
            out_dir=tmp_path / name,
            slide_id="a",
            request=request_,
            reader=FakeModel(),
            config=CONFIG,
            progress=lambda told, timing=timing: timing.extend(  # type: ignore[misc]
                [told.timing] if told.timing else []
            ),
            ahead=given,
        )
        folder = tmp_path / name / "slides" / "a"
        files.append({file.name: file.read_bytes() for file in folder.iterdir()})
        timings += timing
    assert files[0] == files[1]
    assert len(files[0]) > 5
    assert all(timing.seconds["tissue"] > 0 and timing.seconds["open"] > 0 for timing in timings)


def test_a_file_that_has_changed_is_opened_anew(
    request_: SlideRequest, opened: list[object]
) -> None:
    made = begun(request_)
    made._thread.join()  # else the change may come before it looks at the file
    before = slide_identity(request_)
    os.utime(request_.path, ns=(1, 1))
    assert slide_identity(request_) != before
    assert made.take(slide_identity(request_)) is None
    assert not opened


def test_what_is_taken_is_taken_once(request_: SlideRequest, opened: list[object]) -> None:
    made = begun(request_)
    identity = slide_identity(request_)
    ready = made.take(identity)
    assert ready is not None
    assert made.take(identity) is None
    made.close()
    assert opened == [ready.slide]  # it is the taker's to close
    ready.slide.close()
    assert not opened


def test_what_nobody_takes_is_closed(request_: SlideRequest, opened: list[object]) -> None:
    made = begun(request_)
    made.close()
    assert not opened
    never = SlideAhead(request_, CONFIG)
    assert never.take(slide_identity(request_)) is None
    never.close()


def test_a_fault_is_kept_for_the_slides_own_turn(
    request_: SlideRequest, opened: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ahead, "find_tissue", broken)
    ended = threading.Event()
    made = SlideAhead(request_, CONFIG, on_end=ended.set)
    made.begin()
    assert ended.wait(30)
    assert made.take(slide_identity(request_)) is None
    assert not opened
