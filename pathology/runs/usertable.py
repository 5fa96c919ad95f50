"""Tables that people write: CSV files of labels, patients or readers, checked before any use.

Only the form is checked here, and what a value means is the caller's. Blank lines are passed over;
every other row keeps its number, so that a message can name it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from pathology.errors import UsageError
from pathology.runs.csvfile import unguard

__all__ = ["UserTable", "read_user_table"]

_MAX_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class UserTable:
    """Hold a table as texts.

    Parameters
    ----------
    name
        The file as the user named it, for messages.
    columns
        Names, in the order of the file, each once.
    rows
        Number of each row in the file (the header is row 1) and its values by column, without
        outer blanks.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]


def read_user_table(path: Path, *, what: str, max_bytes: int = _MAX_BYTES) -> UserTable:
    """Read a CSV file that a person or a spreadsheet wrote.

    Parameters
    ----------
    path
        UTF-8, with or without byte-order mark; a header; commas.
    what
        What the table holds, in the plural, for messages: ``labels``.
    max_bytes
        Size above which a file is not read.

    Returns
    -------
    UserTable
        All rows that are not blank.

    Raises
    ------
    UsageError
        If the file cannot be read, is no such table, names a column twice, or a row has more or
        fewer values than the header; names the row.
    """
    try:
        if path.stat().st_size > max_bytes:
            raise UsageError(f"{path}: is larger than any table of {what}")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            rows = []
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                _check_length(path, reader.line_num, cells, header)
                values = [unguard(cell.strip()) for cell in cells]
                rows.append((reader.line_num, dict(zip(header, values, strict=True))))
    except OSError as error:
        raise UsageError(
            f"{path}: the {what} cannot be read ({error.strerror or error})",
            fix="Name a CSV file.",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text", fix="Save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise UsageError(f"{path}: not valid CSV ({error})", fix="Check its quotes.") from error
    return UserTable(name=str(path), columns=tuple(header), rows=tuple(rows))


def _check_header(path: Path, header: list[str]) -> None:
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise UsageError(f"{path}: line 1: column {twice[0]!r} is there twice", fix="Keep one.")


def _check_length(path: Path, line: int, cells: list[str], header: list[str]) -> None:
    if len(cells) != len(header):
        raise UsageError(
            f"{path}: line {line}: {len(cells)} values under {len(header)} column names",
            fix="Put values that contain a comma in double quotes.",
        )
