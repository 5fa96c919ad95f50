"""Specifications refuse what cannot be."""

from __future__ import annotations

import dataclasses

import pytest

from pathology.synthesis import (
    Appearance,
    Composition,
    FieldSpec,
    Morphology,
    PatternMix,
    Staining,
)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (PatternMix, {"unstained": 0.5}),
        (PatternMix, {"unstained": 1.5, "complete_intense": -0.5}),
        (Composition, {"architecture": "brick"}),
        (Composition, {"tumour_share": 1.2}),
        (Composition, {"in_situ": -1}),
        (Morphology, {"cell_um": 200.0}),
        (Morphology, {"nucleus_um": float("nan")}),
        (Staining, {"patch_um": 0.0}),
        (Staining, {"blush_od": 3.0}),
        (Appearance, {"white": (90.0, 240.0, 240.0)}),
        (Appearance, {"dab": (0.0, 0.0, 0.0)}),
        (Appearance, {"jpeg_quality": 101}),
        (FieldSpec, {"width_px": 0}),
        (FieldSpec, {"mpp": 0.01}),
    ],
)
def test_out_of_range_is_refused(kind: type, values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|has three values"):
        kind(**values)


def test_specs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FieldSpec().mpp = 1.0  # type: ignore[misc]
