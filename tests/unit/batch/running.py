"""Run ``her2`` with the fake model in a process of its own, and compare run folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pathology.config import Config, load_config

_SCRIPT = Path(__file__).parent / "fake_her2.py"
#: Small tiles, so that a tiny slide has several; few replicates, so that tests are quick.
QUICK = ("tiling.tile_px=256", "scoring.bootstrap_replicates=50")


def quick_config(*overrides: str) -> Config:
    return load_config(overrides=[*QUICK, *overrides])


def her2_command(*words: str | Path, quick: bool = True) -> list[str]:
    sets = [text for item in QUICK for text in ("--set", item)] if quick else []
    return [sys.executable, str(_SCRIPT), *map(str, words), *sets]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", **extra}


def her2(
    *words: str | Path, quick: bool = True, cwd: Path | None = None, **extra: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        her2_command(*words, quick=quick),
        env=environment(**extra),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def result_bytes(out: Path) -> dict[str, bytes]:
    """Read all files that must not differ between two runs of the same thing."""
    files = [out / "results.csv", out / "results.parquet", out / "cases.csv"]
    files += [path for path in sorted((out / "slides").rglob("*")) if path.is_file()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def journal_lines(journal: Path, word: str) -> list[str]:
    if not journal.exists():
        return []
    return [line for line in journal.read_text().splitlines() if line.startswith(word)]
