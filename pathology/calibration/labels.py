"""Labels: what the slides of a run were scored by people, or what its controls should show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pathology.calibration.samples import INTENSITY_RANKS, SlideKind
from pathology.errors import UsageError
from pathology.runs.usertable import UserRow, UserTable, parse_user_csv, read_user_file
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
    content = read_user_file(
        path,
        what="the labels",
        table="table of labels",
        fix="Name a CSV file with --labels.",
        max_bytes=_MAX_BYTES,
    )
    table = parse_user_csv(content, name=str(path), exact=True)
    _check_header(table)
    key = "slide_id" if "slide_id" in table.columns else "path"
    labels: list[SlideLabel] = []
    seen: dict[str, int] = {}
    for row in table.rows:
        label = _label(row, key)
        if label.name in seen:
            raise UsageError(
                f"{label.where}: {label.name!r} is there twice (first on line {seen[label.name]})",
                fix="Keep one row per slide.",
            )
        seen[label.name] = row.row
        labels.append(label)
    if not labels:
        raise UsageError(f"{path}: there are no labels", fix="List one slide per line.")
    return labels


def _check_header(table: UserTable) -> None:
    known = f"Columns: {', '.join(LABEL_COLUMNS)}."
    if not {"path", "slide_id"} & set(table.columns):
        raise table.wrong_header("there is no column 'path' or 'slide_id'", fix=known)
    if not {"score", "expected_intensity"} & set(table.columns):
        raise table.wrong_header("there is no column 'score'", fix=known)


def _label(row: UserRow, key: str) -> SlideLabel:
    where = f"{row.file}: {row.place}"
    name = row.text(key)
    if not name:
        raise row.wrong(key, "is empty", fix="Name the slide.")
    role = row.text("role") or "test"
    score, intensity = row.text("score"), row.text("expected_intensity")
    if role not in ("test", "control"):
        raise row.wrong("role", repr(role), fix="Allowed: test, control.")
    if role == "control":
        if intensity not in INTENSITY_RANKS:
            raise row.wrong(
                "expected_intensity",
                repr(intensity),
                fix=f"A control needs one of: {', '.join(INTENSITY_RANKS)}.",
            )
        return SlideLabel(name=name, kind="control", rank=INTENSITY_RANKS[intensity], where=where)
    if intensity:
        raise row.wrong(
            "expected_intensity",
            "is for controls",
            fix="Set role to control, or give a score instead.",
        )
    if score not in SCORES:
        raise row.wrong("score", f"{score!r} is not a score", fix=f"Allowed: {', '.join(SCORES)}.")
    return SlideLabel(name=name, kind="test", rank=SCORES.index(score), where=where)
