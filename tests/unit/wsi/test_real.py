from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pathology.geometry import Box0
from pathology.wsi import find_slides, open_slide

pytestmark = pytest.mark.real


def test_aperio_header(real_data: Path):
    with open_slide(real_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        info = slide.info
        assert (info.spacing.x, info.spacing.y, info.mpp_source) == (0.499, 0.499, "header")
        assert (info.size.width, info.size.height) == (2220, 2967)
        assert info.vendor == "aperio"
        assert info.properties["aperio.AppMag"] == "20"
        assert not any("Date" in name or "User" in name for name in info.properties)


def test_folder_holds_ten_slides(real_data: Path):
    discovery = find_slides([real_data / "cores", real_data / "slides"])
    assert len(discovery.slides) == 10


def shift_and_bias(seen: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Estimate by least squares how far two pictures are apart: pixels and grey values."""
    reference, difference = expected.mean(axis=2), (seen - expected).mean(axis=2)
    down, across = np.gradient(reference)
    columns = np.stack([across.ravel(), down.ravel(), np.ones(reference.size)], axis=1)
    x, y, bias = np.linalg.lstsq(columns, difference.ravel(), rcond=None)[0]
    return float(np.hypot(x, y)), abs(float(bias))


@pytest.mark.parametrize("mpp", [1.0, 2.0, 8.0])
def test_coarse_levels_of_every_core_lie_where_level_zero_does(real_data: Path, mpp: float):
    # Levels differ from level 0 by JPEG losses of their own, which grow with texture; so it is the
    # position and the brightness that are compared, not each pixel.
    cores = sorted((real_data / "cores").glob("*.tif"))
    assert cores
    for path in cores:
        with open_slide(path) as slide:
            assert slide.info.spacing.x == 0.25
            box = Box0(x=2048, y=2048, width=2048, height=2048)
            coarse = slide.read(box, mpp=mpp).astype(float)
            fine = Image.fromarray(slide.read(box, mpp=0.25)).reduce(round(mpp / 0.25))
        shift, bias = shift_and_bias(coarse, np.asarray(fine).astype(float))
        assert shift < 0.1, path.name
        assert bias < 2, path.name


def test_windows_of_a_fractional_pyramid_agree(real_data: Path):
    with open_slide(real_data / "slides" / "her2_cish_40x.tif") as slide:
        assert slide.info.spacing.x == 0.2528
        whole = slide.read_region(
            Box0(x=8000, y=9000, width=4064, height=4064), mpp=0.2528 * 127 / 16
        )
        part = slide.read_region(
            Box0(x=9016, y=10016, width=1016, height=2032), mpp=0.2528 * 127 / 16
        )
    assert whole.pixels.shape == (512, 512, 3)
    np.testing.assert_array_equal(part.pixels, whole.pixels[128:384, 128:256])
