from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest

from pathology.config import load_config
from pathology.errors import NotScorable, ReasonCode
from pathology.geometry import Size0, Spacing
from pathology.wsi.spacing import (
    RawSpacing,
    check_size,
    from_properties,
    from_resolution,
    given_spacing,
    resolve_spacing,
)

READING = load_config().reading
PATH = Path("case 1.svs")


def resolve(x: float, y: float) -> Spacing:
    raw = RawSpacing(x=x, y=y, origin="the header")
    return resolve_spacing(PATH, given=None, header=raw, reading=READING)


@pytest.mark.parametrize("um", [0.2528, 0.25, 0.5, 0.221, 0.1, 2.0, 0.263312])
def test_same_size_in_inch_and_cm_is_equal(um):
    # As libtiff keeps them: 32-bit floats.
    inch = from_resolution(float(np.float32(25_400 / um)), float(np.float32(25_400 / um)), 2)
    centimetre = from_resolution(float(np.float32(10_000 / um)), float(np.float32(10_000 / um)), 3)
    assert (inch.x, inch.y) == (centimetre.x, centimetre.y) == (um, um)


def test_names_of_units_equal_numbers():
    assert from_resolution(40_000, 30_000, "centimeter") == from_resolution(40_000, 30_000, 3)
    assert from_resolution(40_000, 30_000, "inch") == from_resolution(40_000, 30_000, 2)


@pytest.mark.parametrize("unit", [None, 1, 0, 4, "none", "unknown", ""])
def test_no_unit_is_no_size(unit):
    assert from_resolution(40_000, 40_000, unit) is None


def test_header_order_and_gaps():
    tags = {
        "tiff.XResolution": "20000",
        "tiff.YResolution": "20000",
        "tiff.ResolutionUnit": "centimeter",
    }
    assert from_properties(tags).x == 0.5
    assert from_properties({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.26"} | tags).y == 0.26
    assert from_properties({"openslide.mpp-x": "0.25"}) is None
    assert from_properties({"tiff.XResolution": "20000", "tiff.ResolutionUnit": "inch"}) is None
    assert from_properties({"openslide.objective-power": "40", "aperio.AppMag": "40"}) is None


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (0.0, 0.0),
        (-0.25, -0.25),
        (10.0, 10.0),
        (0.25, 10.0),
        (0.0999, 0.0999),
        (2.001, 2.001),
        (math.nan, math.nan),
        (0.25, math.nan),
        (math.inf, math.inf),
    ],
)
def test_implausible_sizes_are_refused(x, y):
    with pytest.raises(NotScorable, match=r"case 1\.svs.*not plausible.*--mpp") as caught:
        resolve(x, y)
    assert caught.value.reason is ReasonCode.IMPLAUSIBLE_MPP
    assert caught.value.status == "not_scorable"


def test_unreadable_header_number_is_implausible_not_missing():
    header = from_properties({"openslide.mpp-x": "0,25", "openslide.mpp-y": "0,25"})
    with pytest.raises(NotScorable) as caught:
        resolve_spacing(PATH, given=None, header=header, reading=READING)
    assert caught.value.reason is ReasonCode.IMPLAUSIBLE_MPP


def test_zero_resolution_is_implausible():
    assert math.isinf(from_resolution(0.0, 0.0, 3).x)


def test_ends_of_the_plausible_range_are_inside():
    assert resolve(0.1, 0.1).x == 0.1
    assert resolve(2.0, 2.0).x == 2.0


def test_anisotropy_up_to_the_limit():
    assert resolve(0.25, 0.25 * 1.015).y == 0.25 * 1.015
    assert resolve(0.25 * 1.015, 0.25).x == 0.25 * 1.015
    for x, y in ((0.25, 0.25 * 1.0151), (0.25 * 1.0151, 0.25)):
        with pytest.raises(NotScorable, match="not square") as caught:
            resolve(x, y)
        assert caught.value.reason is ReasonCode.ANISOTROPIC_MPP


def test_missing_size_says_what_to_do():
    with pytest.raises(NotScorable, match=r"no pixel size.*--mpp.*manifest") as caught:
        resolve_spacing(PATH, given=None, header=None, reading=READING)
    assert caught.value.reason is ReasonCode.MISSING_MPP


def test_given_size_goes_before_the_header_and_conflict_is_logged(caplog):
    header = RawSpacing(x=0.5, y=0.5, origin="the header")
    given = given_spacing((0.25, 0.251), "manifest")
    with caplog.at_level(logging.WARNING):
        spacing = resolve_spacing(PATH, given=given, header=header, reading=READING)
    assert spacing == Spacing(x=0.25, y=0.251)
    assert "header states 0.5" in caplog.text
    caplog.clear()
    near = RawSpacing(x=0.2505, y=0.2505, origin="the header")
    resolve_spacing(PATH, given=given, header=near, reading=READING)
    assert not caplog.text


def test_given_size_repairs_an_absurd_header():
    header = RawSpacing(x=352.8, y=352.8, origin="the header")
    given = given_spacing(Spacing(x=0.25, y=0.25), "argument")
    assert resolve_spacing(PATH, given=given, header=header, reading=READING).x == 0.25


def test_given_size_is_judged_too():
    with pytest.raises(NotScorable, match="the manifest"):
        resolve_spacing(PATH, given=given_spacing(10.0, "manifest"), header=None, reading=READING)


def test_small_images_are_refused():
    spacing = Spacing(x=0.25, y=0.25)
    check_size(PATH, Size0(width=400, height=400), spacing, READING)
    for width, height in ((399, 4000), (4000, 399), (40, 40)):
        with pytest.raises(NotScorable, match="only") as caught:
            check_size(PATH, Size0(width=width, height=height), spacing, READING)
        assert caught.value.reason is ReasonCode.TOO_SMALL
