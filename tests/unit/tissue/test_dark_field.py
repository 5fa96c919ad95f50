from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pathology.config import load_config
from pathology.errors import ReasonCode
from pathology.tissue import find_tissue
from pathology.tissue.dark_field import dark_field_share


@pytest.mark.parametrize("background", [0, 12, 60])
@pytest.mark.parametrize("colour", [(0, 0, 220), (20, 230, 40), (255, 120, 20)])
def test_light_on_a_dark_background_is_refused(
    background: int, colour: tuple[int, int, int], stub: Any
) -> None:
    rng = np.random.default_rng(1)
    image = np.full((500, 500, 3), background, dtype=np.uint8)
    for y, x in rng.integers(10, 480, (300, 2)):
        image[y : y + 4, x : x + 4] = colour
    finding = find_tissue(stub(image, mpp=2.0), load_config())
    assert finding.reasons == (ReasonCode.NOT_IHC,)
    assert "dark" in finding.explanations[0]
    # Nothing of it is ever read as stain.
    assert finding.tissue_mm2 == 0
    assert not finding.tissue.mask.any()


@pytest.mark.parametrize("frame", [0.0, 0.5, 0.8])
def test_bright_fields_are_not_dark_whatever_their_frame(frame: float, scene: Any) -> None:
    made = scene(800, 2.0)
    made.tissue(made.disc(400, 400, 250), membrane=1.2)
    image = made.render()
    image[: int(frame * len(image))] = 0
    assert dark_field_share(image, np.ones(image.shape[:2], dtype=np.bool_)) == 0


def test_the_darkest_stain_is_no_dark_field() -> None:
    od = np.random.default_rng(0).uniform(0.2, 1.2, (100, 100, 1)) * [0.27, 0.57, 0.78]
    image = (240 * 10.0**-od).astype(np.uint8)
    assert dark_field_share(image, np.ones((100, 100), dtype=np.bool_)) == 0


def test_nothing_at_all_is_no_dark_field() -> None:
    black = np.zeros((50, 50, 3), dtype=np.uint8)
    assert dark_field_share(black, np.ones((50, 50), dtype=np.bool_)) == 0
    assert dark_field_share(black, np.zeros((50, 50), dtype=np.bool_)) == 0
