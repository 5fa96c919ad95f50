"""What the C library keeps of a window's memory, and what it gives back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_HOLES = """
import resource
import numpy as np
from pathology.inference.memory import keep_freed_memory, trim_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

keep_freed_memory()
before = resident()
blocks, kept = [], []
for _ in range(40):
    blocks.append(np.ones(5 << 20, dtype=np.uint8))
    kept.append(np.ones(1 << 16, dtype=np.uint8))
del blocks
held = resident() - before
trim_freed_memory()
print(held, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the GNU C library")
def test_holes_between_blocks_in_use_are_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HOLES], check=True, capture_output=True, text=True
    )
    held, left = map(int, done.stdout.split())
    assert held > 150 << 20  # 200 MB of freed blocks stay: the next layer takes them
    assert left < 30 << 20
