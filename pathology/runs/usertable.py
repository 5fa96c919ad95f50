"""Tables that people give: CSV or JSON, every row with its place for messages.

The one reader of such tables: manifests, labels, readings, patients, ISH results. What this program
wrote itself, :func:`~pathology.runs.csvfile.parse_csv` reads.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pathology.errors import UsageError
from pathology.runs.csvfile import check_separator, unguard

__all__ = [
    "RowKind",
    "UserRow",
    "UserTable",
    "parse_user_csv",
    "parse_user_json",
    "read_user_file",
    "wrong_field",
]

#: What a row is counted as: a line of the file, a row as a spreadsheet shows it (both from 1 with
#: the header), or an item of a JSON list (from 1).
RowKind = Literal["line", "row", "item"]

#: Twenty readers of a hundred thousand slides.
_MAX_BYTES: Final = 256 << 20


def wrong_field(file: str, place: str, column: str, problem: str, *, fix: str = "") -> UsageError:
    """Make the error about one field.

    Parameters
    ----------
    file, place, column
        Where it stands.
    problem, fix
        What is wrong, and what to do.

    Examples
    --------
    >>> str(wrong_field("ish.csv", "line 3", "her2", "'-1' is negative", fix="Give a count."))
    "ish.csv: line 3, column 'her2': '-1' is negative. Give a count."
    """
    return UsageError(f"{file}: {place}, column {column!r}: {problem}", fix=fix)


@dataclass(frozen=True, kw_only=True, slots=True)
class UserRow:
    """Hold one row and what is needed to name it in an error.

    Parameters
    ----------
    file
        Name of the file.
    row
        Its number.
    kind
        What the number counts.
    cells
        Texts by column; blanks around them are taken off unless the table was read as exact.

    Examples
    --------
    >>> row = UserRow(file="ish.csv", row=3, kind="line", cells={"her2": "-1"})
    >>> str(row.wrong("her2", "'-1' is negative", fix="Give a count."))
    "ish.csv: line 3, column 'her2': '-1' is negative. Give a count."
    """

    file: str
    row: int
    kind: RowKind
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return a field without blanks around it; an absent column is an empty field."""
        return self.cells.get(column, "").strip()

    @property
    def place(self) -> str:
        """The row without its file: ``line 3``."""
        return f"{self.kind} {self.row}"

    def wrong(self, column: str, problem: str, *, fix: str = "") -> UsageError:
        """Make the error about one field."""
        return wrong_field(self.file, self.place, column, problem, fix=fix)


@dataclass(frozen=True, kw_only=True)
class UserTable:
    """Hold a CSV table.

    Parameters
    ----------
    file
        Name of the file.
    kind
        What numbers of rows count.
    columns
        Names without blanks around them, none twice; none at all where the file is empty.
    rows
        Those that are not empty, in the order of the file.
    """

    file: str
    kind: RowKind
    columns: tuple[str, ...]
    rows: tuple[UserRow, ...]

    def wrong_header(self, problem: str, *, fix: str = "") -> UsageError:
        """Make the error about the header."""
        return UsageError(f"{self.file}: {self.kind} 1: {problem}", fix=fix)


def read_user_file(
    path: Path, *, what: str, table: str, fix: str = "", max_bytes: int = _MAX_BYTES
) -> bytes:
    """Read a file that a person named.

    Parameters
    ----------
    path
        The file.
    what, table, fix
        For messages: ``the labels``, ``table of labels``, and what to name instead.
    max_bytes
        Largest size.

    Returns
    -------
    bytes
        All of it.

    Raises
    ------
    UsageError
        If it is larger or cannot be read.
    """
    try:
        if path.stat().st_size > max_bytes:
            raise UsageError(f"{path}: is larger than any {table}")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: {what} cannot be read ({error.strerror or error})", fix=fix
        ) from error


def parse_user_csv(
    content: bytes,
    *,
    name: str,
    columns: Sequence[str] | None = None,
    kind: RowKind = "line",
    exact: bool = False,
) -> UserTable:
    r"""Read a CSV table.

    Parameters
    ----------
    content
        UTF-8 with or without a byte-order mark, commas, a header. Empty lines are nothing.
    name
        The file, for messages.
    columns
        Those that may be there; None allows any.
    kind
        How messages number rows: ``line`` or ``row``. Empty lines count in both.
    exact
        Whether fields stay as they are: names of files may begin with a blank or an apostrophe.
        Else blanks around them and the apostrophe that guards formulas are taken off.

    Returns
    -------
    UserTable
        Its rows.

    Raises
    ------
    UsageError
        If it is not such a table, a column is unknown or there twice, or a row has more or fewer
        fields than the header.

    Examples
    --------
    >>> table = parse_user_csv(b"a, b\n\n1, 2 \n", name="x.csv", columns=["a", "b"])
    >>> table.columns, table.rows[0].place, table.rows[0].cells
    (('a', 'b'), 'line 3', {'a': '1', 'b': '2'})
    """
    lines = _lines(content, name=name, kind=kind)
    first = next(lines, None)
    if first is None and kind == "row":
        raise UsageError(f"{name}: the table is empty, not even a header is there")
    header = [field.strip() for field in first[1]] if first else []
    where = f"{name}: {kind} 1"
    check_separator(header, where=where)
    _check_columns(where, header, columns)
    rows = []
    for number, found in lines:
        if not any(field.strip() for field in found):
            continue
        if len(found) != len(header):
            raise _wrong_length(f"{name}: {kind} {number}", kind, len(found), len(header))
        texts = found if exact else [unguard(field.strip()).strip() for field in found]
        cells = dict(zip(header, texts, strict=True))
        rows.append(UserRow(file=name, row=number, kind=kind, cells=cells))
    return UserTable(file=name, kind=kind, columns=tuple(header), rows=tuple(rows))


def parse_user_json(
    content: bytes, *, name: str, columns: Sequence[str], key: str, lists: Sequence[str] = ()
) -> list[UserRow]:
    """Read a JSON table: a list of objects, alone or under a key.

    Parameters
    ----------
    content
        UTF-8.
    name
        The file, for messages.
    columns
        Names that an object may hold.
    key
        Where the list lies if it is not the whole file.
    lists
        Columns that may hold a list of values in place of one; such an item becomes one row for
        each value, and all its lists have one length.

    Returns
    -------
    list of UserRow
        In the order of the file, numbers and booleans as texts.

    Raises
    ------
    UsageError
        If it is not such a table, a name is unknown or there twice, or a value is not plain.

    Examples
    --------
    >>> text = b'[{"a": "x", "n": [4, 5]}]'
    >>> [row.cells for row in parse_user_json(text, name="x.json", columns=["a", "n"], key="rows",
    ...                                       lists=["n"])]
    [{'a': 'x', 'n': '4'}, {'a': 'x', 'n': '5'}]
    """
    try:
        found = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_no_twins)
    except ValueError as error:
        raise UsageError(f"{name}: not valid JSON ({error})") from error
    if isinstance(found, dict):
        found = found.get(key) if set(found) == {key} else None
    if not isinstance(found, list):
        raise UsageError(
            f"{name}: holds no list of results",
            fix=f'Write a list of objects, or {{"{key}": [...]}}.',
        )
    rows: list[UserRow] = []
    for number, item in enumerate(found, start=1):
        where = f"{name}: item {number}"
        if not isinstance(item, dict):
            raise UsageError(f"{where}: is no object", fix="Write each result as {...}.")
        _check_columns(where, list(item), columns)
        rows.extend(
            UserRow(file=name, row=number, kind="item", cells=cells)
            for cells in _spread(where, item, lists)
        )
    return rows


def _lines(content: bytes, *, name: str, kind: RowKind) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each line, header and empty lines included, with their numbers."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name}: is not UTF-8 text ({error.reason} at byte {error.start})",
            fix="Save it as CSV UTF-8.",
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = 0
    try:
        for rows, fields in enumerate(reader, start=1):
            # A field may hold line breaks; a line is then the last one of its row.
            yield (rows if kind == "row" else reader.line_num), fields
    except csv.Error as error:
        place = f"row {rows + 1}" if kind == "row" else f"line {reader.line_num}"
        raise UsageError(
            f"{name}: {place}: not valid CSV ({error})", fix=f"Check the quotes of this {kind}."
        ) from error


def _wrong_length(where: str, kind: RowKind, fields: int, columns: int) -> UsageError:
    if kind == "row":
        problem = f"{where} has {fields} fields, the header {columns}"
    else:
        problem = f"{where}: {fields} values under {columns} column names"
    return UsageError(problem, fix="Put values that contain a comma in double quotes.")


def _check_columns(where: str, header: Sequence[str], columns: Sequence[str] | None) -> None:
    for name in header:
        if columns is not None and name not in columns:
            known = f"Columns: {', '.join(columns)}."
            raise UsageError(f"{where}: unknown column {name!r}", fix=known)
        if header.count(name) > 1:
            raise UsageError(f"{where}: column {name!r} is there twice", fix="Keep one.")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twin = next(key for key, _ in pairs if [name for name, _ in pairs].count(key) > 1)
        raise ValueError(f"{twin!r} is there twice in one object")
    return found


def _spread(where: str, item: Mapping[str, Any], lists: Sequence[str]) -> list[dict[str, str]]:
    """Turn one object into its rows."""
    long = {name: item[name] for name in lists if isinstance(item.get(name), list)}
    if len({len(values) for values in long.values()}) > 1:
        raise UsageError(f"{where}: the lists {', '.join(long)} differ in length")
    count = len(next(iter(long.values()))) if long else 1
    if not count:
        raise UsageError(f"{where}: the list {next(iter(long))!r} is empty")
    return [
        {name: _text(where, name, long[name][n] if name in long else item[name]) for name in item}
        for n in range(count)
    ]


def _text(where: str, name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | float):
        return repr(value)
    raise UsageError(f"{where}, column {name!r}: a {type(value).__name__} is no plain value")
