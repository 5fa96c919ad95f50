from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pathology.errors import OutputError
from pathology.runs import lock as module
from pathology.runs.lock import RunLock

HOLD = """
import sys, time
from pathlib import Path
from pathology.runs.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match=f"process {holder.pid} on"):
            RunLock(path)
        holder.kill()
    assert json.loads(path.read_bytes())["pid"] == holder.pid
    RunLock(path).release()


def test_release_is_repeatable_and_clears_the_name(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "lock")
    lock.release()
    lock.release()
    assert (tmp_path / "lock").read_bytes() == b""


def test_a_forked_process_does_not_keep_a_released_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = RunLock(path)
    handle = os.dup(lock._handle)  # What a fork does: a second name for the same open file.
    lock.release()
    RunLock(path).release()
    os.close(handle)


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="cannot be written"):
        RunLock(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()


@pytest.fixture
def _without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(handle: int, *, shared: bool) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module, "_lock", unsupported)


@pytest.mark.usefixtures("_without_locks")
@pytest.mark.parametrize(
    ("pid", "host", "free"),
    [
        ("dead", "here", True),
        ("self", "here", True),
        ("alive", "here", False),
        ("dead", "elsewhere", False),
        ("", "", True),
    ],
)
def test_without_locks_the_process_number_decides(
    tmp_path: Path, pid: str, host: str, free: bool
) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        number = {"dead": dead_pid(), "self": os.getpid(), "alive": other.pid}.get(pid)
        name = platform.node() if host == "here" else host
        path.write_text("" if number is None else json.dumps({"pid": number, "host": name}))
        if free:
            RunLock(path).release()
        else:
            with pytest.raises(OutputError, match="is working"):
                RunLock(path)
        other.kill()
