"""Folds, bubbles and ink lie where the field says, and hide what lies under them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pathology.stain import optical_density, unmix
from pathology.synthesis import (
    Appearance,
    Composition,
    Field,
    FieldSpec,
    Morphology,
    PatternMix,
    Staining,
    render_field,
)

CLEAN = FieldSpec(
    width_px=320,
    height_px=320,
    composition=Composition(architecture="solid", vessels=0),
    appearance=Appearance(noise=0.0, jpeg_quality=0),
)
SEED = 4


def look(**changes: object) -> FieldSpec:
    return replace(CLEAN, appearance=replace(CLEAN.appearance, **changes))


def density(field: Field) -> np.ndarray:
    return np.asarray(optical_density(field.rgb, field.white).sum(axis=2))


@pytest.fixture(scope="module")
def clean() -> Field:
    return render_field(CLEAN, SEED)


def test_ink_hides_exactly_the_cells_under_it(clean: Field) -> None:
    inked = render_field(look(pen_strokes=1), SEED)
    assert inked.cells.n == clean.cells.n
    changed = np.abs(density(inked) - density(clean)) > 0.3
    assert 0.03 < changed.mean() < 0.9
    rows, columns = inked.cells.y_px.astype(int), inked.cells.x_px.astype(int)
    under = changed[rows, columns]
    seen_before = clean.cells.visible
    assert not inked.cells.visible[under].any()
    # At the stroke's soft edge a pixel is changed less; nearly all others stay visible.
    assert inked.cells.visible[~under & seen_before].mean() > 0.9


def test_a_fold_is_twice_as_dense_and_not_judged(clean: Field) -> None:
    folded = render_field(look(folds=1), SEED)
    before, after = density(clean), density(folded)
    band = after > before + 0.05
    assert 0.01 < band.mean() < 0.6
    tissue = band & (before > 0.15)
    assert 1.5 < np.median(after[tissue] / before[tissue]) < 2.1
    # Twice the tissue is no place to judge a membrane; everywhere else nothing changes.
    rows, columns = folded.cells.y_px.astype(int), folded.cells.x_px.astype(int)
    inside = (after > 1.6 * before)[rows, columns] & (before > 0.15)[rows, columns]
    assert inside.any()
    assert not folded.cells.visible[inside].any()
    outside = ~band[rows, columns]
    assert (folded.cells.visible == clean.cells.visible)[outside].all()


def test_a_bubble_has_a_dark_rim(clean: Field) -> None:
    bubbled = render_field(look(bubbles=2), SEED)
    assert (density(bubbled) - density(clean)).max() > 0.8
    assert (density(bubbled) >= density(clean) - 0.05).mean() > 0.99


def dab_at_nuclei(spec: FieldSpec) -> np.ndarray:
    field = render_field(spec, SEED)
    dab = unmix(optical_density(field.rgb, field.white), (0.65, 0.7, 0.29), (0.27, 0.57, 0.78))
    cells = field.cells.take((field.cells.cell_class == 0) & field.cells.visible)
    return np.asarray(dab[cells.y_px.astype(int), cells.x_px.astype(int), 1])


def test_brown_nuclei_are_brown_and_no_membrane() -> None:
    spec = replace(CLEAN, staining=Staining(tumour=PatternMix(), brown_nuclei=1.0, blush_od=0.0))
    assert np.median(dab_at_nuclei(spec)) > 0.15
    assert np.median(dab_at_nuclei(CLEAN)) < 0.1
    assert not render_field(spec, SEED).cells.pattern.any()


def test_plump_nuclei_of_the_stroma_are_wider() -> None:
    def width(share: float) -> float:
        spec = replace(CLEAN, composition=Composition(architecture="none", plump_stroma=share))
        cells = render_field(spec, SEED).cells
        return float(np.median(cells.take(cells.cell_class == 4).outline_r_um.min(axis=1)))

    assert width(1.0) > 1.25 * width(0.0)


def test_nests_that_shrank_stand_in_empty_space() -> None:
    def grey_around(retraction_um: float) -> float:
        spec = replace(
            CLEAN,
            composition=Composition(architecture="solid", tumour_share=0.4, looseness=0.0),
            morphology=Morphology(retraction_um=retraction_um),
        )
        field = render_field(spec, SEED)
        return float((density(field) < 0.03).mean())

    assert grey_around(10.0) > grey_around(0.0) + 0.05


def test_mucin_and_leaked_blood_change_the_stroma_only(clean: Field) -> None:
    stroma = clean.region == 4
    grown = np.repeat(np.repeat(stroma, 4, axis=0), 4, axis=1)

    def change(**parts: float) -> tuple[float, float]:
        other = render_field(replace(CLEAN, composition=replace(CLEAN.composition, **parts)), SEED)
        apart = np.abs(density(other) - density(clean))
        return float(apart[grown].mean()), float(apart[~grown].mean())

    inside, outside = change(red_cell_share=0.5)
    assert inside > 4 * outside
    assert inside > 0.02
