"""From results and reader files to a study: who read what, and which rows are refused.

A reading is refused as reference, and listed, where it cannot test the program: the slide set the
program's own cut-offs (calibration), the reader had seen the program's score, or the slide is a
control. What does not fit together stops the command with the file, the row and the column.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathology.agreement import NO_SCORE, NOT_READ, SCORES, Study, patient_codes
from pathology.errors import OutputError, UsageError
from pathology.provenance import SlideIdentity
from pathology.runs import (
    COLUMN_KINDS,
    TIER_ORDER,
    Reading,
    ReadingFile,
    ResultRow,
    SlideResult,
    read_readings,
    read_results,
    read_rows,
)
from pathology.runs.reference import REFUSALS, refuse_reference
from pathology.stain.calibration_file import load_calibration
from pathology.types import AnyArray

__all__ = ["REFUSALS", "ContinuousColumns", "Gathered", "Refused", "gather_study"]


@dataclass(frozen=True, kw_only=True)
class ContinuousColumns:
    """Name the columns of a measured number.

    Parameters
    ----------
    readers, results
        Column of the reader files and of the results.

    Examples
    --------
    >>> ContinuousColumns.parse("pct=pct_complete_intense").results
    'pct_complete_intense'
    """

    readers: str
    results: str

    @classmethod
    def parse(cls, text: str) -> ContinuousColumns:
        """Read ``READERS=RESULTS``, or one name for both.

        Raises
        ------
        UsageError
            If the results have no such column of numbers.
        """
        readers, _, results = (part.strip() for part in text.partition("="))
        results = results or readers
        numbers = [name for name, kind in COLUMN_KINDS.items() if kind in ("int", "float")]
        if not readers or results not in numbers:
            raise UsageError(
                f"--continuous {text!r}: the results have no column of numbers {results!r}",
                fix="Give --continuous READER_COLUMN=RESULTS_COLUMN, such as "
                f"pct=pct_complete_intense. Columns of numbers: {', '.join(numbers)}.",
            )
        return cls(readers=readers, results=results)


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Hold a reading that is not used, and why."""

    reading: Reading
    reason: str

    @property
    def record(self) -> dict[str, str | int]:
        """Where the reading stands, and the reason: one row."""
        return {
            "file": self.reading.file,
            "row": self.reading.row,
            "slide_id": self.reading.slide_id,
            "reader": self.reading.reader,
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Hold a study with its origin.

    Parameters
    ----------
    study
        The accepted readings of all slides that are nobody's control.
    files
        The reader files.
    refused
        Readings that are not used.
    result_rows, control_rows
        Rows of the results, and those of control slides among them.
    case_ids, patient_ids
        Slides with an id of each kind.
    calibrations
        Titles of calibrations that the results name, and of those given.
    numbers, program_numbers
        (n, r) and (n,) float with NaN for none; None where no column was asked for.
    models, guidelines
        Those that the results name, sorted.
    """

    study: Study
    files: tuple[ReadingFile, ...]
    refused: tuple[Refused, ...]
    result_rows: int
    control_rows: int
    case_ids: int
    patient_ids: int
    calibrations: tuple[str, ...]
    numbers: AnyArray | None
    program_numbers: AnyArray | None
    models: tuple[str, ...]
    guidelines: tuple[str, ...]


def gather_study(
    results: Path,
    readers: Sequence[Path],
    *,
    calibrations: Sequence[Path] = (),
    continuous: ContinuousColumns | None = None,
    allow_unknown: bool = False,
) -> Gathered:
    """Join results with reader files.

    Parameters
    ----------
    results
        Run folder, ``results.csv`` or ``results.parquet``.
    readers
        Reader files.
    calibrations
        Calibration files whose slides are refused, besides those that the results flag.
    continuous
        Columns of a measured number.
    allow_unknown
        Whether readings of slides that the results do not hold are refused, in place of an error.

    Returns
    -------
    Gathered
        The study.

    Raises
    ------
    UsageError
        If a file is wrong, a slide is unknown, a reading is there twice, sites or patients
        contradict each other, or no reading is left; names file, row and column.
    """
    rows = read_results(results) if results.is_dir() else read_rows(results)
    by_id = {row.slide_id: row for row in rows}
    column = None if continuous is None else continuous.readers
    files = tuple(read_readings(path, value_column=column) for path in readers)
    readings = [reading for file in files for reading in file.readings]
    _check_known(readings, by_id, results, allow_unknown=allow_unknown)
    _check_twice(readings)
    taken = _calibration_slides(rows, readings, calibrations)
    accepted: list[Reading] = []
    refused: list[Refused] = []
    for reading in readings:
        reason = refuse_reference(
            by_id.get(reading.slide_id), saw_score=reading.saw_score, calibration_slides=taken
        )
        if reason:
            refused.append(Refused(reading=reading, reason=reason))
        else:
            accepted.append(reading)
    if not accepted:
        why = Counter(item.reason for item in refused)
        listed = "; ".join(f"{n}: {REFUSALS[name]}" for name, n in sorted(why.items()))
        raise UsageError(f"no reading can serve as reference ({listed or 'none was given'})")
    chosen = [row for row in rows if row.role != "control"]
    if continuous is not None and all(reading.value is None for reading in accepted):
        raise UsageError(
            f"--continuous: no reading has a number in a column {continuous.readers!r}",
            fix="Only files with one row per reading can hold numbers.",
        )
    return _join(chosen, accepted, refused, files, calibrations, continuous, len(rows))


def _check_known(
    readings: Sequence[Reading],
    by_id: dict[str, ResultRow],
    results: Path,
    *,
    allow_unknown: bool,
) -> None:
    if allow_unknown:
        return
    for reading in readings:
        if reading.slide_id not in by_id:
            raise reading.wrong(
                "slide_id",
                f"{reading.slide_id!r} is no slide of {results}",
                "Take ids from the column slide_id of results.csv, or give --allow-unknown to "
                "list such rows and go on.",
            )


def _check_twice(readings: Sequence[Reading]) -> None:
    seen: dict[tuple[str, str], Reading] = {}
    for reading in readings:
        first = seen.setdefault((reading.slide_id, reading.reader), reading)
        if first is not reading:
            raise reading.wrong(
                reading.column,
                f"reader {reading.reader!r} has read {reading.slide_id!r} twice (first in "
                f"{first.file}, row {first.row})",
                "Keep one; name a second session as a reader of its own.",
            )


def _calibration_slides(
    rows: Sequence[ResultRow], readings: Sequence[Reading], calibrations: Sequence[Path]
) -> set[str]:
    """Return the ids of slides that a calibration was fitted on."""
    taken = {row.slide_id for row in rows if "calibration_slide" in row.flags}
    if not calibrations:
        return taken
    used = {
        (slide.quickhash, slide.size_bytes)
        for path in calibrations
        for slide in load_calibration(path).slides
    }
    read = {reading.slide_id for reading in readings}
    for row in rows:
        identity = row.identity if isinstance(row, SlideResult) else None
        if row.slide_id in read and identity is None and row.status != "failed":
            raise OutputError(
                f"{row.slide_id}: the hash of this slide is not known, so it cannot be compared "
                "with the slides of a calibration",
                fix="Name the run folder in place of its table: hashes stand in result.json.",
            )
        if _is_used(identity, used):
            taken.add(row.slide_id)
    return taken


def _is_used(identity: SlideIdentity | None, used: set[tuple[str, int]]) -> bool:
    return identity is not None and (identity.quickhash, identity.size) in used


def _join(
    rows: Sequence[ResultRow],
    accepted: Sequence[Reading],
    refused: Sequence[Refused],
    files: tuple[ReadingFile, ...],
    calibrations: Sequence[Path],
    continuous: ContinuousColumns | None,
    total: int,
) -> Gathered:
    study, patients, numbers = _study(rows, accepted)
    named = {row.calibration for row in rows if row.calibration}
    return Gathered(
        study=study,
        files=files,
        refused=tuple(refused),
        result_rows=total,
        control_rows=total - len(rows),
        case_ids=sum(row.case_id is not None for row in rows),
        patient_ids=sum(patient is not None for patient in patients),
        calibrations=tuple(sorted(named | {load_calibration(path).title for path in calibrations})),
        numbers=numbers if continuous else None,
        program_numbers=_program_numbers(rows, continuous) if continuous else None,
        models=tuple(sorted({row.model for row in rows if row.model})),
        guidelines=tuple(sorted({row.guideline for row in rows if row.guideline})),
    )


def _study(
    rows: Sequence[ResultRow], accepted: Sequence[Reading]
) -> tuple[Study, list[str | None], AnyArray]:
    """Return the study, the patient ids, and the readers' numbers."""
    place = {row.slide_id: number for number, row in enumerate(rows)}
    readers = tuple(dict.fromkeys(reading.reader for reading in accepted))
    column = {name: number for number, name in enumerate(readers)}
    readings = np.full((len(rows), len(readers)), NOT_READ, dtype=np.int8)
    ish = np.full(readings.shape, -1, dtype=np.int8)
    numbers = np.full(readings.shape, np.nan)
    tiers = np.full(readings.shape, -1, dtype=np.int8)
    for reading in accepted:
        cell = place[reading.slide_id], column[reading.reader]
        readings[cell] = _code(reading.score)
        if reading.tier is not None:
            ish[cell] = reading.tier == "her2_low"
            tiers[cell] = _tier_code(reading.tier)
        if reading.value is not None:
            numbers[cell] = reading.value
    patients = _told(accepted, "patient_id", place, [None] * len(rows))
    study = Study(
        slides=tuple(row.slide_id for row in rows),
        patient=patient_codes([row.case_id for row in rows], patients),
        sites=tuple(_told(accepted, "site", place, [_site(row) for row in rows])),
        program=np.array([_code(row.ihc_score) for row in rows], dtype=np.int8),
        readers=readers,
        readings=readings,
        ish=ish,
        program_tier=np.array([_tier_code(row.her2_tier) for row in rows], dtype=np.int8),
        tiers=tiers,
    )
    return study, patients, numbers


def _code(score: str | None) -> int:
    return SCORES.index(score) if score in SCORES else NO_SCORE


def _tier_code(tier: str | None) -> int:
    return TIER_ORDER.index(tier) if tier in TIER_ORDER else -1


def _site(row: ResultRow) -> str | None:
    return row.site if isinstance(row, SlideResult) else None


def _told(
    accepted: Sequence[Reading], name: str, place: dict[str, int], known: list[str | None]
) -> list[str | None]:
    """Return a property of the slides that several rows may tell, if they tell the same."""
    found = list(known)
    for reading in accepted:
        value = getattr(reading, name)
        if value is None:
            continue
        slide = place[reading.slide_id]
        if found[slide] not in (None, value):
            raise reading.wrong(
                name,
                f"{value!r} contradicts {found[slide]!r}, which another row or the results say of "
                f"{reading.slide_id!r}",
                f"A slide has one {name}.",
            )
        found[slide] = value
    return found


def _program_numbers(rows: Sequence[ResultRow], columns: ContinuousColumns) -> AnyArray:
    """Return the program's numbers; a slide without a score has none."""
    values = (getattr(row, columns.results) if row.status == "scored" else None for row in rows)
    return np.array([math.nan if value is None else float(value) for value in values])
