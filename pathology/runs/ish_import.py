"""Take ISH results into a run: read, check, join, store, and write the tables anew."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pathology.runs.cases import CaseRow, write_cases
from pathology.runs.hidden_names import HIDDEN
from pathology.runs.ish_input import parse_ish
from pathology.runs.ish_join import BlockIndex, gather_records
from pathology.runs.ish_record import IshSource
from pathology.runs.ish_store import MergeCounts, merge_records, read_ish, write_ish
from pathology.runs.ish_table import count_joined
from pathology.runs.layout import LOCK, path_text
from pathology.runs.lock import RunLock
from pathology.runs.log import RunLog
from pathology.runs.results import read_results, sort_results
from pathology.runs.run_info import read_run_info
from pathology.runs.usertable import read_user_file

__all__ = ["IshOutcome", "apply_ish"]

_MAX_BYTES: Final = 64 << 20


@dataclass(frozen=True, kw_only=True)
class IshOutcome:
    """Hold what became of a file of ISH results.

    Parameters
    ----------
    cases
        Rows of ``cases.csv``, as written.
    finished
        Whether the run had finished.
    rows, readings
        Rows of the file, and the counts and calls that they make; 0 where no file was given.
    counts
        What was new, unchanged, replaced or kept; None where no file was given.
    joined
        Stored readings by where they belong: ``block``, ``other_block``, ``not_in_run``.
    """

    cases: tuple[CaseRow, ...]
    finished: bool
    rows: int = 0
    readings: int = 0
    counts: MergeCounts | None = None
    joined: Mapping[str, int] = field(default_factory=dict)


def apply_ish(folder: Path, results: Path | None = None) -> IshOutcome:
    """Add ISH results to a run and give each case its final status.

    Nothing of the slides' own results is touched: ``ish.json`` keeps the readings with their
    origin, ``ish.csv`` and ``cases.csv`` are derived from it and written anew. The same file again
    changes nothing; a reading that another file gives differently is replaced, and kept in
    ``ish.json`` under ``replaced``.

    Parameters
    ----------
    folder
        A folder that ``her2 score`` has written.
    results
        CSV or JSON file; None derives the tables again from the stored readings.

    Returns
    -------
    IshOutcome
        The cases, and what became of each row.

    Raises
    ------
    UsageError
        If the file is wrong (nothing is then changed; names row and column), or the folder holds no
        run, is in use or cannot be written.
    """
    key, info = read_run_info(folder)
    lock = RunLock(folder / LOCK)
    try:
        slides = sort_results(read_results(folder))
        store = read_ish(folder)
        rows = readings = 0
        counts: MergeCounts | None = None
        if results is not None:
            content = read_user_file(
                results,
                what="the ISH results",
                table="table of ISH results",
                fix="Name a CSV or JSON file with --results.",
                max_bytes=_MAX_BYTES,
            )
            sha256 = hashlib.sha256(content).hexdigest()
            given = parse_ish(content, path=results)
            records = gather_records(given, BlockIndex.of(slides), source=sha256)
            named = HIDDEN if key.pseudonyms else path_text(results.name)
            source = IshSource(sha256=sha256, name=named, rows=len(given))
            store, counts = merge_records(store, records, source)
            rows, readings = len(given), len(records)
            write_ish(folder, store)
            _log(folder, HIDDEN if key.pseudonyms else path_text(results), sha256, counts)
        cases = write_cases(folder, slides)
        return IshOutcome(
            cases=tuple(cases),
            finished=info is not None and info.finished is not None,
            rows=rows,
            readings=readings,
            counts=counts,
            joined=count_joined(slides, store),
        )
    finally:
        lock.release()


def _log(folder: Path, path: str, sha256: str, counts: MergeCounts) -> None:
    with RunLog(folder) as log:
        log.write("info", "ish_imported", file=path, sha256=sha256, **counts.model_dump())
