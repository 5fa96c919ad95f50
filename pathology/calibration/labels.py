"""Labels: what the slides of a run were scored by people, or what its controls should show."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from pathology.calibration.samples import INTENSITY_RANKS, SlideKind
from pathology.errors import UsageError
from pathology.runs.csvfile import check_separator
from pathology.stain.calibration import SCORES

__all__ = ["LABEL_COLUMNS", "SlideLabel", "read_labels"]

#: Columns that a table of labels may have: one of the first two, and the label.
LABEL_COLUMNS: tuple[str, ...] = ("path", "slide_id", "score", "role", "expected_intensity")
_MAX_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class SlideLabel:
    """Hold the label of one slide.

    Parameters
    ----------
    name
        The slide's id or path, as given.
    kind
        ``test`` or ``control``.
    rank
        0 to 3, as in :class:`~pathology.calibration.samples.SlideSample`.
    where
        File and line, for messages.
    """

    name: str
    kind: SlideKind
    rank: int
    where: str


def read_labels(path: Path) -> list[SlideLabel]:
    """Read a table of labels and check all of it.

    Parameters
    ----------
    path
        CSV file, UTF-8, with a header: ``path`` or ``slide_id``, ``score`` (0, 1+, 2+, 3+), and
        for controls ``role`` (``control``) and ``expected_intensity`` (negative, faint, moderate,
        intense).

    Returns
    -------
    list of SlideLabel
        In the order of the file.

    Raises
    ------
    UsageError
        If the file cannot be read, its header or a value is wrong, or a slide is there twice; names
        the line and the column.
    """
    header, rows = _read(path)
    _check_header(path, header)
    key = "slide_id" if "slide_id" in header else "path"
    labels: list[SlideLabel] = []
    seen: dict[str, int] = {}
    for line, cells in rows:
        label = _label(f"{path}: line {line}", dict(zip(header, cells, strict=True)), key)
        if label.name in seen:
            raise UsageError(
                f"{path}: line {line}: {label.name!r} is there twice (first on line "
                f"{seen[label.name]})",
                fix="Keep one row per slide.",
            )
        seen[label.name] = line
        labels.append(label)
    if not labels:
        raise UsageError(f"{path}: there are no labels", fix="List one slide per line.")
    return labels


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path}: is larger than any table of labels")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            rows = []
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise UsageError(
                        f"{path}: line {reader.line_num}: {len(cells)} values under "
                        f"{len(header)} column names",
                        fix="Put values that contain a comma in double quotes.",
                    )
                rows.append((reader.line_num, cells))
    except OSError as error:
        raise UsageError(
            f"{path}: the labels cannot be read ({error.strerror or error})",
            fix="Name a CSV file with --labels.",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text", fix="Save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise UsageError(f"{path}: not valid CSV ({error})", fix="Check its quotes.") from error
    return header, rows


def _check_header(path: Path, header: list[str]) -> None:
    check_separator(header, where=f"{path}: line 1")
    known = ", ".join(LABEL_COLUMNS)
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise UsageError(f"{path}: line 1: column {twice[0]!r} is there twice", fix="Keep one.")
    if not {"path", "slide_id"} & set(header):
        raise UsageError(
            f"{path}: line 1: there is no column 'path' or 'slide_id'", fix=f"Columns: {known}."
        )
    if not {"score", "expected_intensity"} & set(header):
        raise UsageError(f"{path}: line 1: there is no column 'score'", fix=f"Columns: {known}.")


def _label(where: str, row: dict[str, str], key: str) -> SlideLabel:
    values = {name: value.strip() for name, value in row.items()}
    name = values[key]
    if not name:
        raise UsageError(f"{where}, column {key!r}: is empty", fix="Name the slide.")
    role = values.get("role", "") or "test"
    score, intensity = values.get("score", ""), values.get("expected_intensity", "")
    if role not in ("test", "control"):
        raise UsageError(f"{where}, column 'role': {role!r}", fix="Allowed: test, control.")
    if role == "control":
        if intensity not in INTENSITY_RANKS:
            raise UsageError(
                f"{where}, column 'expected_intensity': {intensity!r}",
                fix=f"A control needs one of: {', '.join(INTENSITY_RANKS)}.",
            )
        return SlideLabel(name=name, kind="control", rank=INTENSITY_RANKS[intensity], where=where)
    if intensity:
        raise UsageError(
            f"{where}, column 'expected_intensity': is for controls",
            fix="Set role to control, or give a score instead.",
        )
    if score not in SCORES:
        raise UsageError(
            f"{where}, column 'score': {score!r} is not a score",
            fix=f"Allowed: {', '.join(SCORES)}.",
        )
    return SlideLabel(name=name, kind="test", rank=SCORES.index(score), where=where)
