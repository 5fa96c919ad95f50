"""Tables of a cohort study: what they hold, and which rows went in, came out, and why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Account", "Cell", "Column", "Table", "account", "percent_text"]

#: What a field may hold.
Cell = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Account:
    """Say how many rows went into a table, how many it speaks of, and why the others are missing.

    Parameters
    ----------
    rows_in, rows_out
        Patients.
    left_out
        Reasons with their counts, which add up to the difference.

    Raises
    ------
    ValueError
        If the counts do not add up.

    Examples
    --------
    >>> Account(rows_in=3, rows_out=2, left_out=(("not randomised", 1),)).sentence
    '3 rows in, 2 out; left out: 1 not randomised.'
    """

    rows_in: int
    rows_out: int
    left_out: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        lost = sum(n for _, n in self.left_out)
        if self.rows_in != self.rows_out + lost:
            raise ValueError(f"{self.rows_in} rows in, {self.rows_out} out, {lost} left out")

    @property
    def sentence(self) -> str:
        """The counts in words."""
        text = f"{self.rows_in} rows in, {self.rows_out} out"
        if not self.left_out:
            return f"{text}; none left out."
        return f"{text}; left out: " + ", ".join(f"{n} {why}" for why, n in self.left_out) + "."


def account(reasons: Iterable[str | None]) -> Account:
    """Count rows by why they were left out.

    Parameters
    ----------
    reasons
        One per row; None where the row counts.

    Examples
    --------
    >>> account([None, "no arm", None, "no arm"]).left_out
    (('no arm', 2),)
    """
    found = list(reasons)
    counts = Counter(reason for reason in found if reason is not None)
    return Account(
        rows_in=len(found),
        rows_out=len(found) - counts.total(),
        left_out=tuple(sorted(counts.items())),
    )


@dataclass(frozen=True, kw_only=True)
class Column:
    """Name a column: once for programs, once for readers.

    Parameters
    ----------
    name
        In files: lower case, unit included.
    label
        On pages.
    """

    name: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Hold one table.

    Parameters
    ----------
    name
        File name without ending.
    title
        For readers.
    columns
        In their order.
    rows
        Values in the order of the columns.
    account
        Rows in, out and why.
    notes
        Sentences for below the table.

    Raises
    ------
    ValueError
        If a row does not have one value per column.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    account: Account
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.name}: {len(row)} values for {len(self.columns)} columns")

    def records(self) -> list[dict[str, Cell]]:
        """Return the rows by column name."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def percent_text(k: int, n: int, *, decimals: int = 1) -> str:
    """Write a percentage as papers print it: on integers, half rounded up.

    Parameters
    ----------
    k, n
        ``k`` of ``n``; n may be 0, which gives no percentage.
    decimals
        Digits after the point, at least 1.

    Examples
    --------
    >>> percent_text(193, 331), percent_text(1, 16), percent_text(0, 0)
    ('58.3', '6.3', '–')
    """
    if n == 0:
        return "–"
    scale = 10**decimals
    scaled = (2 * 100 * scale * k + n) // (2 * n)
    return f"{scaled // scale}.{scaled % scale:0{decimals}d}"
