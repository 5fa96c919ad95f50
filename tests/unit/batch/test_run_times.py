"""Times of runs made in shards: read from the logs of the parts, or refused with the reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import Done, her2
from tiny_slides import write_slide

from pathology.acceptance.facts import gather_facts
from pathology.batch import Shard
from pathology.batch.machine_speed import fit_cost, speed_of_run
from pathology.batch.run_times import device_kind, read_run_times
from pathology.errors import OutputError
from pathology.runs import merge_runs

SIDES = (512, 600, 700, 800)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("input") / "slides"
    for index, side in enumerate(SIDES):
        write_slide(folder / f"{index}.tif", width=side, height=side)
    return folder


def score_part(slides: Path, out: Path, part: str) -> None:
    done = her2("score", slides, "--out", out, "--shard", part)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def shared(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards in one folder; the second one joins them."""
    out = tmp_path_factory.mktemp("shared") / "out"
    score_part(slides, out, "1/2")
    score_part(slides, out, "2/2")
    return out


@pytest.fixture(scope="module")
def apart(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two shards in a folder each."""
    base = tmp_path_factory.mktemp("apart")
    score_part(slides, base / "one", "1/2")
    score_part(slides, base / "two", "2/2")
    return base / "one", base / "two"


@pytest.fixture
def copied(shared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shared, tmp_path / "out"))


def timings(*outs: Path) -> dict[str, dict[str, Any]]:
    """Read the slides' timings from the parts' logs, without the program."""
    logs = [path for out in outs for path in (out / "shards").glob("*.log.jsonl")]
    lines = [json.loads(line) for path in logs for line in path.read_text().splitlines()]
    return {line["slide_id"]: line["timing"] for line in lines if line["event"] == "slide_finished"}


def change_records(out: Path, change: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    records = []
    for path in sorted((out / "shards").glob("*.shard.json")):
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))
        records.append(record)
    return records


def assert_refused(done: Done, *texts: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    for text in texts:
        assert text in " ".join(done.stderr.split())


def test_a_plan_takes_its_figures_from_both_shards(shared: Path, slides: Path) -> None:
    assert not (shared / "log.jsonl").exists()
    logs = [path.read_text() for path in (shared / "shards").glob("*.log.jsonl")]
    assert [text.count("slide_finished") > 0 for text in logs] == [True, True]
    plan = her2("plan", slides, "--from", shared)
    assert (plan.returncode, plan.stderr) == (0, "")
    assert f"from            run in {shared}, " in plan.stdout
    assert "2 processes pooled" in plan.stdout
    found = timings(shared)
    assert len(found) == len(SIDES)
    areas = [item["tissue_mm2"] for item in found.values()]
    cost = fit_cost(areas, [item["wall_s"] for item in found.values()])
    assert cost is not None
    assert f"4 slides, {sum(areas):,.1f} mm², on cpu of " in " ".join(plan.stdout.split())
    assert f"{cost.per_slide:,.2f} s a slide, {cost.per_mm2:,.3f} s/mm² (fitted)" in plan.stdout


def test_bytes_are_those_of_slides_tables_and_logs(shared: Path) -> None:
    """Records, claims and lists of slides are what only a split run has."""
    files = [path for path in shared.rglob("*") if path.is_file()]
    split_only = [path for path in files if "shards" in path.parts and path.suffix != ".jsonl"]
    assert len(split_only) >= 3
    written = speed_of_run(shared).written
    area = sum(item["tissue_mm2"] for item in timings(shared).values())
    assert written.of(slides=len(SIDES), tissue_mm2=area) == pytest.approx(
        sum(path.stat().st_size for path in set(files) - set(split_only))
    )


def test_the_start_of_a_process_is_the_median_of_the_parts(copied: Path) -> None:
    begun, spent = "2026-01-01T00:00:00.000Z", iter((100, 300))

    def change(record: dict[str, Any]) -> None:
        minutes, seconds = divmod(next(spent), 60)
        record.update(started=begun, finished=f"2026-01-01T00:{minutes:02}:{seconds:02}.000Z")

    change_records(copied, change)
    read = sum(item["wall_s"] for item in timings(copied).values())
    assert speed_of_run(copied).start_s == pytest.approx((100 + 300 - read) / 2)


def test_parts_with_a_folder_each_are_given_together(
    apart: tuple[Path, Path], slides: Path, tmp_path: Path
) -> None:
    one, two = apart
    plan = her2("plan", slides, "--from", one, "--from", two)
    assert (plan.returncode, plan.stderr) == (0, "")
    assert "4 slides" in plan.stdout
    speed = speed_of_run(one, two, one)
    assert speed.tissue_mm2 == pytest.approx(
        sum(item["tissue_mm2"] for item in timings(one, two).values())
    )
    assert f"run in {one}, {two}, " in speed.source
    assert_refused(her2("plan", slides, "--from", one), str(one), "part 2/2 absent", "--from for")
    merge_runs([one, two], tmp_path / "all")
    assert_refused(
        her2("plan", slides, "--from", tmp_path / "all"),
        str(tmp_path / "all"), "`her2 merge`", "no times", "folder of the parts",
    )  # fmt: skip
    assert_refused(her2("plan", slides, "--from", one, "--from", tmp_path / "all"), "`her2 merge`")


def test_a_merged_folder_with_the_log_of_an_import_is_still_a_merged_one(
    apart: tuple[Path, Path], tmp_path: Path
) -> None:
    merge_runs(apart, tmp_path / "all")
    (tmp_path / "all" / "log.jsonl").write_text('{"event": "ish_imported"}\n')
    with pytest.raises(OutputError, match="was written by `her2 merge`"):
        speed_of_run(tmp_path / "all")


def test_a_folder_joined_in_place_keeps_its_times(copied: Path) -> None:
    before = speed_of_run(copied)
    merge_runs([copied])
    assert speed_of_run(copied).mm2_s == before.mm2_s


def test_parts_that_are_not_finished_are_named(copied: Path, slides: Path) -> None:
    held = [
        path for path in (copied / "slides").iterdir() if Shard(index=2, count=2).holds(path.name)
    ]

    def stop(record: dict[str, Any]) -> None:
        if record["index"] == 2:
            record.update(finished=None, stopped=record["finished"], device="")

    change_records(copied, stop)
    (held[0] / "result.json").unlink()
    refused = her2("plan", slides, "--from", copied)
    assert_refused(refused, str(copied), "1 of 4 slides have no result yet (part 2/2 stopped)")


def test_without_tables_the_run_has_not_finished(copied: Path) -> None:
    content = json.loads((copied / "run.json").read_text())
    content["run"]["finished"] = None
    (copied / "run.json").write_text(json.dumps(content))
    with pytest.raises(OutputError, match="the tables are not written") as caught:
        speed_of_run(copied)
    assert f"her2 merge {copied}" in caught.value.fix
    merge_runs([copied])
    assert speed_of_run(copied).slides == len(SIDES)


def test_parts_on_different_kinds_of_device_are_refused(copied: Path, slides: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["device"] = "cuda:0" if record["index"] == 1 else "cpu"

    change_records(copied, change)
    refused = her2("plan", slides, "--from", copied)
    assert_refused(refused, str(copied), "part 1/2 on cuda:0, part 2/2 on cpu", "--measure")


def test_of_one_kind_the_fewest_devices_count(copied: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["device"] = "cuda:0,cuda:1" if record["index"] == 1 else "cuda:3"
        record["host"] = f"h{record['index']}"

    change_records(copied, change)
    speed = speed_of_run(copied)
    assert (speed.device, speed.host) == ("cuda:3", "h1,h2")


def test_times_of_a_process_that_did_not_finish_are_left_out(copied: Path) -> None:
    """Its device is not known; its slides have results, so the run is whole."""

    def kill(record: dict[str, Any]) -> None:
        if record["index"] == 1:
            record.update(finished=None, device="", machine="gone", pid=0)

    change_records(copied, kill)
    times = read_run_times([copied])
    assert [one.name for one in times.processes] == ["part 2/2"]
    second = Shard(index=2, count=2)
    assert set(times.slides) == {name for name in timings(copied) if second.holds(name)}


def test_a_part_that_is_started_again_changes_nothing(copied: Path, slides: Path) -> None:
    before = speed_of_run(copied)
    score_part(slides, copied, "1/2")
    after = speed_of_run(copied)
    assert (after.slides, after.mm2_s, after.start_s) == (4, before.mm2_s, before.start_s)


def test_an_acceptance_finds_the_times_of_shards(shared: Path) -> None:
    facts = gather_facts(shared, near_pp=2.0, match_um=5.0)
    assert len(facts) == len(SIDES)
    assert all(fact.seconds is not None and fact.seconds > 0 for fact in facts)


def test_kinds_of_device_are_told_without_their_numbers() -> None:
    assert device_kind("cuda:0,cuda:1") == device_kind("a:cuda:3,b-cpu:cuda:0") == "cuda"
    assert device_kind("node:cpu,cpu") == "cpu"
    assert device_kind("cpu,cuda:0") == "cpu+cuda"


@given(name=st.text(), count=st.integers(1, 50))
def test_a_slide_is_in_the_part_that_it_is_said_to_be_in(name: str, count: int) -> None:
    held = [index for index in range(1, count + 1) if Shard(index=index, count=count).holds(name)]
    assert held == [Shard.of(name, count=count).index]
