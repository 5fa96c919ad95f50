"""Which groups (patients, slides) are held out of training."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pathology.training.problems import Problems

__all__ = ["Part", "check_apart", "group_of", "held_out"]

#: All of a source, what is trained on, or what is held out.
Part = Literal["all", "train", "holdout"]


def group_of(name: str, pattern: str | None) -> str | None:
    r"""Return the group that a name belongs to.

    Parameters
    ----------
    name
        Path relative to the source's folder, with ``/``.
    pattern
        Regular expression that is searched for; None: each name is a group of its own.

    Returns
    -------
    str or None
        The first group of the expression, or all that it found; None where it found nothing.

    Examples
    --------
    >>> group_of("1+/P012_tile7.png", r"(P\d+)_"), group_of("a.png", r"P\d+"), group_of("b", None)
    ('P012', None, 'b')
    """
    if pattern is None:
        return name
    match = re.search(pattern, name)
    if match is None:
        return None
    return (match.group(1) if match.re.groups else match.group(0)) or None


def held_out(groups: Iterable[str], share: float) -> frozenset[str]:
    """Choose the groups that are held out, by the hash of their names alone.

    The choice depends on nothing but the set of groups: not on the order of files, labels or a
    generator of chance. A group is never split.

    Parameters
    ----------
    groups
        Names; how often each occurs is of no account.
    share
        Share of the groups, 0 to 1.

    Returns
    -------
    frozenset of str
        ``share`` of the groups to the nearest whole number: at least one, and never all, unless the
        share is 0 or there is only one group (then none).

    Examples
    --------
    >>> sorted(held_out(["a", "b", "c", "d", "a"], 0.25))
    ['d']
    """
    ranked = sorted(set(groups), key=lambda name: hashlib.sha256(name.encode()).digest())
    if share <= 0 or len(ranked) < 2:
        return frozenset()
    count = min(max(round(share * len(ranked)), 1), len(ranked) - 1)
    return frozenset(ranked[:count])


def check_apart(
    trained: Iterable[tuple[Path, str]], held: Iterable[tuple[Path, str]], problems: Problems
) -> None:
    """Note every group that one source trains on and another holds out.

    Parameters
    ----------
    trained, held
        Path of a source, and a named group (patient, slide) of it.
    problems
        Where they are noted.

    Examples
    --------
    >>> problems = Problems()
    >>> check_apart([(Path("a"), "P1"), (Path("a"), "P2")], [(Path("b"), "P1")], problems)
    >>> len(problems)
    1
    """
    sources = dict(sorted((group, path) for path, group in trained))
    for path, group in sorted(set(held)):
        if group in sources:
            problems.add(
                path,
                f"{group!r} is held out here, and trained on in {sources[group]}",
                "Put both into one folder, or set holdout_share: 0 for one of them.",
            )
