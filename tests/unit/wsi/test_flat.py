from __future__ import annotations

import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from pathology.errors import NotScorable, ReasonCode, SlideError
from pathology.geometry import Box0
from pathology.wsi import flat, open_slide
from pathology.wsi.flat import load_flat

BOX = Box0(x=0, y=0, width=450, height=420)


@pytest.fixture
def image(kit):
    return kit.field(420, 450)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "jpg"])
def test_flat_images_read_with_a_given_pixel_size(tmp_path, image, suffix):
    path = tmp_path / f"field.{suffix}"
    Image.fromarray(image).save(path, quality=95)
    with open_slide(path, mpp=0.25) as slide:
        assert slide.info.vendor == "image"
        assert slide.info.mpp_source == "argument"
        assert slide.info.quickhash.startswith("sha256:")
        assert (slide.info.size.width, slide.info.size.height) == (450, 420)
        pixels = slide.read(BOX, mpp=0.25).astype(int)
    assert np.abs(pixels - image).mean() <= (3 if suffix == "jpg" else 0)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_print_densities_are_no_pixel_sizes(tmp_path, image, suffix):
    path = tmp_path / f"field.{suffix}"
    Image.fromarray(image).save(
        path, dpi=(101_600 / 4, 101_600 / 4) if suffix != "jpg" else (300, 300)
    )
    with pytest.raises(NotScorable) as caught:
        open_slide(path)
    assert caught.value.reason is ReasonCode.MISSING_MPP


@pytest.mark.parametrize(("unit", "per_unit"), [("CENTIMETER", 40_000.0), ("INCH", 101_600.0)])
def test_credible_tiff_tags_are_a_pixel_size(tmp_path, image, unit, per_unit):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, image, resolution=(per_unit, per_unit), resolutionunit=unit)
    with open_slide(path) as slide:
        assert (slide.info.spacing.x, slide.info.spacing.y) == (0.25, 0.25)
        assert slide.info.mpp_source == "header"
        np.testing.assert_array_equal(slide.read(BOX, mpp=0.25), image)


def test_imagej_tags_without_unit_are_missing(tmp_path, image):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, image, imagej=True, resolution=(4.0, 4.0), metadata={"unit": "um"})
    with pytest.raises(NotScorable) as caught:
        open_slide(path)
    assert caught.value.reason is ReasonCode.MISSING_MPP


def test_screen_resolution_is_implausible(tmp_path, image):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, image, resolution=(72.0, 72.0), resolutionunit="INCH")
    with pytest.raises(NotScorable, match=r"352\.778") as caught:
        open_slide(path)
    assert caught.value.reason is ReasonCode.IMPLAUSIBLE_MPP


def test_manifest_is_recorded_as_source(tmp_path, image):
    path = tmp_path / "field.png"
    Image.fromarray(image).save(path)
    with open_slide(path, mpp=(0.25, 0.251), mpp_source="manifest") as slide:
        assert slide.info.mpp_source == "manifest"
        assert slide.info.spacing.y == 0.251


def test_transparent_pixels_are_white_without_data(tmp_path, image):
    path = tmp_path / "field.png"
    alpha = np.full((420, 450, 1), 255, np.uint8)
    alpha[:, 200:] = 0
    Image.fromarray(np.concatenate([image, alpha], axis=2)).save(path)
    with open_slide(path, mpp=0.25) as slide:
        region = slide.read_region(BOX, mpp=0.25)
    np.testing.assert_array_equal(region.pixels[:, :200], image[:, :200])
    assert (region.pixels[:, 200:] == 255).all()
    assert region.data[:, :200].all()
    assert not region.data[:, 200:].any()


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "LA", "1"])
def test_other_eight_bit_modes_become_rgb(tmp_path, image, mode):
    path = tmp_path / "field.tif"
    Image.fromarray(image).convert("L" if mode in "L LA 1" else "RGB").convert(mode).save(path)
    with open_slide(path, mpp=0.25) as slide:
        assert slide.read(BOX, mpp=0.25).shape == (420, 450, 3)


def test_sixteen_bit_is_refused(tmp_path):
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, np.zeros((500, 500), np.uint16))
    with pytest.raises(SlideError, match=r"deep\.tif.*8-bit") as caught:
        open_slide(path, mpp=0.25)
    assert caught.value.reason is ReasonCode.UNSUPPORTED_FORMAT


def test_too_large_is_refused_by_name_before_decoding(tmp_path, image, monkeypatch):
    path = tmp_path / "huge field.png"
    Image.fromarray(image).save(path)
    monkeypatch.setattr(Image.Image, "convert", None)
    with pytest.raises(SlideError, match=r"huge field\.png.*450 × 420.*pyramidal") as caught:
        load_flat(path, start=b"", max_px=450 * 420 - 1)
    assert caught.value.reason is ReasonCode.UNSUPPORTED_FORMAT


def test_decompression_bomb_is_a_slide_error_and_its_warning_is_not_shown(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    Image.new("RGB", (500, 500)).save(path)
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 200_000
    )  # a warning above, an error at twice that
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_flat(path, start=b"").pixels.shape == (500, 500, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    with pytest.raises(SlideError, match=r"bomb\.png.*too large") as caught:
        open_slide(path, mpp=0.25)
    assert caught.value.reason is ReasonCode.UNSUPPORTED_FORMAT


def test_limit_is_that_of_pillow():
    assert abs(flat.MAX_FLAT_PX - 2 * Image.MAX_IMAGE_PIXELS) <= 2


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.9])
def test_truncated_images_are_unreadable(tmp_path, image, suffix, keep):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(image).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(SlideError, match=rf"cut\.{suffix}") as caught:
        open_slide(path, mpp=0.25)
    assert caught.value.reason is ReasonCode.UNREADABLE
