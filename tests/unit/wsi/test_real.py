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


def test_every_core_opens_and_overview_agrees_with_level_zero(real_data: Path):
    for path in sorted((real_data / "cores").glob("*.tif")):
        with open_slide(path) as slide:
            assert slide.info.spacing.x == 0.25
            box = Box0(x=1024, y=1024, width=3072, height=3072)
            coarse = slide.read(box, mpp=8.0).astype(int)
            fine = Image.fromarray(slide.read(box, mpp=0.25)).reduce(32)
        # Each level is a JPEG of its own (2 to 4 grey values); a shift by one pixel gives 10.
        assert np.abs(coarse - np.asarray(fine)).mean() < 4.5


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
