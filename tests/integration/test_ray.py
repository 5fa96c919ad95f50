"""A real Ray cluster of two nodes on this machine, with a worker and then a node killed."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "prove_ray.py"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_worker_and_a_killed_node_change_no_byte() -> None:
    if find_spec("ray") is None:  # not imported here: its warnings are not ours
        pytest.skip("ray is not installed")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--slides", "40"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "different: none" in done.stdout
    assert "worker" in done.stdout
    assert "node of" in done.stdout
