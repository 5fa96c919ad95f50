"""Blinded reader studies: their order, and what a reader may see before the read is locked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pathology.review.events import Draft, Event, clean_text
from pathology.review.problems import NotAllowed, Refused
from pathology.review.state import SlideReview
from pathology.review.users import Role, User
from pathology.runs import SlideResult
from pathology.runs.readings import render_readings

__all__ = [
    "Study",
    "end_study",
    "reading_order",
    "render_reads",
    "start_study",
    "telling_names",
]

#: Scores and tiers as files are named after them: 3+, 2plus, score1, IHC_0, negative, low ...
_TELLING: Final = re.compile(
    r"(?<![0-9])[0-3] ?(\+|plus)|(score|ihc)[ _.-]*[0-3](?![0-9])|ultra ?low|equivocal|negativ"
    r"|positiv|her2[ _.-]*(low|null|zero|neg|pos)|(?<![a-z])(neg|pos)(?![a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Hold whether a blinded study is on; a pure fold of the run's own events.

    Parameters
    ----------
    version
        Events of the run so far.
    name
        Of the study; empty where none was ever begun.
    seed
        Decides each reader's order.
    on
        Whether scores are hidden now.
    """

    version: int = 0
    name: str = ""
    seed: int = 0
    on: bool = False

    def apply(self, event: Event) -> Study:
        """Return the study after one more event of the run.

        Raises
        ------
        ValueError
            If it is not the next one, or of an unknown kind.
        """
        if event.slide_id or event.version != self.version + 1:
            raise ValueError(f"event {event.number} is not the next one of the run")
        if event.kind == "study_started":
            name, seed = str(event.after["name"]), int(event.after["seed"])
            return Study(version=event.version, name=name, seed=seed, on=True)
        if event.kind == "study_ended":
            return replace(self, version=event.version, on=False)
        raise ValueError(f"event {event.number}: {event.kind!r} is unknown")


def start_study(
    study: Study, user: User | None, reviews: Mapping[str, SlideReview], *, name: str, seed: int
) -> Draft:
    """Record the begin of a blinded study.

    Parameters
    ----------
    study, reviews
        As they are.
    user
        An administrator; None: the person at the command line.
    name
        Of the study.
    seed
        Any whole number from 0; decides the order in which each reader gets the slides.

    Raises
    ------
    NotAllowed, Refused
        If the role does not permit it, a study is on, or slides were reviewed with scores in view.
    """
    _need_admin(user)
    if study.on:
        raise Refused(f"the blinded study {study.name!r} is on", fix="End it first.")
    if study.name:
        raise Refused(
            f"this run had the blinded study {study.name!r}; its readers have seen the scores",
            fix="Copy the run without its folder review/ for another study.",
        )
    seen = sorted(slide_id for slide_id, review in reviews.items() if review.version)
    if seen:
        raise Refused(
            f"{len(seen)} slides (first {seen[0]}) were reviewed with their scores in view",
            fix="Copy the run without its folder review/, and begin the study there.",
        )
    if seed < 0:
        raise Refused(f"the seed {seed} is negative", fix="Give a whole number from 0.")
    words = clean_text(name, name="name of the study", needed=True)
    return Draft(kind="study_started", after={"name": words, "seed": seed})


def end_study(study: Study, user: User | None, *, why: str) -> Draft:
    """Record the end of a blinded study: from now on scores are shown to everyone.

    Raises
    ------
    NotAllowed, Refused
        If the role does not permit it, or none is on.
    """
    _need_admin(user)
    if not study.on:
        raise Refused("no blinded study is on")
    return Draft(kind="study_ended", before={"name": study.name}, why=clean_text(why, name="why"))


def telling_names(slide_ids: Iterable[str]) -> list[str]:
    """Return the slide ids that tell a score: they begin with the file's name, and are addresses.

    Parameters
    ----------
    slide_ids
        Of the run.

    Examples
    --------
    >>> telling_names(["B24-101_A1_HER2-0123456789", "case7_3+-0123456789"])
    ['case7_3+-0123456789']
    """
    return [name for name in slide_ids if _TELLING.search(name.rpartition("-")[0])]


def _need_admin(user: User | None) -> None:
    if user is not None and user.role != Role.ADMIN:
        raise NotAllowed(f"{user.name} may not begin or end a study", fix="Ask an administrator.")


def reading_order(seed: int, reader: str, slide_ids: Iterable[str]) -> list[str]:
    """Put slides into the order in which a reader gets them.

    By SHA-256 of seed, reader and slide: as good as drawn, the same on every machine, and a slide
    more or less leaves the order of the others as it is.

    Parameters
    ----------
    seed
        Of the study.
    reader
        Name of the user.
    slide_ids
        In any order.

    Examples
    --------
    >>> reading_order(1, "Ada", ["a", "b", "c"]) == reading_order(1, "Ada", ["c", "b", "a"])
    True
    """

    def place(slide_id: str) -> str:
        return hashlib.sha256(f"{seed}\n{reader}\n{slide_id}".encode()).hexdigest()

    return sorted(slide_ids, key=lambda slide_id: (place(slide_id), slide_id))


def render_reads(
    results: Sequence[SlideResult], reviews: Mapping[str, SlideReview], phase: str
) -> bytes:
    """Write the reads of a study as a reader file for ``her2 evaluate``.

    Parameters
    ----------
    results
        Of the run, in the order of its tables.
    reviews
        Of its slides.
    phase
        ``pre``: before the score was shown (``saw_score`` is false), or ``post``: after it.

    Returns
    -------
    bytes
        CSV; no row for slides that nobody read.

    Raises
    ------
    ValueError
        If the phase is another.
    """
    if phase not in ("pre", "post"):
        raise ValueError(f"{phase!r} is neither pre nor post")
    rows = [
        {
            "slide_id": result.slide_id,
            "reader": read.reader,
            "score": read.score,
            "tier": read.tier,
            "site": result.site,
            "patient_id": result.case_id,
            "saw_score": phase == "post",
        }
        for result in results
        for read in (reviews[result.slide_id].reads if result.slide_id in reviews else ())
        if read.phase == phase
    ]
    return render_readings(rows)
