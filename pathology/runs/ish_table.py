"""``ish.csv``: one row per reading, with the IHC score it is read beside and what comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Final

from pathology.runs.atomic import atomic_write_bytes, output_errors
from pathology.runs.csvfile import Cell, render_csv
from pathology.runs.final import FinalCase, IshByBlock, finish_case, group_cases
from pathology.runs.ish_input import READING_COLUMNS
from pathology.runs.ish_join import block_key
from pathology.runs.ish_record import BlockKey, IshRecord
from pathology.runs.ish_store import IshStore
from pathology.runs.layout import ISH_CSV
from pathology.runs.result import SlideResult
from pathology.scoring.ish_counts import read_category

__all__ = ["ISH_TABLE_COLUMNS", "count_joined", "ish_rows", "write_ish_table"]

#: Columns of ``ish.csv``, in their order.
ISH_TABLE_COLUMNS: Final[tuple[str, ...]] = (
    "case_id",
    "block_id",
    "slide_id",
    "joined",
    "probe",
    "reading",
    "population",
    "population_pct",
    "cells",
    "her2_total",
    "cep17_total",
    "her2_mean",
    "cep17_mean",
    "ratio",
    "call",
    "category",
    "category_clause",
    "observer",
    "blinded",
    "includes_2plus_area",
    "assay",
    "controls_ok",
    "invasive_areas",
    "weak_signals_pct",
    "cytoplasm_signals_pct",
    "nuclei_resolved",
    "autofluorescence",
    "block_ihc_score",
    "block_status",
    "block_tier",
    "block_rule",
    "block_clause",
    "block_flags",
    "guideline",
    "source",
    "source_sha256",
    "source_row",
)
_SAME: Final = (
    "case_id",
    "block_id",
    "slide_id",
    "probe",
    "population",
    "cells",
    *READING_COLUMNS,
)


def ish_rows(slides: Sequence[SlideResult], store: IshStore) -> list[dict[str, Cell]]:
    """Make the rows of ``ish.csv``.

    Parameters
    ----------
    slides
        Of the run, in the order of the tables.
    store
        Its ISH results.

    Returns
    -------
    list of dict
        One for each reading. ``joined`` is ``block``, or ``other_block`` where the run has the case
        but no slide of the block, or ``not_in_run``.
    """
    ish = IshByBlock.of(store)
    finals = [finish_case(own, ish) for own in group_cases(slides).values()]
    places = {key: (final, n) for final in finals for n, key in enumerate(final.keys)}
    cases = {slide.case_id for slide in slides if slide.role != "control"} - {None}
    return [_row(record, store, ish, places, cases) for record in store.readings]


def count_joined(slides: Sequence[SlideResult], store: IshStore | None) -> dict[str, int]:
    """Count the readings by where they belong; see :func:`ish_rows`.

    Examples
    --------
    >>> count_joined([], None)
    {}
    """
    tests = [slide for slide in slides if slide.role != "control"]
    keys, cases = {block_key(slide) for slide in tests}, {slide.case_id for slide in tests} - {None}
    records = store.readings if store else ()
    return dict(sorted(Counter(_joined(record, keys, cases) for record in records).items()))


def _joined(record: IshRecord, keys: Container[BlockKey], cases: Container[str | None]) -> str:
    if record.key in keys:
        return "block"
    return "other_block" if record.case_id in cases else "not_in_run"


def write_ish_table(folder: Path, slides: Sequence[SlideResult], store: IshStore) -> None:
    """Write ``ish.csv``.

    Raises
    ------
    OutputError
        If the disk is full or the folder cannot be written.
    """
    with output_errors():
        atomic_write_bytes(folder / ISH_CSV, render_csv(ISH_TABLE_COLUMNS, ish_rows(slides, store)))


def _row(
    record: IshRecord,
    store: IshStore,
    ish: IshByBlock,
    places: dict[BlockKey, tuple[FinalCase, int]],
    cases: set[str | None],
) -> dict[str, Cell]:
    reading = record.block_reading().reading
    found = read_category(reading, ish.guideline)
    count = reading.count
    copies, ratio = (count.copies, count.ratio) if count else (None, None)
    row: dict[str, Cell] = dict.fromkeys(ISH_TABLE_COLUMNS)
    row |= {name: getattr(record, name) for name in _SAME}
    row |= {
        "joined": _joined(record, places, cases),
        "reading": record.stage,
        "her2_total": record.her2,
        "cep17_total": record.cep17,
        "her2_mean": None if copies is None else float(copies),
        "cep17_mean": record.cep17 / record.cells if record.cep17 and record.cells else None,
        "ratio": None if ratio is None else float(ratio),
        "call": record.call,
        "category": found.category,
        "category_clause": found.words,
        "guideline": f"{ish.guideline.id} {ish.guideline.version}",
        "source": store.source_name(record.source),
        "source_sha256": record.source,
        "source_row": record.row,
    }
    if record.key in places:
        row |= _block_columns(*places[record.key])
    return row


def _block_columns(final: FinalCase, place: int) -> dict[str, Cell]:
    status = final.decision.blocks[place]
    assert status is not None  # noqa: S101 - a block with ISH is never empty
    decision = status.decision
    return {
        "block_ihc_score": final.evidence[place].ihc_score,
        "block_status": decision.status,
        "block_tier": status.tier,
        "block_rule": decision.rule,
        "block_clause": decision.clause,
        "block_flags": ";".join(decision.flags) or None,
    }
