"""Run ``her2`` with the fake model, in this process or one of its own, and compare run folders."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from faulty_reader import FakeFactory

from pathology.batch import planning, run
from pathology.cli import main
from pathology.config import Config, load_config

_SCRIPT = Path(__file__).parent / "fake_her2.py"
#: Small tiles, so that a tiny slide has several; little of all that only costs time.
QUICK = (
    "tiling.tile_px=256",
    "scoring.bootstrap_replicates=50",
    "stain.probes=2",
    "report.overview_px=300",
)


def quick_config(*overrides: str) -> Config:
    return load_config(overrides=[*QUICK, *overrides])


def with_quick(*words: str | Path) -> list[str]:
    return [*map(str, words), *(text for item in QUICK for text in ("--set", item))]


def her2_command(*words: str | Path) -> list[str]:
    """Return the command that runs the program in a process of its own."""
    return [sys.executable, str(_SCRIPT), *with_quick(*words)]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", **extra}


@dataclass(frozen=True, kw_only=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def her2(*words: str | Path, factory: FakeFactory | None = None, cwd: Path | None = None) -> Done:
    """Run the program in this process, with the quick configuration."""
    return her2_words(with_quick(*words), factory=factory, cwd=cwd)


def her2_words(
    words: list[str], *, factory: FakeFactory | None = None, cwd: Path | None = None
) -> Done:
    model = factory or FakeFactory()
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        patch.object(run, "make_factory", lambda _: model),
        patch.object(planning, "make_factory", lambda _: model),
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main(words)
        except SystemExit as end:
            status = int(end.code or 0)
    return Done(returncode=status, stdout=out.getvalue(), stderr=err.getvalue())


def result_bytes(out: Path) -> dict[str, bytes]:
    """Read all files that must not differ between two runs of the same thing."""
    files = [out / "results.csv", out / "results.parquet", out / "cases.csv"]
    files += [path for path in sorted((out / "slides").rglob("*")) if path.is_file()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def journal_lines(journal: Path, word: str) -> list[str]:
    if not journal.exists():
        return []
    return [line for line in journal.read_text().splitlines() if line.startswith(word)]
