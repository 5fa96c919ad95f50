"""What a slide may come out as: a set of scores, or being refused for a reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pathology.errors import FAILED_REASONS, ReasonCode
from pathology.scoring.decision import SCORES

__all__ = ["ExpectedOutcome"]

_REFUSED = ("not_scorable", "failed")


@dataclass(frozen=True, kw_only=True)
class ExpectedOutcome:
    """Hold the outcomes of a slide that are right.

    Parameters
    ----------
    scores
        Allowed scores, lowest first; empty for a slide that must not be scored.
    status
        ``not_scorable`` or ``failed`` for such a slide; None for one with scores.
    reasons
        Allowed reasons of a refusal; empty allows every reason.

    Raises
    ------
    ValueError
        If it allows nothing, or both scores and a refusal.

    Examples
    --------
    >>> expected = ExpectedOutcome.parse("0;1+")
    >>> expected.allows("scored", "1+", ()), expected.allows("scored", "2+", ())
    (True, False)
    >>> expected.side(1) is None, expected.side(2)
    (True, False)
    """

    scores: tuple[str, ...] = ()
    status: str | None = None
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.scores) == (self.status is not None):
            raise ValueError("a slide has either allowed scores or a refusal")
        if set(self.scores) - set(SCORES):
            raise ValueError(f"not all of {', '.join(self.scores)} are scores")
        if self.status not in (None, *_REFUSED) or (self.reasons and self.status is None):
            raise ValueError(f"{self.status} {self.reasons} is no refusal")

    @classmethod
    def parse(cls, text: str) -> ExpectedOutcome:
        """Read ``1+``, ``0;1+``, ``not_scorable``, ``not_scorable:no_tissue;not_scorable:...``.

        Raises
        ------
        ValueError
            If it is anything else; says what is wrong in words for a table's row.
        """
        parts = [part.strip() for part in text.split(";")]
        if len(set(parts)) < len(parts):
            raise ValueError(f"{text!r} names something twice")
        if all(part in SCORES for part in parts):
            return cls(scores=tuple(sorted(parts, key=SCORES.index)))
        kinds, reasons = set(), []
        for part in parts:
            kind, colon, reason = (piece.strip() for piece in part.partition(":"))
            if part in SCORES or kind not in _REFUSED:
                wrong = text if part in SCORES else part
                raise ValueError(f"{wrong!r} is not allowed")
            _check_reason(kind, reason if colon else None)
            kinds.add(kind)
            reasons.append(reason)
        if len(kinds) > 1:
            raise ValueError(f"{text!r} mixes {' and '.join(sorted(kinds))}")
        return cls(status=kinds.pop(), reasons=() if "" in reasons else tuple(reasons))

    @property
    def scorable(self) -> bool:
        """Whether the slide must be given a score."""
        return self.status is None

    @property
    def text(self) -> str:
        """The form that :meth:`parse` reads."""
        if self.scorable:
            return ";".join(self.scores)
        return ";".join(f"{self.status}:{name}" for name in self.reasons) or str(self.status)

    def allows(self, status: str, score: str | None, reasons: Iterable[str]) -> bool:
        """Tell whether an outcome is right; of a refusal every reason has to be.

        Parameters
        ----------
        status, score, reasons
            As in ``results.csv``.
        """
        if self.scorable:
            return status == "scored" and score in self.scores
        given = {str(code) for code in reasons}
        return status == self.status and (not self.reasons or given <= set(self.reasons))

    def side(self, rank: int) -> bool | None:
        """Tell whether the slide is at or above a score; None where it may be either, or neither.

        Parameters
        ----------
        rank
            1 for 1+, 2 for 2+, 3 for 3+.
        """
        sides = {SCORES.index(score) >= rank for score in self.scores}
        return sides.pop() if len(sides) == 1 else None


def _check_reason(kind: str, reason: str | None) -> None:
    if reason is None:
        return
    known = sorted(code for code in ReasonCode if (code in FAILED_REASONS) == (kind == "failed"))
    if reason not in known:
        raise ValueError(f"{kind}:{reason} is not allowed; reasons: {', '.join(known)}")
