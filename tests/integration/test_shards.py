"""Split runs: any number of parts, killed anywhere, give the bytes of one run over all."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))

from faulty_reader import FakeFactory
from running import environment, her2, her2_command, journal_lines, result_bytes
from tiny_slides import write_slide

from pathology.batch import Inputs, Shard, SilentObserver, collect_inputs
from pathology.batch.folder_run import FolderRun
from pathology.batch.jobs import JobSource
from pathology.batch.messages import Job
from pathology.batch.shard_run import score_shard
from pathology.config import Config, load_config
from pathology.errors import OutputError, UsageError
from pathology.pipeline import slide_identity
from pathology.runs import (
    MissingSlidesError,
    RunFolder,
    RunKey,
    RunLog,
    ShardFolder,
    SlideFolder,
    SlideResult,
    leases,
    merge_runs,
    read_run_info,
    read_state,
)

CONFIG = load_config()
KEY = RunKey.of(CONFIG, model="fake/1", model_sha256="b" * 64)


class Killed(BaseException):
    """Stands for kill -9: nothing may be cleaned up after it."""


class PaperExecutor:
    """Write a small true result for each slide; be killed at a chosen moment."""

    def __init__(self, *, kill_at: int | None = None, stage: str = "") -> None:
        self.config: Config = CONFIG
        self.observer = SilentObserver()
        self.devices = ("cpu",)
        self.done: list[str] = []
        self._kill_at, self._stage = kill_at, stage

    def start(self) -> None:
        pass

    def run(self, jobs: JobSource, on_result: Callable[[SlideResult], None]) -> None:
        while jobs.left:
            job = jobs.take()
            assert job is not None, "nobody else is at work"
            self._die("taken")
            place = SlideFolder(root=job.out_dir, slide_id=job.slide_id)
            place.begin()
            place.overview.write_bytes(job.slide_id.encode())
            self._die("written")
            result = paper_result(job)
            place.write_result(result)
            self._die("done")
            self.done.append(job.slide_id)
            on_result(result)

    def stop(self, *, kill: bool = False) -> None:
        del kill

    def _die(self, stage: str) -> None:
        if self._kill_at == len(self.done) and self._stage == stage:
            raise Killed


def paper_result(job: Job) -> SlideResult:
    failed = "bad" in job.slide_id
    return SlideResult(
        slide_id=job.slide_id,
        path=job.request.name,
        status="failed" if failed else "not_scorable",
        reasons=("unreadable",) if failed else ("no_tissue",),
        case_id="one" if job.slide_id < "s3" else None,
        identity=slide_identity(job.request),
        config_hash=KEY.config_hash,
        model=KEY.model,
        model_sha256=KEY.model_sha256,
        outputs=({"name": "overview.png"},),
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("paper")
    for name in ("s0", "s1", "s2", "bad3", "s4", "s5", "s6"):
        (folder / f"{name}.svs").write_text(name)
    return collect_inputs([folder])


@pytest.fixture(scope="module")
def whole(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "out"
    with RunFolder(out, KEY) as folder, RunLog(out) as log:
        FolderRun(
            folder=folder, log=log, inputs=inputs, ids=inputs.ids, executor=PaperExecutor()
        ).score()
    return result_bytes(out)


@pytest.fixture
def _one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In these tests one process plays all parts in turn: every other one is dead."""
    monkeypatch.setattr(leases, "is_running", lambda *_: False)
    real = ShardFolder.close

    def close(self: ShardFolder) -> None:
        if isinstance(sys.exc_info()[1], Killed):
            lease, self._lease = self._lease, None
            if lease is not None:
                lease._still()  # a thread of this process would go on
        real(self)

    monkeypatch.setattr(ShardFolder, "close", close)
    return None


def play(inputs: Inputs, out: Path, index: int, count: int, executor: PaperExecutor) -> None:
    score_shard(
        inputs, out, KEY, shard=Shard(index=index, count=count), force=False, executor=executor
    )


@pytest.mark.usefixtures("_one_at_a_time")
@settings(max_examples=20)
@given(data=st.data())
def test_any_parts_killed_anywhere_give_the_bytes_of_one_run(
    inputs: Inputs, whole: dict[str, bytes], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 9))
    order = data.draw(st.permutations(range(1, count + 1)))
    kills = data.draw(
        st.lists(
            st.tuples(
                st.integers(1, count),
                st.integers(0, 2),
                st.sampled_from(["taken", "written", "done"]),
            ),
            max_size=4,
        )
    )
    done: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        for index, at, stage in kills:
            executor = PaperExecutor(kill_at=at, stage=stage)
            with contextlib.suppress(Killed):
                play(inputs, out, index, count, executor)
            done += executor.done
        for index in order:
            executor = PaperExecutor()
            play(inputs, out, index, count, executor)
            done += executor.done
        assert result_bytes(out) == whole
        assert read_run_info(out)[1].finished is not None  # type: ignore[union-attr]
        assert read_state(out).missing == {}
        good = [slide_id for slide_id in done if "bad" not in slide_id]
        assert len(good) == len(set(good)), "a slide was done twice"
        merge_runs([out])
        assert result_bytes(out) == whole


@settings(max_examples=10)
@given(count=st.integers(2, 6))
def test_parts_in_folders_of_their_own_are_joined_to_the_same_bytes(
    inputs: Inputs, whole: dict[str, bytes], count: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        outs = [Path(name) / f"part-{index}" for index in range(1, count + 1)]
        for index, out in enumerate(outs, start=1):
            play(inputs, out, index, count, PaperExecutor())
            rows = (out / "results.csv").read_text().splitlines()
            assert len(rows) - 1 == len(list((out / "slides").iterdir()))
        target = Path(name) / "all"
        merge_runs(outs, target)
        assert result_bytes(target) == whole
        merge_runs(outs, target)  # once more: nothing changes
        assert result_bytes(target) == whole
        # The whole merged with one of its parts is still the whole: equal slides are one slide.
        merge_runs([target, outs[0]], Path(name) / "again")
        assert result_bytes(Path(name) / "again") == whole


def test_missing_slides_are_listed_and_nothing_is_written(
    inputs: Inputs, whole: dict[str, bytes], tmp_path: Path
) -> None:
    play(inputs, tmp_path / "a", 1, 2, PaperExecutor())
    with pytest.raises(MissingSlidesError, match="have no result yet") as caught:
        merge_runs([tmp_path / "a"], tmp_path / "all")
    held = Shard(index=2, count=2)
    assert set(caught.value.missing) == {name for name in inputs.ids if held.holds(name)}
    assert not (tmp_path / "all").exists()
    status = merge_words(tmp_path / "a", "--out", tmp_path / "all")
    assert status.returncode == 1
    assert status.stdout.count("missing  ") == len(caught.value.missing)


def merge_words(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from pathology.cli import main; main()", "merge", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_file_that_was_cut_short_is_missing(inputs: Inputs, tmp_path: Path) -> None:
    play(inputs, tmp_path / "a", 1, 1, PaperExecutor())
    (tmp_path / "a" / "slides" / inputs.ids[0] / "overview.png").unlink()
    with pytest.raises(MissingSlidesError) as caught:
        merge_runs([tmp_path / "a"])
    assert list(caught.value.missing) == [inputs.ids[0]]


def test_other_configurations_and_different_results_are_refused(
    inputs: Inputs, tmp_path: Path
) -> None:
    play(inputs, tmp_path / "a", 1, 1, PaperExecutor())
    other = load_config(overrides=["scoring.min_tumour_cells=50"])
    key = RunKey.of(other, model="fake/1", model_sha256="b" * 64)
    shard = Shard(index=1, count=2)
    with pytest.raises(OutputError, match="min_tumour_cells: 100 there, 50 now"):
        score_shard(inputs, tmp_path / "a", key, shard=shard, force=False, executor=PaperExecutor())
    assert read_state(tmp_path / "a").missing == {}
    with pytest.raises(UsageError, match="--force with --shard"):
        score_shard(inputs, tmp_path / "a", KEY, shard=shard, force=True, executor=PaperExecutor())
    RunFolder(tmp_path / "b", key).close()
    with pytest.raises(OutputError, match="is of another configuration than"):
        merge_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    (tmp_path / "c" / "slides" / inputs.ids[0] / "overview.png").write_bytes(b"another")
    with pytest.raises(OutputError, match="has different results in"):
        merge_runs([tmp_path / "a", tmp_path / "c"], tmp_path / "all")
    with pytest.raises(OutputError, match="which is only read"):
        merge_runs([tmp_path / "a"], tmp_path / "a" / "all")
    with pytest.raises(OutputError, match="Give --out DIR"):
        merge_runs([tmp_path / "a", tmp_path / "c"])
    with pytest.raises(OutputError, match="no such folder"):
        merge_runs([tmp_path / "nowhere"], tmp_path / "all")


def test_a_run_alone_and_shards_keep_out_of_each_others_way(inputs: Inputs, tmp_path: Path) -> None:
    names = {"a-0123456789": "a.svs"}
    with ShardFolder(tmp_path, KEY, index=1, count=2, slides=names) as first:
        with ShardFolder(tmp_path, KEY, index=2, count=2, slides=names):
            assert {entry.part for entry in first.others()} == {(2, 2)}
            words = {shard.record.part: shard.word for shard in read_state(tmp_path).shards}
            assert words == {(1, 2): "at work", (2, 2): "at work"}
        assert first.dead_parts() == {(2, 2)}
        with pytest.raises(OutputError, match="is working in this output folder"):
            RunFolder(tmp_path, KEY)
        with pytest.raises(OutputError, match="shard 1/2, process"):
            merge_runs([tmp_path])
    with (
        RunFolder(tmp_path, KEY),
        pytest.raises(OutputError, match="is working in this output folder"),
    ):
        ShardFolder(tmp_path, KEY, index=1, count=2, slides=names)


WIDTHS = (576, 608, 640, 672)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for number, width in enumerate(WIDTHS):
        write_slide(folder / f"s{number}.tif", width=width, height=320, dab=0.9)
    return folder


@pytest.mark.slow
def test_a_shard_that_is_killed_is_taken_over_by_another_process(
    slides: Path, tmp_path: Path
) -> None:
    reference = tmp_path / "reference"
    assert her2("score", slides, "--out", reference).returncode == 0
    ids = collect_inputs([slides]).ids
    # The part of the first slide hangs at it, until it is killed; the other part takes over.
    victim = next(index for index in (1, 2) if Shard(index=index, count=2).holds(ids[0]))
    journal, out = tmp_path / "journal", tmp_path / "out"
    extra = {"HER2_TEST_JOURNAL": str(journal), "HER2_TEST_FAULTS": f"{WIDTHS[0]}=wait"}
    words = ("score", slides, "--out", out, "--shard")
    process = subprocess.Popen(
        her2_command(*words, f"{victim}/2"),
        env=environment(**extra),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not journal_lines(journal, "waiting"):
        assert process.poll() is None
    # A second process of the same part must leave the slide alone while the first one lives.
    assert not (out / "slides" / ids[0] / "result.json").exists()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "results.csv").exists()
    done = her2(*words, f"{3 - victim}/2", factory=FakeFactory(journal=journal))
    assert done.returncode == 0, done.stderr
    assert "taking over" in done.stderr
    again = her2(*words, f"{victim}/2")
    assert again.returncode == 0, again.stderr
    assert "it was the last" in again.stderr
    assert result_bytes(out) == result_bytes(reference)
