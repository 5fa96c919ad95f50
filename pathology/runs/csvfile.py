"""Comma-separated tables that a spreadsheet cannot be tricked with, and that read back exactly.

UTF-8 without a byte-order mark, comma, ``"`` around fields that need it, lines end with LF. Nothing
is an empty field. Booleans are ``true`` and ``false``. Numbers have a fixed number of decimals.

A spreadsheet runs a text that begins with ``=``, ``+``, ``-`` or ``@`` as a formula, and file names
come from outside. Such a text gets an apostrophe in front, which spreadsheets take for "this is
text"; so does a text that already begins with apostrophes before such a sign, so that
:func:`unguard` always gives back what was there.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from pathology.errors import OutputError, UsageError

__all__ = [
    "SAVE_WITH_COMMAS",
    "Cell",
    "check_separator",
    "format_cell",
    "guard",
    "parse_csv",
    "render_csv",
    "unguard",
    "wrong_separator",
]

#: What a field may hold.
Cell = str | int | float | bool | None

#: What to do about :func:`wrong_separator`.
SAVE_WITH_COMMAS = "Save it as CSV with commas."

_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}

#: Decimals of numbers: 0.0001 percentage points is far below one cell in any count. Pixel sizes
#: have six, because scanners give 0.2527 or 0.250391 and areas go with the square.
_DECIMALS = 4
_DECIMALS_OF = {"mpp": 6}
_NEEDS_QUOTES = re.compile(r"""[,"\r\n]|^\s|\s$""")
# Signs that start a formula, also in full width and behind blanks, and the control characters that
# some spreadsheets drop before they look.
_FORMULA = re.compile(r"[\s']*[=+\-@＝＋－＠]|'*[\t\r\n]")


def guard(text: str) -> str:
    """Make a text safe to open in a spreadsheet.

    Examples
    --------
    >>> guard("=1+1"), guard("'=1"), guard("a=b"), guard("1+")
    ("'=1+1", "''=1", 'a=b', '1+')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unguard(text: str) -> str:
    """Undo :func:`guard`.

    Examples
    --------
    >>> unguard("'=1+1"), unguard("''=1"), unguard("'a")
    ('=1+1', "'=1", "'a")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def format_cell(value: Cell, *, column: str = "") -> str:
    """Write one value as text.

    Parameters
    ----------
    value
        What the field holds; None gives an empty field.
    column
        Name of the column, which decides on the decimals.

    Examples
    --------
    >>> [format_cell(value) for value in (None, True, 3, 12.345678, -0.00001, "@a")]
    ['', 'true', '3', '12.3457', '0.0', "'@a"]
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # Adding zero turns -0.0 into 0.0.
        return repr(round(float(value), _DECIMALS_OF.get(column, _DECIMALS)) + 0.0)
    return guard(value) if isinstance(value, str) else str(value)


def render_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> bytes:
    r"""Write a table.

    Parameters
    ----------
    columns
        Names, in their order.
    rows
        One value for each column.

    Returns
    -------
    bytes
        The file.

    Examples
    --------
    >>> render_csv(["a", "b"], [{"a": "x, y", "b": 0.5}])
    b'a,b\n"x, y",0.5\n'
    """
    lines = [",".join(columns)]
    lines.extend(
        ",".join(_quote(format_cell(row[name], column=name)) for name in columns) for row in rows
    )
    return ("\n".join(lines) + "\n").encode()


def parse_csv(content: bytes, *, name: str) -> tuple[list[str], list[dict[str, str]]]:
    """Read a table that :func:`render_csv` wrote.

    Parameters
    ----------
    content
        The file; a byte-order mark, as spreadsheets add one, is taken off.
    name
        Name of the file, for messages.

    Returns
    -------
    tuple
        Names of the columns, and the rows as texts, guarded ones restored.

    Raises
    ------
    OutputError
        If it is not such a table.
    """
    lines = _split(content, name=name)
    columns = lines[0]
    rows = [_row(columns, line, number, name) for number, line in enumerate(lines[1:], start=2)]
    return columns, rows


def wrong_separator(header: Sequence[str]) -> str | None:
    """Name what separates the columns of a table where it is not commas.

    Parameters
    ----------
    header
        Fields of the first line as a reader of commas finds them.

    Returns
    -------
    str or None
        ``semicolons`` (as spreadsheets save CSV where the comma is the decimal sign), ``tabs``, or
        None where there is more than one field, or nothing that could separate.

    Examples
    --------
    >>> wrong_separator(["slide_id;score"])
    'semicolons'
    >>> wrong_separator(["slide_id", "score"]) is None
    True
    """
    if len(header) != 1:
        return None
    return next((name for sign, name in _OTHER_SEPARATORS.items() if sign in header[0]), None)


def check_separator(header: Sequence[str], *, where: str) -> None:
    """Refuse a table whose columns are not separated by commas.

    Parameters
    ----------
    header
        As for :func:`wrong_separator`.
    where
        The file and its line, for the message.

    Raises
    ------
    UsageError
        If something else separates them.
    """
    if separator := wrong_separator(header):
        raise UsageError(f"{where}: the columns are separated by {separator}", fix=SAVE_WITH_COMMAS)


def _split(content: bytes, *, name: str) -> list[list[str]]:
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        lines = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise OutputError(f"{name}: not a table in UTF-8 with commas ({error})") from error
    if not lines:
        raise OutputError(f"{name}: the table is empty, not even a header is there")
    return lines


def _row(columns: list[str], line: list[str], number: int, name: str) -> dict[str, str]:
    if len(line) != len(columns):
        raise OutputError(f"{name}: row {number} has {len(line)} fields, the header {len(columns)}")
    return dict(zip(columns, map(unguard, line), strict=True))


def _quote(field: str) -> str:
    # Written by hand because the standard module leaves a lone carriage return unquoted on some
    # versions of Python, and such a file does not read back. Outer blanks are quoted to be kept.
    if _NEEDS_QUOTES.search(field):
        return '"' + field.replace('"', '""') + '"'
    return field
