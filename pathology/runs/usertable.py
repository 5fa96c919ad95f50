"""Tables that people give: CSV or JSON, every row with its place for messages."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pathology.errors import UsageError
from pathology.runs.csvfile import check_separator, unguard

__all__ = ["UserRow", "parse_user_csv", "parse_user_json"]


@dataclass(frozen=True, kw_only=True)
class UserRow:
    """Hold one row and what is needed to name it in an error.

    Parameters
    ----------
    file
        Name of the file.
    row
        Line of a CSV file, counted from 1 with the header, or item of a JSON file, from 1.
    kind
        ``line`` or ``item``.
    cells
        Texts by column; blanks around them are taken off.

    Examples
    --------
    >>> row = UserRow(file="ish.csv", row=3, kind="line", cells={"her2": "-1"})
    >>> str(row.wrong("her2", "'-1' is negative", fix="Give a count."))
    "ish.csv: line 3, column 'her2': '-1' is negative. Give a count."
    """

    file: str
    row: int
    kind: str
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return a field; an absent column is an empty field."""
        return self.cells.get(column, "")

    @property
    def place(self) -> str:
        """The row without its file: ``line 3``."""
        return f"{self.kind} {self.row}"

    def wrong(self, column: str, problem: str, *, fix: str = "") -> UsageError:
        """Make the error about one field."""
        return UsageError(f"{self.file}: {self.place}, column {column!r}: {problem}", fix=fix)


def parse_user_csv(content: bytes, *, name: str, columns: Sequence[str]) -> list[UserRow]:
    r"""Read a CSV table.

    Parameters
    ----------
    content
        UTF-8 with or without a byte-order mark, commas, a header. Empty lines are nothing.
    name
        The file, for messages.
    columns
        Those that may be there.

    Returns
    -------
    list of UserRow
        In the order of the file.

    Raises
    ------
    UsageError
        If it is not such a table, a column is unknown or there twice, or a row has more or fewer
        fields than the header.

    Examples
    --------
    >>> parse_user_csv(b"a,b\n\n1, 2\n", name="x.csv", columns=["a", "b"])[0].cells
    {'a': '1', 'b': '2'}
    """
    rows: list[UserRow] = []
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = [field.strip() for field in next(reader, [])]
        check_separator(header, where=f"{name}: line 1")
        _check_columns(f"{name}: line 1", header, columns)
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(header):
                raise UsageError(
                    f"{name}: line {reader.line_num}: {len(fields)} values under {len(header)} "
                    "column names",
                    fix="Put values that contain a comma in double quotes.",
                )
            cells = {key: unguard(field.strip()) for key, field in zip(header, fields, strict=True)}
            rows.append(UserRow(file=name, row=reader.line_num, kind="line", cells=cells))
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: is not UTF-8 text", fix="Save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise UsageError(f"{name}: not valid CSV ({error})", fix="Check its quotes.") from error
    return rows


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


def _check_columns(where: str, header: Sequence[str], columns: Sequence[str]) -> None:
    known = f"Columns: {', '.join(columns)}."
    for name in header:
        if name not in columns:
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
