"""Which block of the run an ISH result belongs to; rows of one reading put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from pathology.errors import UsageError
from pathology.runs.ish_input import IshRow
from pathology.runs.ish_record import BlockKey, IshRecord, RecordPlace
from pathology.runs.result import SlideResult
from pathology.runs.usertable import UserRow

__all__ = ["BlockIndex", "block_key", "gather_records"]


def block_key(slide: SlideResult) -> BlockKey:
    """Name the block of a slide.

    Examples
    --------
    >>> slide = SlideResult(slide_id="a", path="a", status="failed", reasons=("unreadable",),
    ...                     case_id="C", block_id="B")
    >>> block_key(slide)
    BlockKey(case_id='C', block_id='B', slide_id=None)
    """
    named = slide.case_id is not None and slide.block_id is not None
    return BlockKey(slide.case_id, slide.block_id, None if named else slide.slide_id)


@dataclass(frozen=True, kw_only=True)
class BlockIndex:
    """Find blocks of a run by the ids that a row gives.

    Parameters
    ----------
    slides
        By id.
    by_case
        Their blocks by case, in the order of the slides; a slide without a case is a case of its
        own, by its id.
    by_block
        The same by block id.
    controls
        Ids of control slides, which have no block here.
    """

    slides: dict[str, SlideResult] = field(default_factory=dict)
    by_case: dict[str, list[BlockKey]] = field(default_factory=dict)
    by_block: dict[str, list[BlockKey]] = field(default_factory=dict)
    controls: frozenset[str] = frozenset()

    @classmethod
    def of(cls, results: Iterable[SlideResult]) -> BlockIndex:
        """Index the slides of a run."""
        found = list(results)
        tests = [slide for slide in found if slide.role != "control"]
        by_case: dict[str, list[BlockKey]] = {}
        by_block: dict[str, list[BlockKey]] = {}
        # Cases that have an id come first: they own it where a slide is called the same.
        blocks = sorted(dict.fromkeys(map(block_key, tests)), key=lambda key: key.case_id is None)
        for key in blocks:
            if key.case_id is not None or key.slide_id not in by_case:
                by_case.setdefault(key.case_id or str(key.slide_id), []).append(key)
            if key.block_id is not None:
                by_block.setdefault(key.block_id, []).append(key)
        return cls(
            slides={slide.slide_id: slide for slide in tests},
            by_case=by_case,
            by_block=by_block,
            controls=frozenset(slide.slide_id for slide in found if slide.role == "control"),
        )

    def find(self, row: UserRow) -> BlockKey:
        """Return the block that a row names.

        A block that the run has no slide of is accepted beside a case whose blocks it knows: it is
        another block of that patient.

        Raises
        ------
        UsageError
            If the row names no block, an unknown one, or more than one.
        """
        case, block, slide = (row.text(name) for name in ("case_id", "block_id", "slide_id"))
        if slide:
            return self._by_slide(row, case, block, slide)
        if not (case or block):
            raise row.wrong("block_id", "is empty", fix="Give block_id, slide_id or case_id.")
        if not block:
            return self._by_case(row, case)
        own = self.by_case.get(case, []) if case else self.by_block.get(block, [])
        if case and not own:
            raise row.wrong(
                "case_id", f"{case!r} is not in this run", fix="See cases.csv for its cases."
            )
        found = [key for key in own if key.block_id == block]
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            names = ", ".join(key.case_id or f"slide {key.slide_id}" for key in found[:5])
            raise row.wrong(
                "block_id",
                f"{block!r} is in {len(found)} cases or slides of this run ({names})",
                fix="Give case_id or slide_id as well.",
            )
        if case and any(key.block_id is not None for key in own):
            return BlockKey(case, block, None)
        if case:
            raise row.wrong(
                "block_id",
                f"{block!r}, but the run does not say which blocks the slides of {case!r} are of",
                fix="Give slide_id as well, or block_id in the manifest.",
            )
        raise row.wrong(
            "block_id",
            f"{block!r} is not in this run",
            fix="Correct it; for another block of a patient of this run give case_id as well.",
        )

    def _by_slide(self, row: UserRow, case: str, block: str, slide: str) -> BlockKey:
        if slide in self.controls:
            raise row.wrong("slide_id", f"{slide!r} is a control slide", fix="Name a test slide.")
        if slide not in self.slides:
            raise row.wrong(
                "slide_id", f"{slide!r} is not in this run", fix="See results.csv for its slides."
            )
        known = self.slides[slide]
        for name, given, there in (
            ("case_id", case, known.case_id),
            ("block_id", block, known.block_id),
        ):
            if given and there is not None and given != there:
                raise row.wrong(
                    name,
                    f"{given!r}, but slide {slide} is of {there!r}",
                    fix="Correct one of them.",
                )
        return block_key(known)

    def _by_case(self, row: UserRow, case: str) -> BlockKey:
        own = self.by_case.get(case, [])
        if not own:
            raise row.wrong(
                "case_id", f"{case!r} is not in this run", fix="See cases.csv for its cases."
            )
        if len(own) > 1:
            raise row.wrong(
                "block_id",
                f"is empty, and case {case!r} has {len(own)} blocks",
                fix="ISH counts for the block that it was made on: give block_id or slide_id.",
            )
        return own[0]


def gather_records(rows: Sequence[IshRow], index: BlockIndex, *, source: str) -> list[IshRecord]:
    """Join rows to blocks and put the cells of one reading together.

    Parameters
    ----------
    rows
        Checked rows of one file.
    index
        Blocks of the run.
    source
        SHA-256 of the file.

    Returns
    -------
    list of IshRecord
        In the order of their first rows.

    Raises
    ------
    UsageError
        If a row names no block or an unknown one, a reading is given twice, or its rows contradict
        each other; names the row and the column.
    """
    groups: dict[RecordPlace, list[IshRow]] = {}
    for row in rows:
        key = index.find(row.given)
        place = RecordPlace(key, row.probe, row.population, row.stage)  # type: ignore[arg-type]
        group = groups.setdefault(place, [])
        if group:
            _check_same_reading(group[0], row, place)
        group.append(row)
    return [_record(place, group, source) for place, group in groups.items()]


def _check_same_reading(first: IshRow, row: IshRow, place: RecordPlace) -> None:
    """Refuse a second reading in the place of one, and cells that disagree on what they are."""
    if not row.kind == first.kind == "cell":
        column = next(name for name in ("block_id", "slide_id", "case_id") if row.given.text(name))
        raise row.given.wrong(
            column,
            f"a second {place.stage} {'call' if row.kind == 'call' else 'count'} with a "
            f"{place.probe} probe for {place.key.words}, population {place.population} (first on "
            f"{first.given.place})",
            fix="Keep one; a recount has reading=recount.",
        )
    for name, value in row.about.items():
        if value != first.about[name]:
            raise row.given.wrong(
                name,
                f"{row.given.text(name)!r}, but {first.given.text(name)!r} on "
                f"{first.given.place} of the same count",
                fix="Give one value for all cells of a count.",
            )


def _record(place: RecordPlace, group: Sequence[IshRow], source: str) -> IshRecord:
    first = group[0]
    values: dict[str, Any] = first.values
    if first.kind == "cell":
        _check_cell_numbers(group)
        her2 = tuple(row.values["her2"] for row in group)
        cep17 = tuple(row.values["cep17"] for row in group) if place.probe == "dual" else None
        values = {
            "cells": len(group),
            "her2": sum(her2),
            "cep17": None if cep17 is None else sum(cep17),
            "her2_per_cell": her2,
            "cep17_per_cell": cep17,
        }
    try:
        return IshRecord(
            **place.key._asdict(),
            probe=place.probe,
            stage=place.stage,
            population=place.population,
            **values,
            **first.about,
            source=source,
            row=first.given.row,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        column = ".".join(str(part) for part in problem["loc"]) or "block_id"
        raise UsageError(
            f"{first.given.file}: {first.given.place}, column {column!r}: {problem['msg']}"
        ) from error


def _check_cell_numbers(group: Sequence[IshRow]) -> None:
    """Refuse a cell that is listed twice, and counts of which only some cells have a number."""
    seen: dict[str, IshRow] = {}
    for row in group:
        number = row.given.text("cell")
        if bool(number) != bool(group[0].given.text("cell")):
            raise row.given.wrong(
                "cell", "is given for some cells of the count only", fix="Number all or none."
            )
        if number and number in seen:
            raise row.given.wrong(
                "cell",
                f"{number!r} is there twice (first on {seen[number].given.place})",
                fix="Give each cell of a count once.",
            )
        seen[number] = row
