from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from pathology.scoring import Evidence


def parts(evidence: Evidence) -> dict[str, object]:
    return {field.name: getattr(evidence, field.name) for field in fields(evidence)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_um": np.zeros(3)}, "'x_um' must be float32"),
        ({"y_um": np.zeros(2, dtype=np.float32)}, "shape"),
        ({"intensity": np.zeros(3, dtype=np.int64)}, "'intensity' must be uint8"),
        ({"complete": np.zeros(3, dtype=np.uint8)}, "'complete' must be bool"),
        ({"membrane_od": np.full(3, np.nan, dtype=np.float32)}, "finite"),
        ({"x_um": np.full(3, np.inf, dtype=np.float32)}, "finite"),
        ({"membrane_od": np.full(3, -0.1, dtype=np.float32)}, "negative"),
        ({"tissue_mm2": float("nan")}, "areas"),
        ({"failed_tissue_mm2": -1.0}, "areas"),
        ({"n_in_situ_excluded": -1}, "n_in_situ_excluded"),
    ],
)
def test_evidence_that_does_not_fit(change, message, make_evidence) -> None:
    good = parts(make_evidence(un=3))
    with pytest.raises(ValueError, match=message):
        Evidence(**{**good, **change})


def test_read_area_is_never_negative(make_evidence) -> None:
    good = parts(make_evidence(un=3))
    evidence = Evidence(**{**good, "tissue_mm2": 1.0, "failed_tissue_mm2": 1.0000001})
    assert evidence.read_mm2 == 0.0
