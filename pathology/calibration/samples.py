"""What the fit looks at: the cells of one slide and what the slide should have been."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pathology.cells import N_RAYS
from pathology.types import FloatArray, U8Array

__all__ = ["INTENSITY_RANKS", "LeftOut", "SlideKind", "SlideSample"]

SlideKind = Literal["test", "control"]

#: What a control can be expected to show, and the score whose rank it stands for.
INTENSITY_RANKS: dict[str, int] = {"negative": 0, "faint": 1, "moderate": 2, "intense": 3}


@dataclass(frozen=True, kw_only=True)
class SlideSample:
    """Hold evaluable tumour cells of one slide, as stored, with the slide's label.

    Parameters
    ----------
    slide_id, path
        The slide's name in its run, and its file for messages.
    case_id
        Slides of one case are left out together; the slide's id where the case is not known.
    kind
        ``test``: labelled by a score. ``control``: by the intensity that most cells should have.
    rank
        0 to 3: the score, or the intensity (negative, faint, moderate, intense).
    ray_od
        (n, 32) uint8, 0.01 OD, as measured.
    cytoplasm_od
        (n,) float32, OD.
    n_cells
        Evaluable tumour cells of the slide, of which ``ray_od`` may hold a part.
    quickhash, size_bytes
        The slide's identity.

    Raises
    ------
    ValueError
        If shapes, types or ranges do not fit.

    Examples
    --------
    >>> sample = SlideSample(slide_id="a", path="a.svs", case_id="a", kind="test", rank=3,
    ...                      ray_od=np.zeros((2, 32), dtype=np.uint8),
    ...                      cytoplasm_od=np.zeros(2, dtype=np.float32), n_cells=2,
    ...                      quickhash="q", size_bytes=1)
    >>> sample.n
    2
    """

    slide_id: str
    path: str
    case_id: str
    kind: SlideKind
    rank: int
    ray_od: U8Array
    cytoplasm_od: FloatArray
    n_cells: int
    quickhash: str
    size_bytes: int

    def __post_init__(self) -> None:
        n = len(self.ray_od)
        if self.ray_od.shape != (n, N_RAYS) or self.ray_od.dtype != np.uint8 or n == 0:
            raise ValueError("ray_od must be uint8 of shape (n, 32) with n above 0")
        if self.cytoplasm_od.shape != (n,) or not np.isfinite(self.cytoplasm_od).all():
            raise ValueError("cytoplasm_od must hold one finite value per cell")
        if self.rank not in range(4) or self.kind not in ("test", "control"):
            raise ValueError(f"there is no label of rank {self.rank} of a {self.kind} slide")
        if self.n_cells < n:
            raise ValueError("n_cells cannot be below the number of cells given")

    @property
    def n(self) -> int:
        """Cells that the fit looks at."""
        return len(self.ray_od)

    @property
    def is_negative(self) -> bool:
        """Whether its membranes should be blank: score 0, or a negative control."""
        return self.rank == 0


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Name a slide of the run that the fit does not use, and why.

    Parameters
    ----------
    slide_id, path
        The slide.
    reason
        A short code such as ``not_scored``.
    text
        The same in words.
    """

    slide_id: str
    path: str
    reason: str
    text: str
