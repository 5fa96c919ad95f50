"""What a reviewer decided about a slide, as reports and exports print it.

This is the one door between the review record and the exports: whoever keeps the record makes a
:class:`Decision` of it, and every kind of export reads only that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pathology.report.palette import TIER_LABELS
from pathology.runs.row import Her2Tier, IhcScore

__all__ = ["Decision", "DecisionState"]

#: ``open``: looked at, not signed; ``signed``; ``superseded``: signed, and scored again since.
DecisionState = Literal["open", "signed", "superseded"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Hold a reviewer's decision about one slide.

    Parameters
    ----------
    reviewer
        Who decided, as the reviewer is to be named in print.
    run_score
        The program's score as the run gave it, in words, where the exported result is the one
        counted anew in the reviewer's regions; empty where it is the run's own.
    organization
        Where; empty where it is not recorded. A signed DICOM report needs it.
    state
        ``open``, ``signed`` or ``superseded``.
    agrees
        Whether the reviewer agrees with the program's score.
    ihc_score, her2_tier
        The reviewer's score and tier; None where the reviewer gave none.
    not_scorable
        Whether the reviewer says that the slide cannot be scored; there is no score then.
    reason
        Why the reviewer differs, in words; needed where ``agrees`` is False.
    comment
        Free text.
    at
        When, ISO 8601 with the offset of the time zone.
    checklist
        Question and answer of each point that signing needs.

    Raises
    ------
    ValueError
        If somebody disagrees without a reason, signs without a name or a time, or gives a score to
        a slide that cannot be scored.

    Examples
    --------
    >>> Decision(reviewer="A. Reader", state="signed", agrees=True, ihc_score="2+",
    ...          at="2026-01-05T09:30:00+00:00").signed
    True
    """

    reviewer: str
    state: DecisionState
    agrees: bool
    ihc_score: IhcScore | None = None
    her2_tier: Her2Tier | None = None
    not_scorable: bool = False
    run_score: str = ""
    organization: str = ""
    reason: str = ""
    comment: str = ""
    at: str = ""
    checklist: tuple[tuple[str, bool], ...] = ()

    def __post_init__(self) -> None:
        if not self.agrees and not self.reason:
            raise ValueError("a decision against the program's score needs its reason")
        if self.state != "open" and not (self.reviewer and self.at):
            raise ValueError("a signed decision needs the name of the reviewer and the time")
        if self.not_scorable and self.ihc_score is not None:
            raise ValueError("a slide that cannot be scored has no score")

    @property
    def signed(self) -> bool:
        """Whether the decision is signed and still holds."""
        return self.state == "signed"

    @property
    def said(self) -> str:
        """The reviewer's score in words; never a low score where there is none.

        Examples
        --------
        >>> Decision(reviewer="A", state="open", agrees=True, not_scorable=True).said
        'not scorable'
        """
        if self.not_scorable:
            return "not scorable"
        return self.ihc_score or "no score"

    @property
    def tier(self) -> str:
        """The reviewer's tier for readers, or an empty text."""
        return "" if self.her2_tier is None else TIER_LABELS[self.her2_tier]

    @property
    def state_words(self) -> str:
        """What the state means, in words."""
        return {
            "open": "looked at, not signed",
            "signed": "signed",
            "superseded": "superseded: the slide was scored again after the signature",
        }[self.state]

    @property
    def signature(self) -> str:
        """The signature in one line, or that there is none.

        Examples
        --------
        >>> Decision(reviewer="A. Reader", state="open", agrees=True).signature
        'Not signed.'
        """
        if self.state == "open":
            return "Not signed."
        where = f", {self.organization}" if self.organization else ""
        when = f"Signed electronically by {self.reviewer}{where}, {_time(self.at)}"
        if self.state == "superseded":
            return f"{when}: not valid any more, the slide was scored again since."
        return f"{when}. The record of the review holds the signature."

    @property
    def headline(self) -> str:
        """Who says what, in one line; stands above the program's score in reports.

        Examples
        --------
        >>> Decision(reviewer="A. Reader", state="signed", agrees=False, ihc_score="1+",
        ...          reason="artefact", at="2026-01-05T09:30:00+00:00").headline
        'Signed by A. Reader on 2026-01-05 09:30 UTC: 1+'
        """
        said = f"{self.said} ({self.tier})" if self.tier else self.said
        who = self.reviewer or "a reviewer"
        if self.state == "signed":
            return f"Signed by {who} on {_time(self.at)}: {said}"
        if self.state == "superseded":
            return f"Not signed any more: scored again after {who} had signed {said}"
        return f"Looked at by {who}, not signed: {said}"

    def rows(self) -> list[tuple[str, str]]:
        """Return name and value of everything that was recorded, for a table."""
        rows = [
            ("Reviewer", ", ".join(part for part in (self.reviewer, self.organization) if part)),
            ("State", self.state_words),
            ("Program's score", "agreed" if self.agrees else "overridden"),
            ("Program's score in the run's own regions", self.run_score),
            (
                "Counted in",
                "the reviewer's regions; pictures and distribution show the run's own"
                if self.run_score
                else "",
            ),
            ("Reviewer's score", f"{self.said} ({self.tier})" if self.tier else self.said),
            ("Reason", self.reason),
            ("Comment", self.comment),
            ("Time", _time(self.at)),
            *((question, "yes" if answer else "no") for question, answer in self.checklist),
        ]
        return [(name, value) for name, value in rows if value]


def _time(text: str) -> str:
    """Write a time as people read it, to the minute; what is no time stays as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    zone = moment.strftime("%Z").replace("UTC+00:00", "UTC")
    return f"{moment:%Y-%m-%d %H:%M} {zone}".strip()
