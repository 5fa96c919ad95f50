from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from pathology.config import ScoringConfig, load_config
from pathology.scoring import Evidence, Guideline, load_guideline

#: Intensity code and completeness by the names that tests use.
KINDS: Mapping[str, tuple[int, bool]] = {
    "un": (0, False),
    "if": (1, False),
    "im": (3, False),
    "cw": (2, True),
    "ci": (4, True),
}


@pytest.fixture(scope="session")
def params() -> ScoringConfig:
    return load_config().scoring


@pytest.fixture(scope="session")
def guideline() -> Guideline:
    return load_guideline("asco-cap-breast-2018")


@pytest.fixture(scope="session")
def make_evidence() -> Callable[..., Evidence]:
    """Scatter cells of given kinds over a square, far enough apart that they make no cluster."""

    def make(
        *,
        spacing_um: float = 40.0,
        failed_tissue_mm2: float = 0.0,
        tissue_mm2: float | None = None,
        seed: int = 0,
        **kinds: int,
    ) -> Evidence:
        generator = np.random.default_rng(seed)
        codes = [KINDS[name] for name, n in kinds.items() for _ in range(n)]
        n = len(codes)
        side = int(np.ceil(np.sqrt(max(n, 1))))
        place = generator.permutation(n)
        intensity = np.array([code for code, _ in codes], dtype=np.uint8)
        area = tissue_mm2 if tissue_mm2 is not None else (side * spacing_um / 1000) ** 2
        return Evidence(
            x_um=(place % side * spacing_um).astype(np.float32),
            y_um=(place // side * spacing_um).astype(np.float32),
            intensity=intensity,
            complete=np.array([complete for _, complete in codes], dtype=np.bool_),
            membrane_od=(intensity * np.float32(0.1)).astype(np.float32),
            tissue_mm2=area + failed_tissue_mm2,
            failed_tissue_mm2=failed_tissue_mm2,
        )

    return make
