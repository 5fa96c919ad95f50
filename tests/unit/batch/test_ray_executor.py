"""The Ray executor against a cluster of the imagination: processes and nodes that go away."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from faulty_reader import FakeFactory

from pathology.batch import ray_executor
from pathology.batch.execution import make_executor, parse_executor
from pathology.batch.jobs import QueuedJobs
from pathology.batch.messages import Broke, Finished, Job, Refused
from pathology.batch.observer import SilentObserver
from pathology.batch.ray_cluster import RayCluster, RayProcess
from pathology.batch.ray_executor import RayExecutor
from pathology.batch.ray_worker import Absent, Opened, RayWorker
from pathology.config import load_config
from pathology.errors import PathologyError, UsageError
from pathology.pipeline import SlideRequest
from pathology.provenance import PACKAGES, versions
from pathology.runs import SlideFolder, SlideResult

CONFIG = load_config(overrides=["inference.cpu_threads=1"])


class Gone(Exception):
    """What Ray raises for a process that has died."""


@dataclass
class Call:
    """Stands for ``handle.method`` and its ``remote``."""

    function: Callable[..., Any]

    def remote(self, *args: Any) -> Any:
        return Answer(self.function, args)


class Answer:
    """Stands for a reference: what was asked, answered when it is looked at."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.function, self.args = function, args


@dataclass
class Handle:
    """Stands for an actor; ``what`` says by slide id what happens to it."""

    cluster: FakeCluster
    node: str
    open: Call = field(init=False)
    score: Call = field(init=False)
    progress: Call = field(init=False)

    def __post_init__(self) -> None:
        self.open = Call(self._open)
        self.score = Call(self._score)
        self.progress = Call(lambda: None)

    def _open(self) -> Any:
        what = self.cluster.starts.pop(0) if self.cluster.starts else "ok"
        if what == "gone":
            raise Gone("the node died")
        if what == "refuse":
            return Refused(kind=UsageError, message=f"{self.node}: no such model", fix="Mend it.")
        known = {name: versions()[name] for name in PACKAGES}
        if what == "other":
            known["torch"] = "0.1"
        return Opened(node=self.node, device="cpu", packages=known)

    def _score(self, job: Job, needed: tuple[Path, ...]) -> Any:
        self.cluster.begun.append(job.slide_id)
        faults = self.cluster.faults.get(job.slide_id, [])
        match faults.pop(0) if faults else "ok":
            case "gone":
                self.cluster.died = True
                raise Gone("killed by SIGKILL\nmany more lines")
            case "raise":
                return Broke(kind="ZeroDivisionError", traceback="...")
            case "absent":
                return Absent(node=self.node, path=str(needed[-1]))
            case "overwritten":
                other = result_of(job).model_copy(update={"case_id": "written by another process"})
                SlideFolder(root=job.out_dir, slide_id=job.slide_id).write_result(other)
                return Finished(result=result_of(job))
        result = result_of(job)
        place = SlideFolder(root=job.out_dir, slide_id=job.slide_id)
        place.write_result(result)
        assert needed[0].exists(), "the probe must be there while slides are read"
        return Finished(result=result)


def result_of(job: Job) -> SlideResult:
    return SlideResult(
        slide_id=job.slide_id, path=job.request.name, status="not_scorable", reasons=("no_tissue",)
    )


@dataclass
class FakeCluster:
    """Two nodes with one CPU each, unless told otherwise."""

    faults: dict[str, list[str]] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)
    resources: list[dict[str, float]] = field(default_factory=lambda: [{"CPU": 1}, {"CPU": 1}])
    begun: list[str] = field(default_factory=list)
    #: What the next looks at the cluster see once a process has died; then ``resources`` again.
    after_death: list[list[dict[str, float]]] = field(default_factory=list)
    died: bool = False
    devices: list[str] = field(default_factory=list)
    launched: int = 0
    ended: int = 0
    left: bool = False

    def lost_errors(self) -> tuple[type[BaseException], ...]:
        return (Gone,)

    def nodes(self) -> list[dict[str, float]]:
        if self.died and self.after_death:
            return self.after_death.pop(0)
        return self.resources

    def launch(self, factory: Any, config: Any, device: str, **_: Any) -> RayProcess:
        del factory, config
        self.devices.append(device)
        self.launched += 1
        handle = Handle(self, f"node-{self.launched}")
        return RayProcess(handle=handle, pending=handle.open.remote())

    def finished(self, references: list[Any], _: float) -> list[Any]:
        return references

    def answer(self, reference: Answer) -> Any:
        return reference.function(*reference.args)

    def end(self, _: RayProcess) -> None:
        self.ended += 1

    def leave(self) -> None:
        self.left = True


class Notes(SilentObserver):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.defects: list[str] = []
        self.started: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def defect(self, slide_id: str, kind: str, traceback: str) -> None:
        del kind, traceback
        self.defects.append(slide_id)

    def slide_started(self, slide_id: str, display_path: str) -> None:
        del display_path
        self.started.append(slide_id)


@dataclass
class Played:
    cluster: FakeCluster
    results: dict[str, SlideResult]
    notes: Notes


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeCluster], Played]:
    monkeypatch.setattr(ray_executor, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(ray_executor, "_LOOK_SECONDS", 0.0)

    def run(cluster: FakeCluster, *, device: str = "auto") -> Played:
        notes = Notes()
        executor = RayExecutor(factory=FakeFactory(), config=CONFIG, device=device, observer=notes)
        executor._cluster = cluster  # type: ignore[assignment]
        jobs = []
        for number in range(6):
            path = tmp_path / f"s{number}.svs"
            path.touch()
            request = SlideRequest(path=path, display_path=path.name)
            jobs.append(
                Job(slide_id=f"s{number}", request=request, out_dir=tmp_path, config=CONFIG)
            )
        results: dict[str, SlideResult] = {}

        def take(result: SlideResult) -> None:
            assert result.slide_id not in results, "a slide was reported twice"
            results[result.slide_id] = result

        try:
            executor.start()
            executor.run(QueuedJobs(jobs), take)
        finally:
            executor.stop(kill=True)
        assert cluster.left
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".ray")]
        return Played(cluster, results, notes)

    return run


Play = Callable[..., Played]


def test_every_slide_is_read_once_on_all_places(play: Play) -> None:
    done = play(FakeCluster())
    assert sorted(done.results) == [f"s{n}" for n in range(6)]
    assert sorted(done.cluster.begun) == sorted(done.results)
    assert done.cluster.launched == 2
    assert done.notes.notes == []


def test_a_lost_slide_is_begun_again_elsewhere(play: Play) -> None:
    done = play(FakeCluster(faults={"s1": ["gone"], "s4": ["gone", "gone"]}))
    assert {result.status for result in done.results.values()} == {"not_scorable"}
    assert done.cluster.begun.count("s4") == 3
    assert done.notes.started.count("s4") == 1
    assert any("s1.svs: killed by SIGKILL" in note for note in done.notes.notes)


def test_a_slide_that_ends_three_processes_fails_alone(play: Play) -> None:
    done = play(FakeCluster(faults={"s2": ["gone"] * 9}))
    assert done.cluster.begun.count("s2") == 3
    assert [str(code) for code in done.results["s2"].reasons] == ["worker_crashed"]
    assert sum(result.status == "failed" for result in done.results.values()) == 1


def test_a_second_reading_counts_only_if_the_disk_says_the_same(play: Play) -> None:
    done = play(FakeCluster(faults={"s3": ["gone", "overwritten"]}))
    assert done.cluster.begun.count("s3") == 3
    assert done.results["s3"].status == "not_scorable"


def test_a_defect_fails_its_slide_and_ends_its_process(play: Play) -> None:
    done = play(FakeCluster(faults={"s0": ["raise"]}))
    assert [str(code) for code in done.results["s0"].reasons] == ["internal_error"]
    assert done.notes.defects == ["s0"]
    assert done.cluster.launched == 3


def test_a_node_without_the_files_is_left_out(play: Play) -> None:
    done = play(FakeCluster(faults={"s1": ["absent"]}))
    assert done.results["s1"].status == "not_scorable"
    assert done.cluster.launched == 2  # its place is not filled again
    assert any("is not there, and is on this machine" in note for note in done.notes.notes)


def test_no_node_with_the_files_ends_the_run(play: Play) -> None:
    faults = {f"s{n}": ["absent"] * 9 for n in range(6)}
    with pytest.raises(UsageError, match="Mount the shared folders under the same paths"):
        play(FakeCluster(faults=faults))


def test_processes_that_never_start_end_the_run(play: Play) -> None:
    with pytest.raises(PathologyError, match="could be started"):
        play(FakeCluster(starts=["gone"] * 20))


def test_nodes_that_die_while_they_start_cost_nothing_else(play: Play) -> None:
    done = play(FakeCluster(starts=["ok", "gone", "gone"]))
    assert len(done.results) == 6


def test_a_node_that_is_installed_differently_is_refused(play: Play) -> None:
    with pytest.raises(UsageError, match=r"node-1: is installed differently \(torch 0\.1 there"):
        play(FakeCluster(starts=["other"]))


def test_a_model_that_does_not_start_is_refused(play: Play) -> None:
    with pytest.raises(UsageError, match=r"node-1: no such model\. Mend it\."):
        play(FakeCluster(starts=["refuse"]))


@pytest.mark.parametrize(
    ("device", "words"), [("cuda:0,cuda:1", "is Ray's choice"), ("cuda", "no node with a GPU")]
)
def test_devices_that_ray_cannot_give_are_refused(play: Play, device: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        play(FakeCluster(), device=device)


def test_a_node_that_is_too_small_is_refused(play: Play) -> None:
    with pytest.raises(UsageError, match="no node with 1 CPUs"):
        play(FakeCluster(resources=[{"memory": 1e9}]))


def test_gpus_are_counted_where_there_are_any(play: Play) -> None:
    done = play(FakeCluster(resources=[{"CPU": 8, "GPU": 3}, {"CPU": 8}]))
    assert done.cluster.launched == 3


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_run_that_began_on_gpus_waits_for_one(
    play: Play, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """CPU and GPU round differently: one run never holds results of both."""
    monkeypatch.setattr(ray_executor, "_PATIENCE_SECONDS", 0.0)
    cluster = FakeCluster(
        faults={"s1": ["gone"]},
        resources=[{"CPU": 8, "GPU": 1}, {"CPU": 8}],
        after_death=[[{"CPU": 8}]] * 9,
    )
    done = play(cluster, device=device)
    assert cluster.after_death == [], "the time without a GPU must have been lived through"
    assert len(done.results) == 6
    assert cluster.devices == ["cuda", "cuda"]
    waiting = [note for note in done.notes.notes if "waiting for room" in note]
    assert any("does not go on with CPUs" in note for note in waiting)


def test_a_run_that_began_on_cpus_takes_no_gpu(play: Play) -> None:
    cluster = FakeCluster(
        faults={"s1": ["gone"]},
        resources=[{"CPU": 1}],
        after_death=[[{"CPU": 1}, {"CPU": 1, "GPU": 4}]] * 9,
    )
    done = play(cluster)
    assert len(done.results) == 6
    assert set(cluster.devices) == {"cpu"}


def test_a_worker_without_the_files_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    worker = RayWorker(FakeFactory(), CONFIG, "cpu", str(tmp_path))
    assert isinstance(worker.open(), Opened)
    job = Job(slide_id="s-1", request=SlideRequest(path=Path("x")), out_dir=tmp_path, config=CONFIG)
    said = worker.score(job, (tmp_path, tmp_path / "elsewhere"))
    assert isinstance(said, Absent)
    assert said.path.endswith("elsewhere")
    assert isinstance(worker.score(job, (tmp_path,)), Finished)
    refusing = RayWorker(FakeFactory(start_fault="refuse"), CONFIG, "cpu", "/nowhere")
    assert isinstance(refusing.open(), Refused)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "ray":
            raise ImportError("No module named 'ray'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'her2-ihc\[ray\]'"):
        RayCluster(None)
    assert not any(name.startswith("RAY_AUTH_") for name in os.environ)


def test_ray_client_is_refused() -> None:
    with pytest.raises(UsageError, match="Ray Client is not supported"):
        RayCluster("ray://somewhere:10001")


def test_words_that_name_no_executor_are_refused() -> None:
    with pytest.raises(UsageError, match="--executor dask: there is no such executor"):
        parse_executor("dask")
    with pytest.raises(UsageError, match="--ray-address is for --executor ray"):
        make_executor(
            "local",
            factory=FakeFactory(),
            config=CONFIG,
            device="cpu",
            observer=SilentObserver(),
            ray_address="auto",
        )
