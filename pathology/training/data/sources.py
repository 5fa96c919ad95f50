"""Where the fields of the cell network come from, and how several sources are mixed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from pathology.runs.atomic import make_folder
from pathology.synthesis import random_field_spec
from pathology.training.data.samples import Sample, load_sample, make_sample, store_sample
from pathology.training.data.states import generator_hash
from pathology.training.engine.stream import example_at
from pathology.training.engine.task import ENDLESS, random_of
from pathology.types import IntArray

__all__ = ["FieldSource", "Mixture", "SyntheticFields"]

#: Fields of an endless source have seeds from here on, beyond those of every measurement.
ENDLESS_SEED = 2_000_000
_MIX = 0x313C


class FieldSource(Protocol):
    """Give fields by number; must be picklable."""

    def __len__(self) -> int:
        """Return the number of distinct fields, or ``ENDLESS``."""

    def sample(self, index: int) -> Sample:
        """Return one field, always the same for the same number."""


def make_cache_folder(folder: Path | None) -> None:
    """Make the folder of kept fields; None keeps nothing.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    if folder is not None:
        make_folder(folder, fix="Give a folder that may be written as --cache.")


@dataclass(frozen=True, kw_only=True)
class SyntheticFields:
    """Draw procedural tissue, or read what was drawn before.

    Parameters
    ----------
    fields
        Number of distinct fields; None: endless.
    first
        Seed of the first field; the others follow.
    size_px
        Side in pixels of 0.5 µm.
    only
        ``without_tumour``: seeds whose fields hold tumour are passed over.
    cache
        Folder that keeps fields between runs, in a folder of its own for each state of the
        generator and each size; None keeps nothing. Endless fields are not kept.

    Examples
    --------
    >>> len(SyntheticFields(fields=12, size_px=128, cache=None))
    12
    """

    fields: int | None
    first: int = 0
    size_px: int
    only: Literal["any", "without_tumour"] = "any"
    cache: Path | None
    #: Found out once, in the first process: all processes then agree on the folder.
    generator: str = field(default_factory=generator_hash)

    def __len__(self) -> int:
        return ENDLESS if self.fields is None else self.fields

    @property
    def folder(self) -> Path | None:
        """Folder of the kept fields."""
        if self.cache is None or self.fields is None:
            return None
        return self.cache / f"{self.generator}-{self.size_px}"

    def path(self, index: int) -> Path | None:
        """Return the file of a field, whether it is there or not."""
        return None if self.folder is None else self.folder / f"{self.seed(index):06d}.npz"

    def seed(self, index: int) -> int:
        """Return the seed of a field that is not endless."""
        if self.only == "any":
            return self.first + index
        return _bare_seeds(self.first, self.fields or 0, self.size_px)[index]

    def missing(self) -> list[int]:
        """Return the numbers of the fields that are to be kept and are not there yet."""
        paths = {index: self.path(index) for index in range(self.fields or 0)}
        return [index for index, path in paths.items() if path is not None and not path.is_file()]

    def check(self) -> None:
        """Make the folder.

        Raises
        ------
        OutputError
            If it cannot be made.
        """
        make_cache_folder(self.folder)

    def sample(self, index: int) -> Sample:
        """Return one field; renders and keeps it if it is not there yet."""
        if self.fields is None:
            return make_sample(ENDLESS_SEED + self.first + index, self.size_px)
        path = self.path(index)
        kept = None if path is None else load_sample(path)
        if kept is not None:
            return kept
        made = make_sample(self.seed(index), self.size_px)
        if path is not None:
            store_sample(made, path)
        return made


@lru_cache(maxsize=8)
def _bare_seeds(first: int, count: int, size_px: int) -> tuple[int, ...]:
    """Return the first seeds whose fields hold no invasive tumour."""
    seeds = (seed for seed in itertools.count(first) if _is_bare(seed, size_px))
    return tuple(itertools.islice(seeds, count))


def _is_bare(seed: int, size_px: int) -> bool:
    tissue = random_field_spec(np.random.default_rng(seed), size_px=size_px).composition
    grown = {tissue.architecture, tissue.second_architecture}
    return grown == {"none"} and tissue.single_cells_per_mm2 == 0


class Mixture:
    """Mix sources by weight, the same at every place of the training.

    Places are dealt out in rounds: in each round every source gets its share, to one example, in an
    order drawn anew. Within a source the examples come as :func:`example_at` has them.

    Parameters
    ----------
    sources
        At least one.
    weights
        Above 0, one for each; relative to each other.
    seed
        Seed of the training.

    Examples
    --------
    >>> class Numbers:
    ...     def __len__(self):
    ...         return 2
    >>> mixture = Mixture([Numbers(), Numbers()], [3, 1], seed=1)
    >>> [mixture.at(place)[0] for place in range(8)].count(0)
    6
    """

    def __init__(self, sources: Sequence[FieldSource], weights: Sequence[float], seed: int) -> None:
        self.sources = tuple(sources)
        self._seed = seed
        self._counts = _round(weights)

    def at(self, place: int) -> tuple[int, int]:
        """Return source and example at a place."""
        turn, within = divmod(place, sum(self._counts))
        deal = _deal(self._counts, self._seed, turn)
        source = int(deal[within])
        ordinal = turn * self._counts[source] + int((deal[:within] == source).sum())
        return source, example_at(ordinal, len(self.sources[source]), self._seed + source)

    def sample(self, place: int) -> Sample:
        """Return the field at a place."""
        source, index = self.at(place)
        return self.sources[source].sample(index)


def _round(weights: Sequence[float]) -> tuple[int, ...]:
    """Turn weights into whole numbers of examples per round, to about one in a hundred."""
    shares = [Fraction(weight / sum(weights)).limit_denominator(100) for weight in weights]
    whole = math.lcm(*(share.denominator for share in shares))
    if whole > 1000 or 0 in shares:
        # A rare source stands once in a round, and the others as often as their weight says.
        scale = min(1000, math.ceil(sum(weights) / min(weights)))
        return tuple(max(1, round(scale * weight / sum(weights))) for weight in weights)
    return tuple(int(share * whole) for share in shares)


@lru_cache(maxsize=64)
def _deal(counts: tuple[int, ...], seed: int, turn: int) -> IntArray:
    """Return the source of each place of a round."""
    each = np.repeat(np.arange(len(counts)), counts)
    return np.asarray(random_of(seed, _MIX, turn).permutation(each), dtype=np.int64)
