"""The training distribution: fields as varied as laboratories, tumours and scanners are."""

from __future__ import annotations

import numpy as np

from pathology.synthesis.spec import (
    Appearance,
    Composition,
    FieldSpec,
    Morphology,
    PatternMix,
    Staining,
)

__all__ = ["random_field_spec"]

#: ``micropapillary`` is left out: the benchmark asks for a growth pattern never trained on.
_ARCHITECTURES = ("solid", "sheet", "gland", "papillary", "cord", "single", "none")
_ARCHITECTURE_WEIGHTS = (0.2, 0.07, 0.28, 0.1, 0.1, 0.07, 0.18)
_DAB = np.array([0.26917, 0.56824, 0.77759])
#: DAB as some scanners and thin sections show it: more yellow.
_YELLOW_DAB = np.array([0.17, 0.44, 0.88])
_H = np.array([0.65111, 0.70119, 0.29049])


def random_field_spec(
    rng: np.random.Generator, *, size_px: int = 384, mpp: float = 0.5
) -> FieldSpec:
    """Draw a field from the training distribution.

    Parameters
    ----------
    rng
        Source of randomness.
    size_px
        Side in pixels.
    mpp
        Pixel size, µm.

    Examples
    --------
    >>> random_field_spec(np.random.default_rng(0), size_px=128).width_px
    128
    """
    area_mm2 = (size_px * mpp) ** 2 * 1e-6
    return FieldSpec(
        width_px=size_px, height_px=size_px, mpp=mpp,
        composition=_composition(rng, area_mm2), morphology=_morphology(rng),
        staining=_staining(rng), appearance=_appearance(rng),
    )  # fmt: skip


def _chance(rng: np.random.Generator, probability: float, low: float, high: float) -> float:
    """Return a number between low and high with a probability, else 0."""
    value = float(rng.uniform(low, high))
    return value if rng.random() < probability else 0.0


def _composition(rng: np.random.Generator, area_mm2: float) -> Composition:
    first = str(rng.choice(_ARCHITECTURES, p=_ARCHITECTURE_WEIGHTS))
    second = "none"
    if rng.random() < 0.2:
        second = str(rng.choice(_ARCHITECTURES, p=_ARCHITECTURE_WEIGHTS))
    bare = first == "none"
    single = first == "single" or second == "single" or rng.random() < 0.05
    return Composition(
        architecture=first,
        second_architecture=second,
        tumour_share=float(rng.uniform(0.25, 0.85)),
        in_situ=int(rng.poisson(0.25)),
        normal_ducts=int(rng.poisson(1.2 if bare else 0.3)),
        vessels=int(rng.poisson(60 * area_mm2)),
        fat_cells=int(rng.poisson(4)) if rng.random() < 0.1 else 0,
        lymphoid_share=_chance(rng, 0.18, 0.05, 0.5),
        muscle_share=_chance(rng, 0.5 if bare else 0.12, 0.2, 1.0),
        necrosis_share=_chance(rng, 0.06, 0.1, 0.4),
        glass_share=_chance(rng, 0.15, 0.05, 0.6),
        looseness=float(rng.beta(1.2, 1.2)),
        stroma_cells_per_mm2=float(rng.uniform(600, 3500)),
        immune_cells_per_mm2=float(rng.choice([100, 400, 1200, 3500], p=[0.3, 0.4, 0.2, 0.1])),
        immune_in_epithelium_per_mm2=_chance(rng, 0.6, 10, 350),
        single_cells_per_mm2=float(rng.uniform(300, 3000)) if single else 0.0,
        plump_stroma=float(rng.uniform(0.0, 0.35)),
        fascicle_gap=_chance(rng, 0.6, 0.05, 0.5),
        red_cell_share=_chance(rng, 0.15, 0.01, 0.12),
        mucin_share=_chance(rng, 0.08, 0.1, 0.6),
    )


def _morphology(rng: np.random.Generator) -> Morphology:
    # From the small cells of lobular tumours to large pleomorphic ones.
    nucleus = float(rng.uniform(6.2, 10.8))
    return Morphology(
        # Cells are 12 to 15 µm across; crowded small-cell and large pleomorphic tumours lie around.
        cell_um=float(np.clip(nucleus * rng.uniform(1.25, 1.75), 9.5, 18)),
        columnar_width_um=float(np.clip(nucleus * rng.uniform(0.55, 0.95), 4.6, 8.5)),
        columnar_height_um=float(rng.uniform(14, 42)),
        nucleus_um=nucleus,
        pleomorphism=float(rng.uniform(0.06, 0.26)),
        vesicular=float(rng.beta(1.5, 1)),
        missing_nuclei=float(rng.uniform(0.0, 0.14)),
        vacuolated=_chance(rng, 0.3, 0.01, 0.2),
        signet=_chance(rng, 0.3, 0.1, 0.8),
        scale_um=float(rng.uniform(16, 50)),
        debris=float(rng.uniform(0, 1)),
        chromatin=float(rng.uniform(0, 1)),
        rim=float(rng.uniform(0.2, 1.6)),
        smudged=_chance(rng, 0.3, 0.01, 0.12),
        retraction_um=_chance(rng, 0.15, 2, 10),
    )


def random_mix(rng: np.random.Generator) -> PatternMix:
    """Draw the pattern mix of an epithelium: a third is bare, the rest spans all scores.

    Parameters
    ----------
    rng
        Source of randomness.
    """
    kind = rng.choice(6, p=[0.36, 0.12, 0.16, 0.14, 0.14, 0.08])
    alpha = (
        None,  # nothing at all
        (20.0, 1.0, 0.05, 0.05, 0.02),  # ultralow
        (4.0, 3.0, 0.3, 0.2, 0.05),  # 1+
        (2.0, 1.5, 1.0, 3.0, 0.3),  # 2+
        (0.6, 0.5, 0.8, 1.0, 6.0),  # 3+
        (2.0, 1.0, 3.0, 0.6, 0.4),  # incomplete, strong (basolateral)
    )[int(kind)]
    if alpha is None:
        return PatternMix()
    shares = rng.dirichlet(alpha)
    shares = shares / shares.sum()
    a, b, c, d, e = shares.tolist()
    return PatternMix(
        unstained=a, incomplete_faint=b, incomplete_moderate_intense=c,
        complete_weak_moderate=d, complete_intense=1.0 - a - b - c - d if e > 1e-6 else 0.0,
    )  # fmt: skip


def _staining(rng: np.random.Generator) -> Staining:
    return Staining(
        tumour=random_mix(rng),
        in_situ=random_mix(rng),
        normal=random_mix(rng) if rng.random() < 0.35 else PatternMix(),
        patch_um=float(np.exp(rng.uniform(np.log(20), np.log(250)))),
        scatter=float(rng.uniform(0.15, 0.9)),
        basolateral=float(rng.choice([0.0, rng.uniform(0.2, 1.0)])),
        width_scale=float(rng.uniform(0.55, 1.15)),
        blush_od=_chance(rng, 0.6, 0.01, 0.12),
        background_od=_chance(rng, 0.35, 0.005, 0.06),
        stray=_chance(rng, 0.35, 0.02, 0.3),
        granularity=float(rng.uniform(0.05, 0.4)),
        tangential=_chance(rng, 0.3, 0.05, 0.35),
        edge_od=_chance(rng, 0.2, 0.05, 0.4),
        precipitate=_chance(rng, 0.1, 0.1, 0.9),
        brown_nuclei=_chance(rng, 0.08, 0.1, 0.9),
    )


def _appearance(rng: np.random.Generator) -> Appearance:
    level = rng.uniform(226, 250)
    tint = np.array([-rng.uniform(0, 4), -rng.uniform(0, 4), rng.uniform(-3, 5)])
    white = np.clip(level + tint, 220, 253)
    tone = rng.choice(3, p=[0.82, 0.1, 0.08])
    gamma, contrast, brightness = (
        (1.0, 1.0, 0.0),
        # A scanner's own tone curve.
        (rng.uniform(0.8, 1.25), rng.uniform(0.9, 1.12), rng.uniform(-8, 6)),
        # A camera whose contrast was turned up until white, and sometimes black, is clipped.
        (rng.uniform(0.8, 1.2), rng.uniform(1.15, 1.7), rng.uniform(-25, 15)),
    )[int(tone)]
    # Counterstains of light hands and thin sections: nuclei of half the usual density, or a third.
    pale = float(np.exp(rng.uniform(np.log(0.3), 0.0))) if rng.random() < 0.65 else 1.0
    return Appearance(
        white=(float(white[0]), float(white[1]), float(white[2])),
        haematoxylin=_vector(rng, _H, 0.04),
        dab=_vector(rng, _DAB + rng.uniform(-0.15, 0.9) * (_YELLOW_DAB - _DAB), 0.02),
        h_strength=float(np.exp(rng.uniform(np.log(0.38), np.log(1.6)))),
        h_contrast=max(0.15, pale * float(rng.uniform(0.6, 1.3))),
        dab_gain=float(rng.uniform(0.75, 1.25)),
        cytoplasm_od=pale**0.7 * float(rng.uniform(0.02, 0.16)),
        stroma_od=pale**0.7 * float(rng.uniform(0.02, 0.15)),
        tint=float(rng.uniform(0.05, 0.85)),
        blur_um=float(rng.uniform(0.25, 0.7) if rng.random() < 0.88 else rng.uniform(0.7, 1.1)),
        sharpen=_chance(rng, 0.7, 0.2, 2.2),
        noise=float(rng.uniform(0.5, 3.5)),
        jpeg_quality=int(rng.integers(60, 96)),
        # Scans at 0.25 µm/px are read at half their resolution: the colour is then whole again.
        jpeg_subsampling=0 if rng.random() < 0.75 else 2,
        gamma=float(gamma),
        contrast=float(contrast),
        brightness=float(brightness),
        dirt=_chance(rng, 0.15, 5, 80),
        red_cell_od=float(rng.uniform(0.08, 0.6)),
        folds=int(rng.random() < 0.04),
        bubbles=int(rng.random() < 0.04),
        pen_strokes=int(rng.random() < 0.02),
    )


def _vector(
    rng: np.random.Generator, centre: np.ndarray, spread: float
) -> tuple[float, float, float]:
    vector = np.clip(centre + rng.normal(0, spread, 3), 0.03, None)
    red, green, blue = (vector / np.linalg.norm(vector)).tolist()
    return red, green, blue
