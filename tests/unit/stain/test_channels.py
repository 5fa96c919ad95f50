"""Channel by channel gives what numpy gives along the last axis, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from pathology.stain import channels

PAIRS = [
    ("channel_min", "min"),
    ("channel_max", "max"),
    ("channel_sum", "sum"),
    ("channel_mean", "mean"),
]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("shape", [(64, 65, 3), (1000, 3), (0, 3), (1, 1, 3)])
def test_as_numpy(ours: str, theirs: str, dtype: type, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    pixels = (rng.random(shape) * 255).astype(dtype)
    if dtype is np.uint8 and ours in ("channel_sum", "channel_mean"):
        with pytest.raises(ValueError, match="of floats"):
            getattr(channels, ours)(pixels)
        return
    found = getattr(channels, ours)(pixels)
    wanted = getattr(pixels, theirs)(axis=-1)
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)


def test_only_three_channels() -> None:
    with pytest.raises(ValueError, match="three channels"):
        channels.channel_min(np.zeros((2, 2, 4)))
