"""How readings are coded in arrays: scores by rank, and two kinds of nothing."""

from __future__ import annotations

from typing import Final

from pathology.scoring.decision import SCORES

__all__ = ["NOT_READ", "NO_SCORE", "N_SCORES", "SCORES"]

#: IHC 0, 1+, 2+, 3+ are 0 to 3.
N_SCORES: Final = len(SCORES)
#: Looked at, and not given a score: not scorable, failed, or unresolved.
NO_SCORE: Final = -1
#: Not looked at. Says nothing for or against anybody.
NOT_READ: Final = -2
