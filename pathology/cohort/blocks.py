"""Randomisation lists by permuted blocks, the same for the same seed on every machine.

Each stratum draws from a stream of its own, keyed by the seed and the stratum's name: its list does
not depend on other strata or on their order, and a longer list begins with the shorter one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pathology.cohort.tables import Account, Column, Table

__all__ = ["Assignment", "BlockDesign", "assignments_table", "draw_list", "draw_lists"]

#: 64-bit numbers that the bit generator gives.
_RANGE = 1 << 64


@dataclass(frozen=True, kw_only=True)
class BlockDesign:
    """Describe permuted blocks.

    Parameters
    ----------
    ratio
        Patients per arm in the smallest whole block, such as ``{"A": 2, "B": 1}``.
    block_sizes
        Sizes to draw from, each a multiple of the ratio's sum; several make it harder to foresee
        the next arm.

    Raises
    ------
    ValueError
        If there are fewer than two arms, a part is below 1, or a size does not fit the ratio.

    Examples
    --------
    >>> BlockDesign(ratio={"A": 2, "B": 1}, block_sizes=(3, 6)).unit
    3
    """

    ratio: Mapping[str, int]
    block_sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.ratio) < 2 or any(part < 1 for part in self.ratio.values()):
            raise ValueError(f"a ratio needs two arms of 1 or more, not {dict(self.ratio)}")
        if not self.block_sizes or len(set(self.block_sizes)) != len(self.block_sizes):
            raise ValueError("give at least one block size, each once")
        for size in self.block_sizes:
            if size < self.unit or size % self.unit:
                raise ValueError(f"block size {size} is not a multiple of {self.unit}")

    @property
    def unit(self) -> int:
        """Size of the smallest block that keeps the ratio."""
        return sum(self.ratio.values())


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Hold one line of a list.

    Parameters
    ----------
    stratum
        Name of the stratum.
    number
        Place in the stratum's list, from 1.
    block, block_size
        Number of the block, from 1, and its size.
    arm
        The arm.
    """

    stratum: str
    number: int
    block: int
    block_size: int
    arm: str


def draw_list(
    design: BlockDesign, *, stratum: str, length: int, seed: int
) -> tuple[Assignment, ...]:
    """Draw the list of one stratum.

    Parameters
    ----------
    design
        Ratio and block sizes.
    stratum
        Name of the stratum, part of the key.
    length
        Patients that the list has to serve at least; the last block is always whole.
    seed
        0 or more. Keep it secret as long as patients are randomised.

    Returns
    -------
    tuple of Assignment
        Whole blocks.

    Raises
    ------
    ValueError
        If the length is below 1 or the seed below 0.

    Examples
    --------
    >>> design = BlockDesign(ratio={"A": 2, "B": 1}, block_sizes=(3,))
    >>> sorted(line.arm for line in draw_list(design, stratum="x", length=2, seed=7))
    ['A', 'A', 'B']
    """
    if length < 1 or seed < 0:
        raise ValueError(f"length {length} must be 1 or more, and seed {seed} 0 or more")
    stream = _stream(seed, stratum)
    lines: list[Assignment] = []
    block = 0
    while len(lines) < length:
        block += 1
        size = design.block_sizes[_below(stream, len(design.block_sizes))]
        arms = [
            arm for arm, part in design.ratio.items() for _ in range(part * size // design.unit)
        ]
        _shuffle(stream, arms)
        lines += [
            Assignment(
                stratum=stratum,
                number=len(lines) + place,
                block=block,
                block_size=size,
                arm=arm,
            )
            for place, arm in enumerate(arms, start=1)
        ]
    return tuple(lines)


def draw_lists(
    design: BlockDesign, *, strata: Sequence[str], length: int, seed: int
) -> tuple[Assignment, ...]:
    """Draw the lists of several strata, one after the other.

    Raises
    ------
    ValueError
        If a stratum is named twice; else as :func:`draw_list`.

    Examples
    --------
    >>> design = BlockDesign(ratio={"A": 1, "B": 1}, block_sizes=(2,))
    >>> len(draw_lists(design, strata=("x", "y"), length=4, seed=1))
    8
    """
    if len(set(strata)) != len(strata):
        raise ValueError("a stratum is named twice")
    return tuple(
        line
        for stratum in strata
        for line in draw_list(design, stratum=stratum, length=length, seed=seed)
    )


def assignments_table(lines: Sequence[Assignment]) -> Table:
    """Return lists as a table."""
    names = ("stratum", "number", "block", "block_size", "arm")
    return Table(
        name="randomisation",
        title="Randomisation lists",
        columns=tuple(Column(name=name, label=name.replace("_", " ")) for name in names),
        rows=tuple(tuple(getattr(line, name) for name in names) for line in lines),
        account=Account(rows_in=len(lines), rows_out=len(lines)),
    )


def _stream(seed: int, stratum: str) -> Iterator[int]:
    """Yield 64-bit numbers; NumPy promises the stream of a bit generator for all versions."""
    key = hashlib.sha256(stratum.encode()).digest()
    words = [int.from_bytes(key[i : i + 4], "big") for i in range(0, 32, 4)]
    bits = np.random.PCG64(np.random.SeedSequence(entropy=[seed, *words]))
    while True:
        yield int(bits.random_raw())


def _below(stream: Iterator[int], n: int) -> int:
    """Draw a whole number from 0 to n - 1, each equally likely."""
    # What is left over above the last multiple of n would favour small numbers.
    limit = _RANGE - _RANGE % n
    return next(value for value in stream if value < limit) % n


def _shuffle(stream: Iterator[int], items: list[str]) -> None:
    """Permute in place (Fisher and Yates)."""
    for last in range(len(items) - 1, 0, -1):
        other = _below(stream, last + 1)
        items[last], items[other] = items[other], items[last]
