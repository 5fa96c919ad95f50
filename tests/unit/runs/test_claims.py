"""Claims and leases: one holder at a time, whoever dies, whatever is seen too late."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pathology.errors import OutputError
from pathology.runs import leases
from pathology.runs.claims import Claims
from pathology.runs.leases import LEASE_SECONDS, Lease, Watch, make_record, read_records
from pathology.runs.processes import is_running, machine_name, process_start

#: Takes each name, notes that it began, works, notes that it is done, and gives it free.
WORK = """
import random, sys, time
from pathlib import Path
from pathology.runs.claims import Claims
from pathology.runs.leases import Lease, Watch, make_record
root, seed = Path(sys.argv[1]), int(sys.argv[2])
lease = Lease(root, make_record(index=1, count=1, slides="x", started="now"))
claims = Claims(root / "claims", Watch(root), lease.record.owner)
names = [f"slide-{n}" for n in range(25)]
random.Random(seed).shuffle(names)
journal = (root / "journal").open("ab", buffering=0)
while names:
    name = names.pop()
    if (root / f"{name}.done").exists():
        continue
    if not claims.take(name):
        names.insert(0, name)
        continue
    if not (root / f"{name}.done").exists():
        journal.write(f"begin {name} {seed}\\n".encode())
        time.sleep(0.01)
        journal.write(f"end {name} {seed}\\n".encode())
        (root / f"{name}.done").touch()
    claims.release(name)
lease.finish(lease.record.model_copy(update={"finished": "now"}))
"""


class FakeWatch(Watch):
    """Living owners are those in a set."""

    def __init__(self, alive: set[str]) -> None:
        super().__init__(Path())
        self.alive = alive

    def is_alive(self, owner: str) -> bool:
        return owner in self.alive

    def age_s(self, touched: float) -> float:
        return 0.0 * touched


def test_processes_that_are_killed_lose_no_slide_and_do_none_twice(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()

    def begin(seed: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path), str(seed)])

    running = {seed: begin(seed) for seed in range(4)}
    chance = random.Random(0)  # noqa: S311
    limit = time.monotonic() + 60
    while not (tmp_path / "journal").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    killed = []
    for seed in (0, 1, 2):
        time.sleep(chance.uniform(0.02, 0.12))
        os.kill(running[seed].pid, signal.SIGKILL)
        running.pop(seed).wait()
        killed.append(seed)
    for process in running.values():
        assert process.wait(60) == 0
    lines = (tmp_path / "journal").read_text().splitlines()
    ends = Counter(line.split()[1] for line in lines if line.startswith("end"))
    begun = Counter(line.split()[1] for line in lines if line.startswith("begin"))
    assert set(ends) == {f"slide-{n}" for n in range(25)}
    # What began twice was begun by one that was killed over it; nothing ended twice, except where
    # the kill fell between the last word and the mark.
    twice = {name for name, count in begun.items() if count > 1}
    broken = {
        line.split()[1]
        for line in lines
        if line.startswith("begin") and int(line.split()[2]) in killed
    }
    assert twice <= broken
    assert len(twice) <= len(killed)
    assert list((tmp_path / "claims").iterdir()) == []


def test_one_of_two_gets_a_slide_and_the_other_when_it_is_free(tmp_path: Path) -> None:
    watch = FakeWatch({"a", "b"})
    one, other = Claims(tmp_path, watch, "a"), Claims(tmp_path, watch, "b")
    assert one.take("s-1")
    assert one.take("s-1")
    assert not other.take("s-1")
    one.release("s-1")
    assert other.take("s-1")
    other.release_all()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_of_the_dead_goes_to_one_alone(tmp_path: Path) -> None:
    alive = {"a", "b", "c"}
    claims = {name: Claims(tmp_path, FakeWatch(alive), name) for name in "abc"}
    assert claims["a"].take("s-1")
    alive.remove("a")
    assert claims["b"].take("s-1")
    assert not claims["c"].take("s-1")
    # The dead one wakes up and gives its slide free: the holder keeps it.
    claims["a"].release("s-1")
    assert not claims["c"].take("s-1")


@pytest.mark.parametrize("came", [("b", 1), ("b", 2)])
def test_a_look_that_is_too_old_gives_no_second_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, came: tuple[str, int]
) -> None:
    """The folder is listed, then another process comes, then the claim is created."""
    alive = {"b", "c"}
    owner, generation = came
    (tmp_path / "s-1.1").write_text("dead" if generation == 2 else owner)
    if generation == 2:
        (tmp_path / "s-1.2").write_text(owner)
    late = Claims(tmp_path, FakeWatch(alive), "c")
    looks = [[1] if generation == 2 else []]
    real = Claims._generations

    def old_first(self: Claims, name: str) -> list[int]:
        return looks.pop() if looks else real(self, name)

    monkeypatch.setattr(Claims, "_generations", old_first)
    assert not late.take("s-1")
    assert (tmp_path / f"s-1.{generation}").read_text() == owner


def test_a_free_look_beside_a_higher_claim_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s-1.2").write_text("b")
    late = Claims(tmp_path, FakeWatch({"b", "c"}), "c")
    looks: list[list[int]] = [[]]
    real = Claims._generations
    monkeypatch.setattr(
        Claims, "_generations", lambda self, name: looks.pop() if looks else real(self, name)
    )
    assert not late.take("s-1")
    assert [path.name for path in tmp_path.iterdir()] == ["s-1.2"]


def test_an_unsigned_claim_is_held_until_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s-1.1").touch()
    claims = Claims(tmp_path, Watch(tmp_path), "a")
    assert not claims.take("s-1")
    os.utime(tmp_path / "s-1.1", (0, time.time() - LEASE_SECONDS - 5))
    assert claims.take("s-1")


def test_waiting_for_one_who_never_ends_is_an_error(tmp_path: Path) -> None:
    watch = FakeWatch({"a"})
    assert Claims(tmp_path, watch, "a").take("run.json")
    with (
        pytest.raises(OutputError, match=r"another process has held 'run\.json'"),
        Claims(tmp_path, watch, "b").alone("run.json", limit_s=0.1),
    ):
        pass


class ClaimsMachine(RuleBasedStateMachine):
    """Any order of taking, giving free and dying: never two living holders."""

    names = st.sampled_from(["x-1", "x-1.5", "y"])

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.alive: set[str] = set()
        self.claims: dict[str, Claims] = {}
        self.holds: dict[str, set[str]] = {}

    @rule()
    @precondition(lambda self: len(self.claims) < 5)
    def come(self) -> None:
        owner = f"p{len(self.claims)}"
        self.alive.add(owner)
        self.claims[owner] = Claims(Path(self.folder.name), FakeWatch(self.alive), owner)
        self.holds[owner] = set()

    @rule(number=st.integers(0, 4), name=names)
    def take(self, number: int, name: str) -> None:
        owner = f"p{number}"
        if owner in self.alive:
            free = not any(name in self.holds[other] for other in self.alive - {owner})
            assert self.claims[owner].take(name) == free
            if free:
                self.holds[owner].add(name)

    @rule(number=st.integers(0, 4), name=names)
    def release(self, number: int, name: str) -> None:
        owner = f"p{number}"
        if owner in self.alive:
            self.claims[owner].release(name)
            self.holds[owner].discard(name)

    @rule(number=st.integers(0, 4))
    def die(self, number: int) -> None:
        self.alive.discard(f"p{number}")

    @invariant()
    def one_holder(self) -> None:
        held = [name for owner in self.alive for name in self.holds[owner]]
        assert len(held) == len(set(held))

    def teardown(self) -> None:
        self.folder.cleanup()


ClaimsMachine.TestCase.settings = settings(max_examples=25, deadline=None)
test_any_order_of_events = ClaimsMachine.TestCase


def test_a_process_of_this_machine_is_dead_at_once(tmp_path: Path) -> None:
    record = make_record(index=1, count=2, slides="x", started="now")
    lease = Lease(tmp_path, record)
    assert Watch(tmp_path).is_alive(record.owner)
    gone = record.model_copy(update={"process_start": record.process_start + "1"})
    lease.stop("now")
    assert not Watch(tmp_path).is_alive(record.owner)
    (tmp_path / f"{record.owner}.shard.json").write_text(gone.model_dump_json())
    assert not Watch(tmp_path).is_alive(record.owner)
    assert [entry.part for entry in read_records(tmp_path)] == [(1, 2)]


def test_a_process_of_another_machine_is_dead_when_it_has_been_silent(tmp_path: Path) -> None:
    record = make_record(index=1, count=2, slides="x", started="now")
    record = record.model_copy(update={"machine": "another", "pid": 1})
    path = tmp_path / f"{record.owner}.shard.json"
    path.write_text(record.model_dump_json())
    watch = Watch(tmp_path)
    assert watch.is_alive(record.owner)
    now = time.time()
    os.utime(path, (now, now - LEASE_SECONDS + 20))
    assert watch.is_alive(record.owner)
    os.utime(path, (now, now - LEASE_SECONDS - 5))
    assert not watch.is_alive(record.owner)
    assert not watch.is_alive("nobody")


def test_a_lease_is_touched_while_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.02)
    lease = Lease(tmp_path, make_record(index=1, count=1, slides="x", started="now"))
    os.utime(lease.path, (0, 0))
    limit = time.monotonic() + 20
    while lease.path.stat().st_mtime < 1:
        assert time.monotonic() < limit
        time.sleep(0.01)
    lease.remove()
    assert not lease.path.exists()


def test_a_server_that_does_not_answer_kills_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(path: Path) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(leases, "_read", stale)
    assert Watch(tmp_path).is_alive("somebody")


def test_this_process_runs_and_its_double_does_not() -> None:
    start = process_start(os.getpid())
    assert machine_name()
    assert is_running(os.getpid(), start)
    assert not is_running(os.getpid(), "")
