"""Runs that are repeated, stopped, killed or run differently: the same bytes every time."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))

from faulty_reader import FakeFactory
from running import environment, her2, her2_command, her2_words, journal_lines, result_bytes
from tiny_slides import write_slide

from pathology.errors import OutputError

WIDTHS = (576, 608, 640)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for number, width in enumerate(WIDTHS):
        write_slide(folder / f"s{number}.tif", width=width, dab=0.9 if number else 0.0)
    return folder


@pytest.fixture(scope="module")
def reference(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "out"
    done = her2("score", slides, "--out", out, "--workers", "1")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def start(*words: str | Path, **extra: str) -> subprocess.Popen[str]:
    # Where these tests are a background job, Ctrl-C is ignored, and would be by the command too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            her2_command(*words),
            env=environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A group of its own, so that Ctrl-C reaches it and its workers alone.
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for(journal: Path, word: str, *, count: int = 1) -> None:
    limit = time.monotonic() + 120
    while len(journal_lines(journal, word)) < count:
        assert time.monotonic() < limit, f"no {word!r} in the journal"
        time.sleep(0.02)


def pids(journal: Path) -> set[int]:
    return {int(line.split()[-1]) for line in journal.read_text().splitlines()}


def wait_for_end(pid: int) -> None:
    limit = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and "Z" not in _state(pid):
        assert time.monotonic() < limit, f"worker {pid} outlived its parent"
        time.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_more_reading_threads_change_no_byte(slides: Path, reference: Path, tmp_path: Path) -> None:
    done = her2("score", slides, "--out", tmp_path / "out", "--workers", "4")
    assert done.returncode == 0, done.stderr
    assert result_bytes(tmp_path / "out") == result_bytes(reference)


def test_a_finished_run_is_not_run_again(slides: Path, reference: Path, journal: Path) -> None:
    before = result_bytes(reference)
    done = her2("score", slides, "--out", reference, factory=FakeFactory(journal=journal))
    assert done.returncode == 0, done.stderr
    assert result_bytes(reference) == before
    assert not journal.exists()  # no worker was started
    assert "3 slides, 3 done before" in done.stderr
    assert done.stdout.count("3+") == 2


def test_a_missing_file_of_a_slide_is_made_again(
    slides: Path, reference: Path, tmp_path: Path, journal: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(reference, out)
    next(out.glob("slides/s1-*/cells.parquet")).unlink()
    done = her2("score", slides, "--out", out, factory=FakeFactory(journal=journal))
    assert done.returncode == 0, done.stderr
    assert result_bytes(out) == result_bytes(reference)
    assert {line.split()[1] for line in journal_lines(journal, "read")} == {str(WIDTHS[1])}


def test_a_slide_that_fails_alone_costs_nobody_else_and_is_tried_again(
    slides: Path, reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    faults = ((WIDTHS[0], "kill"), (WIDTHS[1], "raise"))
    done = her2("score", slides, "--out", out, factory=FakeFactory(faults=faults))
    assert done.returncode == 70
    assert "worker_crashed" in done.stdout
    assert "SIGKILL" in done.stdout
    assert "internal_error" in done.stdout
    assert "3+" in done.stdout
    for number, reason in ((0, "worker_crashed"), (1, "internal_error")):
        (path,) = out.glob(f"slides/s{number}-*/result.json")
        assert json.loads(path.read_text())["reasons"] == [reason]
    events = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    (defect,) = [event for event in events if event["event"] == "internal_error"]
    assert "ZeroDivisionError: a defect of the program" in defect["traceback"]
    good = her2("score", slides, "--out", out)
    assert good.returncode == 0, good.stderr
    assert result_bytes(out) == result_bytes(reference)


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(
    slides: Path, reference: Path, tmp_path: Path, journal: Path
) -> None:
    out = tmp_path / "out"
    extra = {"HER2_TEST_JOURNAL": str(journal), "HER2_TEST_FAULTS": f"{WIDTHS[1]}=wait"}
    process = start("score", slides, "--out", out, **extra)
    wait_for(journal, "waiting")
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    assert process.returncode == 130
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    lines = (out / "results.csv").read_text().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("s0-")
    assert json.loads((out / "run.json").read_text())["run"]["finished"] is None
    events = [json.loads(line)["event"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert "interrupted" in events
    assert "run_finished" not in events
    exported = her2_words(["export", str(out), "--to", "geojson", "--out", str(tmp_path / "x")])
    assert exported.returncode == 0, exported.stderr
    assert "this run has not finished" in exported.stderr
    assert len(list((tmp_path / "x").glob("s*.geojson.gz"))) == 1
    for pid in pids(journal):
        wait_for_end(pid)
    journal.unlink()
    done = her2("score", slides, "--out", out, factory=FakeFactory(journal=journal))
    assert done.returncode == 0, done.stderr
    assert result_bytes(out) == result_bytes(reference)
    assert str(WIDTHS[0]) not in {line.split()[1] for line in journal_lines(journal, "read")}


def kill_and_continue(slides: Path, out: Path, journal: Path, *, kills: int, seed: int) -> None:
    """Kill the parent at random moments, then let the run finish."""
    random_moment = random.Random(seed)  # noqa: S311
    for number in range(kills):
        journal.unlink(missing_ok=True)
        if len(list(out.glob("slides/*/result.json"))) == len(WIDTHS):
            # Everything got done between two kills: there is nothing left to kill, so begin anew.
            shutil.rmtree(out)
        # The first time the worker is deep in a slide and would not look up for ten minutes.
        faults = f"{WIDTHS[1]}=wait" if number == 0 else ""
        extra = {"HER2_TEST_JOURNAL": str(journal), "HER2_TEST_FAULTS": faults}
        process = start("score", slides, "--out", out, **extra)
        try:
            wait_for(journal, "open" if number else "waiting")
            time.sleep(random_moment.uniform(0, 2.0) if number else 0)
        finally:
            process.kill()
            process.communicate()
        for pid in pids(journal):
            wait_for_end(pid)
    done = her2("score", slides, "--out", out)
    assert done.returncode == 0, done.stderr


def test_a_killed_run_goes_on_to_the_same_bytes(
    slides: Path, reference: Path, tmp_path: Path, journal: Path
) -> None:
    kill_and_continue(slides, tmp_path / "out", journal, kills=2, seed=1)
    assert result_bytes(tmp_path / "out") == result_bytes(reference)


@pytest.mark.slow
def test_twenty_kills_go_on_to_the_same_bytes(
    slides: Path, reference: Path, tmp_path: Path, journal: Path
) -> None:
    kill_and_continue(slides, tmp_path / "out", journal, kills=20, seed=2)
    assert result_bytes(tmp_path / "out") == result_bytes(reference)


def test_another_configuration_needs_force_which_keeps_the_old_run(
    slides: Path, reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(reference, out)
    other = ("--set", "scoring.min_tumour_cells=90")
    refused = her2("score", slides, "--out", out, *other)
    assert refused.returncode == 2
    assert "scoring.min_tumour_cells: 100 there, 90 now" in refused.stderr
    assert result_bytes(out) == result_bytes(reference)
    forced = her2("score", slides, "--out", out, *other, "--force")
    assert forced.returncode == 0, forced.stderr
    (previous,) = (out / "previous").iterdir()
    assert result_bytes(previous) == result_bytes(reference)


def test_a_gpu_that_is_not_there_is_refused_before_the_old_run_is_moved(
    slides: Path, reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(reference, out)
    done = her2("score", slides, "--out", out, "--force", "--device", "cuda")
    assert done.returncode == 2
    assert "no CUDA GPU was found" in done.stderr
    assert not (out / "previous").exists()


def test_a_model_that_does_not_start_is_refused(slides: Path, tmp_path: Path) -> None:
    done = her2(
        "score", slides, "--out", tmp_path / "out", factory=FakeFactory(start_fault="refuse")
    )
    assert done.returncode == 2
    assert "the model does not start. Mend it." in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


def test_a_disk_that_fills_up(slides: Path, reference: Path, small_disk: Path) -> None:
    out = small_disk / "out"
    faults = ((WIDTHS[1], f"fill {small_disk}"),)
    done = her2("score", slides, "--out", out, factory=FakeFactory(faults=faults))
    assert done.returncode in (1, 2)
    assert "full" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "s1-" in done.stderr
    assert "disk_full" in done.stderr
    first = next(out.glob("slides/s0-*/result.json"))
    assert first.read_bytes() == next(reference.glob("slides/s0-*/result.json")).read_bytes()
    (small_disk / "ballast").unlink()
    good = her2("score", slides, "--out", out)
    assert good.returncode == 0, good.stderr
    assert result_bytes(out) == result_bytes(reference)


def test_a_file_that_may_not_grow_fails_its_slide_alone(
    slides: Path, reference: Path, tmp_path: Path
) -> None:
    # A limit on the size of files stands in for a full disk where no disk can be mounted: it lies
    # between the largest files of two slides, and above those of everything else.
    out = tmp_path / "out"
    largest = [
        max(path.stat().st_size for path in reference.glob(f"slides/s{number}-*/*"))
        for number in range(3)
    ]
    limit = (largest[0] + min(largest[1:])) // 2
    assert largest[0] < limit < min(largest[1:])
    code = f"import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit},) * 2)"
    code += "; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    words = her2_command("score", slides, "--out", out)
    done = subprocess.run(
        [words[0], "-c", code, *words[1:]],
        env=environment(PYTHONPATH=str(Path(words[1]).parent)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "1 scored, 0 not scorable, 2 failed (disk_full 2)" in done.stdout
    assert "Traceback" not in done.stderr


def test_two_workers_give_the_same_bytes(
    slides: Path, reference: Path, tmp_path: Path, journal: Path
) -> None:
    factory = FakeFactory(workers=2, journal=journal)
    done = her2("score", slides, "--out", tmp_path / "out", factory=factory)
    assert done.returncode == 0, done.stderr
    assert len(pids(journal)) == 2
    assert result_bytes(tmp_path / "out") == result_bytes(reference)


def test_the_next_slide_is_opened_beside_the_present_one(
    slides: Path, reference: Path, tmp_path: Path, journal: Path
) -> None:
    factory = FakeFactory(journal=journal)
    done = her2("score", slides, "--out", tmp_path / "out", factory=factory)
    assert done.returncode == 0, done.stderr
    ahead = [line.split()[1] for line in journal_lines(journal, "ahead")]
    assert ahead == [str(width) for width in WIDTHS[1:]]
    assert result_bytes(tmp_path / "out") == result_bytes(reference)


@pytest.mark.parametrize("what", ["kill", "exit", "raise", "memory"])
def test_what_happens_to_the_next_slide_costs_the_present_one_nothing(
    slides: Path, reference: Path, tmp_path: Path, journal: Path, what: str
) -> None:
    factory = FakeFactory(journal=journal, ahead_faults=((WIDTHS[1], what),))
    done = her2("score", slides, "--out", tmp_path / "out", factory=factory)
    assert done.returncode == 0, done.stderr
    assert result_bytes(tmp_path / "out") == result_bytes(reference)
    died = what in ("kill", "exit")
    assert ("s0.tif is scored once more" in done.stderr) == died
    assert len(journal_lines(journal, "open")) == 1 + died


def test_a_slide_that_ends_every_worker_is_the_only_one_that_fails(
    slides: Path, reference: Path, tmp_path: Path, journal: Path
) -> None:
    out = tmp_path / "out"
    bad = ((WIDTHS[1], "kill"),)
    factory = FakeFactory(journal=journal, faults=bad, ahead_faults=bad)
    done = her2("score", slides, "--out", out, factory=factory)
    assert done.returncode == 1, done.stderr
    assert "3 slides: 2 scored, 0 not scorable, 1 failed (worker_crashed 1)" in done.stdout
    # Beside the slide before it, and in its own turn: no third time.
    assert len(journal_lines(journal, "open")) == 3
    rows = {line.split(",")[0]: line for line in (out / "results.csv").read_text().splitlines()}
    for slide_id, line in rows.items():
        same = line in (reference / "results.csv").read_text().splitlines()
        assert same != slide_id.startswith("s1-")


def test_where_no_worker_starts_again_every_slide_still_has_its_row(
    slides: Path, tmp_path: Path, journal: Path
) -> None:
    factory = FakeFactory(faults=((WIDTHS[0], "exit"),), journal=journal, start_fault="once")
    done = her2("score", slides, "--out", tmp_path / "out", factory=factory)
    assert done.returncode == 1, done.stderr
    assert "3 slides: 0 scored, 0 not scorable, 3 failed (worker_crashed 3)" in done.stdout
    assert "exit status 3" in done.stdout
    assert done.stdout.count("no worker process could be started again") == 2


def test_slides_of_an_earlier_command_are_named_and_kept(
    slides: Path, reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(reference, out)
    done = her2("score", slides / "s1.tif", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "2 slides of an earlier command are not among the inputs" in done.stderr
    assert len(list((out / "slides").iterdir())) == 3


def test_parts_are_disjoint_and_an_empty_one_has_an_empty_table(
    slides: Path, tmp_path: Path
) -> None:
    slide, rows = slides / "s0.tif", []
    for part in ("1/2", "2/2"):
        out = tmp_path / part.replace("/", "of")
        done = her2("score", slide, "--out", out, "--shard", part)
        assert done.returncode == 0, done.stderr
        (out / "cases.csv").read_text()
        rows.append(len((out / "results.csv").read_text().splitlines()) - 1)
        assert ("is empty" in done.stderr) == (rows[-1] == 0)
    assert sorted(rows) == [0, 1]


def test_tables_that_cannot_be_written_do_not_hide_the_scores(
    slides: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("results.csv: the disk is full", fix="Free some space.")

    out = tmp_path / "out"
    shutil.copytree(reference, out)
    monkeypatch.setattr("pathology.batch.folder_run.write_results", full)
    done = her2("score", slides, "--out", out)
    assert done.returncode == 2
    assert "3 slides: 3 scored" in done.stdout
    assert "results.csv: the disk is full. Free some space." in done.stderr
    assert "results in" not in done.stdout
    assert json.loads((out / "run.json").read_text())["run"]["finished"] is None


def test_an_export_that_fails_does_not_hide_the_scores(
    slides: Path, reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(reference, out)
    (out / "exports").touch()
    done = her2("score", slides, "--out", out, "--export", "html")
    assert done.returncode == 2
    assert "3 slides: 3 scored" in done.stdout
    assert "exports" in done.stderr
