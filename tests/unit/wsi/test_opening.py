from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import openslide
import pytest
from PIL import Image, ImageCms

from pathology.config import load_config
from pathology.errors import NotScorable, ReasonCode, SlideError
from pathology.geometry import Box0, Size0
from pathology.wsi import open_slide
from pathology.wsi.colour import to_srgb
from pathology.wsi.opening import SAFE_PROPERTIES, _bounds, _safe

READING = load_config().reading
WHOLE = Box0(x=0, y=0, width=512, height=512)


def refused(path: Path, **changes: object) -> SlideError:
    """Open what cannot be opened; check that the error names the file and a remedy."""
    with pytest.raises(SlideError) as caught:
        open_slide(path, **changes)
    assert str(path) in caught.value.message
    assert caught.value.fix
    return caught.value


def swapped_channels() -> bytes:
    """Return an ICC profile whose red is sRGB's green, and so on: a change that is easy to see."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(content[128:132], "big")
    places = {bytes(content[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    content[red : red + 4], content[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(content)


def test_slide_describes_itself(make_slide):
    path = make_slide()
    with open_slide(path) as slide:
        info = slide.info
    assert info.path == path
    assert info.vendor == "generic-tiff"
    assert (info.size.width, info.size.height) == (512, 512)
    assert info.bounds == WHOLE
    assert (info.spacing.x, info.spacing.y, info.mpp_source) == (0.25, 0.25, "header")
    assert info.icc_profile == "none"
    with openslide.OpenSlide(path) as other:
        assert info.quickhash == other.properties["openslide.quickhash-1"]


def test_equal_size_in_inch_and_cm_gives_equal_spacing(make_slide):
    found = set()
    for unit in ("inch", "cm"):
        path = make_slide(name=f"{unit}.tif", mpp=(0.2528, 0.2521), resolution_unit=unit)
        with open_slide(path) as slide:
            found.add((slide.info.spacing.x, slide.info.spacing.y))
    assert found == {(0.2528, 0.2521)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mpp": None}, ReasonCode.MISSING_MPP),
        ({"resolution_unit": "none"}, ReasonCode.MISSING_MPP),
        ({"mpp": 10.0}, ReasonCode.IMPLAUSIBLE_MPP),
        ({"mpp": 0.01}, ReasonCode.IMPLAUSIBLE_MPP),
        ({"mpp": (0.25, 0.26)}, ReasonCode.ANISOTROPIC_MPP),
    ],
)
def test_bad_pixel_size_in_the_header(make_slide, changes, reason):
    error = refused(make_slide(**changes))
    assert isinstance(error, NotScorable)
    assert error.reason is reason
    with open_slide(make_slide(**changes), mpp=0.25) as slide:
        assert slide.info.mpp_source == "argument"


@pytest.mark.parametrize("mpp", [0.0, -0.25, float("nan"), 10.0, (0.25, 0.0)])
def test_bad_pixel_size_as_argument(make_slide, mpp):
    assert refused(make_slide(), mpp=mpp).reason is ReasonCode.IMPLAUSIBLE_MPP


def test_tiny_slide_is_too_small(make_slide, kit):
    error = refused(make_slide(kit.field(40, 40), levels=1))
    assert error.reason is ReasonCode.TOO_SMALL
    assert error.status == "not_scorable"


def test_missing_file(tmp_path):
    assert refused(tmp_path / "a.svs").reason is ReasonCode.FILE_MISSING


def test_file_below_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    assert refused(tmp_path / "a" / "b.svs").reason is ReasonCode.FILE_MISSING


def test_broken_link(tmp_path):
    (tmp_path / "a.svs").symlink_to(tmp_path / "gone.svs")
    error = refused(tmp_path / "a.svs")
    assert error.reason is ReasonCode.FILE_MISSING
    assert "link" in error.message


def test_link_to_itself(tmp_path):
    (tmp_path / "a.svs").symlink_to(tmp_path / "a.svs")
    assert refused(tmp_path / "a.svs").reason is ReasonCode.UNREADABLE


def test_folder_and_pipe(tmp_path):
    (tmp_path / "folder.svs").mkdir()
    os.mkfifo(tmp_path / "pipe.svs")
    for name in ("folder.svs", "pipe.svs"):
        assert refused(tmp_path / name).reason is ReasonCode.UNSUPPORTED_FORMAT


def test_empty_file(tmp_path):
    (tmp_path / "a.svs").touch()
    error = refused(tmp_path / "a.svs")
    assert error.reason is ReasonCode.UNREADABLE
    assert "0 bytes" in error.message


def test_text_file(tmp_path):
    (tmp_path / "a.svs").write_text("this is no slide\n" * 100)
    assert refused(tmp_path / "a.svs").reason is ReasonCode.UNSUPPORTED_FORMAT


def test_no_permission(make_slide, monkeypatch):
    def deny(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    path = make_slide()
    monkeypatch.setattr(Path, "open", deny)
    assert refused(path, reading=READING).reason is ReasonCode.PERMISSION_DENIED


def test_disk_error(make_slide, monkeypatch):
    def fail(self, *_, **__):
        raise OSError(5, "Input/output error", str(self))

    path = make_slide()
    monkeypatch.setattr(Path, "open", fail)
    assert refused(path, reading=READING).reason is ReasonCode.UNREADABLE


@pytest.mark.parametrize("keep", [0.001, 0.3, 0.99])
def test_truncated_pyramid(make_slide, keep):
    path = make_slide()
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    error = refused(path)
    assert error.reason is ReasonCode.UNREADABLE
    assert error.status == "failed"


def test_recognised_but_broken(make_slide, monkeypatch):
    monkeypatch.setattr(openslide.OpenSlide, "detect_format", lambda _: "mirax")
    path = make_slide()
    path.write_text("[nonsense]")
    assert refused(path).reason is ReasonCode.UNREADABLE


def test_format_detection_that_fails(make_slide, monkeypatch):
    def fail(_):
        raise openslide.OpenSlideError("simulated")

    monkeypatch.setattr(openslide.OpenSlide, "detect_format", fail)
    assert refused(make_slide()).reason is ReasonCode.UNREADABLE


@pytest.mark.parametrize("name", ["ä ö, 日本.tif", "=1+1.tif", "a b.c.d.tif", "slide"])
def test_odd_names_open(make_slide, name):
    with open_slide(make_slide(name=name)) as slide:
        assert slide.info.path.name == name
    with open_slide(str(make_slide(name=name))) as slide:
        assert slide.info.vendor == "generic-tiff"


def test_icc_profile_is_recorded_and_applied_on_request(make_slide, kit):
    image = kit.field(512, 512)
    path = make_slide(image, icc=swapped_channels(), levels=1)
    kit.drop_tile(path, 0)
    with open_slide(path, reading=READING) as slide:
        assert slide.info.icc_profile == "recorded"
        np.testing.assert_array_equal(
            slide.read(Box0(x=256, y=256, width=9, height=9), mpp=0.25), image[256:265, 256:265]
        )
    with open_slide(path, reading=READING.model_copy(update={"icc": True})) as slide:
        assert slide.info.icc_profile == "applied"
        region = slide.read_region(WHOLE, mpp=0.25)
    swapped = image[:, :, [1, 0, 2]].astype(int)
    assert np.abs(region.pixels.astype(int) - swapped)[256:, 256:].max() <= 2
    assert (region.pixels[:256, :256] == 255).all()
    assert not region.data[:256, :256].any()


def test_icc_profile_of_flat_images(tmp_path, kit):
    image = kit.field(420, 450)
    path = tmp_path / "a.png"
    Image.fromarray(image).save(path, icc_profile=swapped_channels())
    reading = READING.model_copy(update={"icc": True})
    with open_slide(path, mpp=0.25, reading=reading) as slide:
        assert slide.info.icc_profile == "applied"
        pixels = slide.read(Box0(x=0, y=0, width=450, height=420), mpp=0.25).astype(int)
    assert np.abs(pixels - image[:, :, [1, 0, 2]]).max() <= 2


def test_icc_conversion_keeps_pixels_without_data_white():
    convert = to_srgb(swapped_channels(), path=Path("a.svs"))
    pixels = np.array([[[90, 20, 30, 0], [255, 255, 255, 0], [200, 100, 50, 255]]], np.uint8)
    result = convert(pixels)[0]
    assert result[:2].tolist() == [[255, 255, 255, 0]] * 2
    assert np.abs(result[2].astype(int) - [100, 200, 50, 255]).max() <= 2
    assert pixels[0, 0].tolist() == [90, 20, 30, 0]


def test_damaged_icc_profile_matters_only_if_it_is_to_be_applied(make_slide):
    path = make_slide(icc=b"not a profile")
    with open_slide(path) as slide:
        assert slide.info.icc_profile == "recorded"
    reading = READING.model_copy(update={"icc": True})
    error = refused(path, reading=reading)
    assert error.reason is ReasonCode.UNREADABLE
    assert "reading.icc" in error.fix


def test_only_properties_of_the_scanner_are_kept():
    personal = {
        "aperio.User": "jdoe",
        "aperio.Date": "01/02/20",
        "aperio.Filename": "Doe^Jane",
        "tiff.ImageDescription": "Doe^Jane",
        "tiff.DateTime": "2020:01:02",
        "openslide.comment": "Doe^Jane",
        "openslide.barcode": "S20-1234",
        "hamamatsu.Created": "2020/01/02",
        "dicom.PatientName": "Doe^Jane",
        "mirax.GENERAL.SLIDE_NAME": "Doe",
    }
    harmless = {"openslide.vendor": "aperio", "aperio.AppMag": "20", "tiff.Model": "x" * 999}
    kept = _safe(personal | harmless)
    assert set(kept) == set(harmless)
    assert len(kept["tiff.Model"]) == 200
    assert not set(personal) & set(SAFE_PROPERTIES)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("10", "20", "30", "40"), Box0(x=10, y=20, width=30, height=40)),
        (("10", "20", "3000", "40"), Box0(x=10, y=20, width=90, height=40)),
        (("10", "20", "x", "40"), Box0(x=0, y=0, width=100, height=100)),
        (("10", "20", "0", "40"), Box0(x=0, y=0, width=100, height=100)),
        (("500", "20", "30", "40"), Box0(x=0, y=0, width=100, height=100)),
    ],
)
def test_bounds_are_read_and_clipped(values, expected):
    names = [f"openslide.bounds-{name}" for name in ("x", "y", "width", "height")]
    size = Size0(width=100, height=100)
    assert _bounds(dict(zip(names, values, strict=True)), size) == expected
    assert _bounds({}, size) == Box0(x=0, y=0, width=100, height=100)


def test_hash_of_the_file_where_openslide_has_none(make_slide, monkeypatch):
    path = make_slide()
    real = openslide.OpenSlide.properties.fget
    without = property(
        lambda self: {k: v for k, v in real(self).items() if k != "openslide.quickhash-1"}
    )
    monkeypatch.setattr(openslide.OpenSlide, "properties", without)
    with open_slide(path) as slide:
        assert slide.info.quickhash == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
