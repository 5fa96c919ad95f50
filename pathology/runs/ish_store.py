"""``ish.json``: the ISH results of a run, where they came from, and what they replaced."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pathology.errors import ConfigError, OutputError
from pathology.runs.atomic import atomic_write_bytes, output_errors
from pathology.runs.ish_record import IshRecord, IshSource, ReplacedRecord
from pathology.runs.layout import ISH_JSON
from pathology.scoring.ish_guideline import DEFAULT_ISH_GUIDELINE, load_ish_guideline

__all__ = ["IshStore", "MergeCounts", "merge_records", "read_ish", "write_ish"]


class MergeCounts(BaseModel):
    """Count what an import did.

    Parameters
    ----------
    new, unchanged, replaced
        Readings of the file: not there before, there with the same content, there with another.
    kept
        Readings of earlier files that this one does not mention.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    new: int
    unchanged: int
    replaced: int
    kept: int


class IshStore(BaseModel):
    """Hold the content of ``ish.json``.

    Parameters
    ----------
    program, schema_version
        What the file is.
    guideline
        Rules that the readings are judged by.
    sources
        Files that readings, present or replaced, came from, in the order of their import.
    readings
        Present readings, sorted by block and place.
    replaced
        Earlier readings, in the order in which they were replaced.

    Raises
    ------
    pydantic.ValidationError
        If two readings claim the same place, or one names an unknown source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    program: Literal["her2-ihc"] = "her2-ihc"
    schema_version: Literal[1] = 1
    guideline: str = DEFAULT_ISH_GUIDELINE
    sources: tuple[IshSource, ...] = ()
    readings: tuple[IshRecord, ...] = ()
    replaced: tuple[ReplacedRecord, ...] = ()

    def model_post_init(self, _: object) -> None:
        """Check the parts against each other."""
        if len({record.place for record in self.readings}) != len(self.readings):
            raise ValueError("two readings claim the same place")
        known = {source.sha256 for source in self.sources}
        used = {record.source for record in self.readings}
        used |= {item.record.source for item in self.replaced} | {item.by for item in self.replaced}
        if not used <= known:
            raise ValueError("a reading names a source that is not listed")

    def source_name(self, sha256: str) -> str:
        """Return the name of a source."""
        return next(source.name for source in self.sources if source.sha256 == sha256)


def merge_records(
    store: IshStore | None, records: Iterable[IshRecord], source: IshSource
) -> tuple[IshStore, MergeCounts]:
    """Take the readings of a file in; those of the same place and another content are replaced.

    Parameters
    ----------
    store
        What was there; None for nothing.
    records
        Readings of the file, no two of one place.
    source
        The file.

    Returns
    -------
    tuple
        The new store, and what happened. The same file again changes nothing.
    """
    store = store or IshStore()
    present = {record.place: record for record in store.readings}
    replaced: list[ReplacedRecord] = []
    counts = {"new": 0, "unchanged": 0, "replaced": 0}
    given = list(records)
    for record in given:
        old = present.get(record.place)
        if old is not None and old.same_content(record):
            counts["unchanged"] += 1
            continue
        if old is not None:
            replaced.append(ReplacedRecord(record=old, by=source.sha256))
        counts["new" if old is None else "replaced"] += 1
        present[record.place] = record
    known = any(item.sha256 == source.sha256 for item in store.sources)
    changed = counts["new"] or counts["replaced"]
    merged = IshStore(
        guideline=store.guideline,
        sources=store.sources if known or not changed else (*store.sources, source),
        readings=tuple(sorted(present.values(), key=_order)),
        replaced=(*store.replaced, *replaced),
    )
    return merged, MergeCounts(**counts, kept=len(present) - len(given))


def read_ish(folder: Path) -> IshStore | None:
    """Read ``ish.json``; None where there is none.

    Raises
    ------
    OutputError
        If the file cannot be read, is damaged, or names a guideline that this version lacks.
    """
    path = folder / ISH_JSON
    fix = "Restore it, or move it away and give the `her2 ish` commands again."
    try:
        store = IshStore.model_validate_json(path.read_bytes())
        load_ish_guideline(store.guideline)
    except FileNotFoundError:
        return None
    except (OSError, ConfigError) as error:
        raise OutputError(f"{path}: cannot be read ({error})", fix=fix) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise OutputError(
            f"{path}: does not hold ISH results: {place}: {first['msg']}", fix=fix
        ) from error
    return store


def write_ish(folder: Path, store: IshStore) -> None:
    """Write ``ish.json``; the same readings give the same bytes.

    Raises
    ------
    OutputError
        If the disk is full or the folder cannot be written.
    """
    text = json.dumps(store.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    with output_errors():
        atomic_write_bytes(folder / ISH_JSON, text.encode())


def _order(record: IshRecord) -> tuple[object, ...]:
    stages = ("first", "recount", "adjudication")
    key = tuple(part or "" for part in record.key)
    return (*key, record.probe, record.population, stages.index(record.stage))
