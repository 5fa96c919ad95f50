"""Plan synthetic slides whose score is known, from null to 3+, many of them near a cut-off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from pathology.synthesis import PatternMix, SlideSpec, random_field_spec
from pathology.synthesis.benchmark import BENCHMARK_FIRST_SEED
from pathology.synthesis.scored import true_score

__all__ = ["TIERS", "PlannedSlide", "plan_slides", "true_score"]

#: Targets, in turn.
TIERS: tuple[str, ...] = ("null", "ultralow", "1+", "2+", "3+")
#: Seeds of slides lie beyond those of the benchmark's fields.
FIRST_SEED = BENCHMARK_FIRST_SEED + 1_000_000
#: Every third round of tiers lies near a cut-off.
_NEAR_EVERY = 3
_ARCHITECTURES = ("solid", "sheet", "gland", "papillary", "cord")
#: Deciding share of a slide near its cut-off of 10 %: with what the drawn cells then really show,
#: 3 to 10 points above.
_NEAR_PCT = (13.8, 19.2)


@dataclass(frozen=True, kw_only=True)
class MixedSlide(SlideSpec):
    """Describe a slide by the pattern mix of its tumour.

    Parameters
    ----------
    tumour_mix
        Shares of the five patterns; takes the place of the mix that ``score`` stands for.
    """

    tumour_mix: PatternMix = field(default_factory=PatternMix)

    @property
    def mix(self) -> PatternMix:
        """Pattern mix of the invasive tumour."""
        return self.tumour_mix


@dataclass(frozen=True, kw_only=True)
class PlannedSlide:
    """Describe one slide of the plan.

    Parameters
    ----------
    index
        Its place in the plan.
    tier
        Its target, one of :data:`TIERS`; what it really shows is decided by its true cells.
    near
        Whether its deciding share was put near the cut-off.
    spec
        What to render.
    seed
        Seed of the rendering.
    """

    index: int
    tier: str
    near: bool
    spec: MixedSlide
    seed: int


def plan_slides(count: int, *, piece_mm: float = 1.1) -> Iterator[PlannedSlide]:
    """Plan slides over all tiers in turn; every third round lies near a cut-off.

    Growth, cells, stains and optics are drawn as for training, with other seeds; but the camera's
    tone curve is straight and the laboratory's gain 1: what a curve or a gain does to optical
    density is not a matter of finding cells, and calibration deals with it. Folds, bubbles and ink
    are drawn per field, and would be too dense on a slide. Colour is stored in full, as in a scan
    at 0.25 µm/px that is read at half its resolution.

    Parameters
    ----------
    count
        Number of slides.
    piece_mm
        Diameter of the tissue.

    Examples
    --------
    >>> [slide.tier for slide in plan_slides(6)]
    ['null', 'ultralow', '1+', '2+', '3+', 'null']
    """
    for index in range(count):
        seed = FIRST_SEED + index
        rng = np.random.default_rng([seed, 0x51DE])
        tier = TIERS[index % len(TIERS)]
        near = (index // len(TIERS)) % _NEAR_EVERY == 0
        drawn = random_field_spec(rng)
        look = replace(
            drawn.appearance, dab_gain=1.0, gamma=1.0, contrast=1.0, brightness=0.0,
            blur_um=min(drawn.appearance.blur_um, 0.7), folds=0, bubbles=0, pen_strokes=0,
            jpeg_subsampling=0,
        )  # fmt: skip
        first, second = rng.choice(_ARCHITECTURES, size=2).tolist()
        spec = MixedSlide(
            score={"null": "0", "ultralow": "0_ultralow"}.get(tier, tier),
            tumour_mix=_mix(tier, rng, near=near), piece_mm=piece_mm,
            architecture=first, second_architecture=second,
            tumour_share=float(rng.uniform(0.5, 0.75)), looseness=drawn.composition.looseness,
            morphology=drawn.morphology, appearance=look,
        )  # fmt: skip
        yield PlannedSlide(index=index, tier=tier, near=near, spec=spec, seed=seed)


def _mix(tier: str, rng: np.random.Generator, *, near: bool) -> PatternMix:
    def pct(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    if tier == "null":
        return PatternMix()
    if tier == "ultralow":
        return _shares(faint=pct(2.0, 6.2) if near else pct(0.8, 3.0))
    if tier == "1+":
        return _shares(faint=pct(*_NEAR_PCT) if near else pct(25, 70), complete=pct(0, 1.5))
    if tier == "2+":
        complete = pct(*_NEAR_PCT) if near else pct(28, 60)
        return _shares(faint=pct(5, 25), partial=pct(0, 8), complete=complete)
    intense = pct(*_NEAR_PCT) if near else pct(35, 80)
    rest = 95.0 - intense
    return _shares(
        faint=0.2 * rest, partial=0.15 * rest, complete=pct(0.2, 0.5) * rest, intense=intense
    )


def _shares(
    *, faint: float = 0.0, partial: float = 0.0, complete: float = 0.0, intense: float = 0.0
) -> PatternMix:
    """Make a mix from per cent; what lacks to 100 is unstained."""
    parts = [value / 100 for value in (faint, partial, complete, intense)]
    return PatternMix(
        unstained=1.0 - sum(parts), incomplete_faint=parts[0],
        incomplete_moderate_intense=parts[1], complete_weak_moderate=parts[2],
        complete_intense=parts[3],
    )  # fmt: skip
