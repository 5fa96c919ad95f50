"""Print requirements.lock for machines without a GPU: torch's CPU build, no CUDA libraries.

The two wheels of torch come from PyTorch's own index, in the locked versions. Their hashes are not
in the lock, so they are printed without; everything else keeps its hashes.

Run it so: python scripts/lock_without_cuda.py hashed|torch < requirements.lock
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator

#: Packages that exist for the GPU alone, and the two that come in another build.
GPU_ONLY = re.compile(r"(nvidia-|cuda-|triton)")
BUILDS = ("torch", "torchvision")


def blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the lines of one package after the other; comments before the first are left out."""
    block: list[str] = []
    for line in lines:
        if re.match(r"[a-z0-9]", line):
            if block:
                yield block
            block = []
        if block or re.match(r"[a-z0-9]", line):
            block.append(line)
    if block:
        yield block


def select(lines: Iterable[str], part: str) -> Iterator[str]:
    """Yield what ``pip install -r`` reads for one part: ``hashed`` or ``torch``."""
    for block in blocks(lines):
        name = block[0].split("==")[0]
        if part == "torch" and name in BUILDS:
            yield block[0].split("\\")[0].split(";")[0].strip() + "\n"
        elif part == "hashed" and name not in BUILDS and not GPU_ONLY.match(name):
            yield from block


if __name__ == "__main__":
    sys.stdout.writelines(select(sys.stdin, sys.argv[1]))
