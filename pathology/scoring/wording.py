"""What the clauses call the things that were counted: cells, or tiles that a model classified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["CELL_WORDING", "Wording"]


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Name what the rules counted.

    Parameters
    ----------
    units
        Plural of what is counted, after a number.
    counted
        The same in full, as in ``12 evaluable tumour cells``.
    none
        One of it that was not found, after "no".
    patterns
        The stained patterns by their short names ``CI``, ``CW``, ``IM`` and ``IF``.
    unstained
        What is said where nothing is stained.

    Examples
    --------
    >>> CELL_WORDING.patterns["CI"]
    'complete intense'
    """

    units: str
    counted: str
    none: str
    patterns: Mapping[str, str]
    unstained: str


CELL_WORDING: Final = Wording(
    units="cells",
    counted="evaluable tumour cells",
    none="evaluable tumour cell",
    patterns=MappingProxyType(
        {
            "CI": "complete intense",
            "CW": "complete weak-moderate",
            "IM": "incomplete moderate-intense",
            "IF": "incomplete faint",
        }
    ),
    unstained="no stained membrane",
)
