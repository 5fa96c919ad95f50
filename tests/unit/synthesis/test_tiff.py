from __future__ import annotations

import tracemalloc

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image, ImageCms

from pathology.errors import OutputError
from pathology.geometry import Spacing
from pathology.synthesis import tiff
from pathology.synthesis.tiff import TileSource, write_pyramid


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def halve_slowly(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    result = np.zeros(((height + 1) // 2, (width + 1) // 2, 3), np.uint8)
    for row in range(result.shape[0]):
        for column in range(result.shape[1]):
            rows = [min(2 * row + d, height - 1) for d in (0, 1)]
            columns = [min(2 * column + d, width - 1) for d in (0, 1)]
            total = sum(image[r, c].astype(int) for r in rows for c in columns)
            result[row, column] = [round(int(value) / 4) for value in total]  # half to even
    return result


@pytest.mark.parametrize("compression", ["deflate", "none"])
def test_openslide_and_tifffile_read_every_level_pixel_exact(tmp_path, compression):
    image = noise(301, 177)
    path = tmp_path / "a.tif"
    write_pyramid(path, image, mpp=0.25, levels=4, tile_px=32, compression=compression)
    expected = [image]
    for _ in range(3):
        expected.append(halve_slowly(expected[-1]))
    with openslide.OpenSlide(path) as slide, tifffile.TiffFile(path) as other:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert slide.level_count == len(other.pages) == 4
        for number, level in enumerate(expected):
            size = slide.level_dimensions[number]
            assert size == (level.shape[1], level.shape[0])
            seen = np.asarray(slide.read_region((0, 0), number, size))
            assert (seen[..., 3] == 255).all()
            np.testing.assert_array_equal(seen[..., :3], level)
            np.testing.assert_array_equal(other.pages[number].asarray(), level)


@pytest.mark.parametrize("quality", [80, 95])
def test_jpeg_is_close_in_two_readers(tmp_path, quality):
    ramp = np.linspace(30, 220, 400)
    image = np.stack(
        [np.tile(ramp, (300, 1)), np.full((300, 400), 90), 255 - np.tile(ramp, (300, 1))], 2
    )
    image = image.astype(np.uint8)
    path = tmp_path / "a.tif"
    write_pyramid(path, image, mpp=0.25, levels=2, compression="jpeg", quality=quality)
    with openslide.OpenSlide(path) as slide:
        seen = np.asarray(slide.read_region((0, 0), 0, (400, 300)))[..., :3].astype(int)
    with Image.open(path) as other:
        pillow = np.asarray(other.convert("RGB")).astype(int)
    assert np.abs(seen - image).mean() < 2
    assert np.abs(pillow - image).mean() < 2


def test_same_input_same_bytes_from_array_and_from_source(tmp_path):
    image = noise(1500, 2100)
    source = TileSource(
        width=2100, height=1500, read=lambda x, y, w, h: image[y : y + h, x : x + w]
    )
    for name, item in (("a", image), ("b", image), ("c", source)):
        write_pyramid(tmp_path / f"{name}.tif", item, mpp=0.25, levels=5)
    contents = {(tmp_path / f"{name}.tif").read_bytes() for name in "abc"}
    assert len(contents) == 1


def test_source_is_asked_once_for_each_pixel_and_never_beyond_the_edge(tmp_path):
    asked = np.zeros((1300, 2500), np.uint8)

    def read(x: int, y: int, width: int, height: int) -> np.ndarray:
        assert 0 <= x <= x + width <= 2500
        assert 0 <= y <= y + height <= 1300
        asked[y : y + height, x : x + width] += 1
        return np.full((height, width, 3), 200, np.uint8)

    source = TileSource(width=2500, height=1300, read=read)
    write_pyramid(tmp_path / "a.tif", source, mpp=0.25, levels=6)
    assert (asked == 1).all()


def test_memory_does_not_grow_with_the_image(tmp_path):
    def peak(side: int) -> int:
        source = TileSource(
            width=side, height=side, read=lambda _x, _y, w, h: np.full((h, w, 3), 200, np.uint8)
        )
        tracemalloc.start()
        write_pyramid(tmp_path / "a.tif", source, mpp=0.25, levels=4)
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    assert peak(6144) < 1.3 * peak(2048)


@pytest.mark.slow
def test_sixty_thousand_pixels_in_little_memory(tmp_path):
    tile = noise(1024, 1024)
    source = TileSource(width=60_000, height=60_000, read=lambda _x, _y, w, h: tile[:h, :w])
    path = tmp_path / "a.tif"
    tracemalloc.start()
    write_pyramid(path, source, mpp=0.25, levels=6, quality=40)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()
    with openslide.OpenSlide(path) as slide:
        assert slide.dimensions == (60_000, 60_000)


@pytest.mark.parametrize("unit", ["cm", "inch"])
def test_pixel_size_survives_in_both_units(tmp_path, unit):
    path = tmp_path / "a.tif"
    write_pyramid(path, noise(64, 64), mpp=(0.2528, 0.25), levels=1, resolution_unit=unit)
    with openslide.OpenSlide(path) as slide:
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.2528, rel=1e-6)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize(("mpp", "unit"), [(0.25, "none"), (None, "cm")])
def test_pixel_size_is_absent_where_it_has_no_unit(tmp_path, mpp, unit):
    path = tmp_path / "a.tif"
    write_pyramid(path, noise(64, 64), mpp=mpp, levels=1, resolution_unit=unit)
    with openslide.OpenSlide(path) as slide:
        assert "openslide.mpp-x" not in slide.properties


def test_big_tiff_where_offsets_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "_CLASSIC_LIMIT", 0)
    image = noise(300, 200)
    path = tmp_path / "a.tif"
    write_pyramid(
        path, image, mpp=Spacing(x=0.25, y=0.25), levels=2, tile_px=64, compression="deflate"
    )
    assert path.read_bytes()[:4] == b"II+\0"
    with openslide.OpenSlide(path) as slide, tifffile.TiffFile(path) as other:
        np.testing.assert_array_equal(
            np.asarray(slide.read_region((0, 0), 0, (200, 300)))[..., :3], image
        )
        np.testing.assert_array_equal(other.pages[0].asarray(), image)
        assert float(slide.properties["openslide.mpp-x"]) == 0.25


def test_icc_profile_is_embedded(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_pyramid(tmp_path / "a.tif", noise(64, 64), mpp=0.25, levels=1, icc=profile)
    with openslide.OpenSlide(tmp_path / "a.tif") as slide:
        assert slide.color_profile is not None
        assert slide.color_profile.tobytes() == profile


def test_failing_source_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")

    def read(x: int, y: int, width: int, height: int) -> np.ndarray:
        raise RuntimeError("broken generator")

    with pytest.raises(RuntimeError, match="broken generator"):
        write_pyramid(path, TileSource(width=9, height=9, read=read), mpp=0.25, levels=1)
    assert [item.name for item in tmp_path.iterdir()] == ["a.tif"]
    assert path.read_bytes() == b"old"


def test_unwritable_place_names_the_file(tmp_path):
    path = tmp_path / "missing" / "a.tif"
    with pytest.raises(OutputError, match=r"missing/a\.tif.*cannot be written"):
        write_pyramid(path, noise(9, 9), mpp=0.25, levels=1)


@pytest.mark.parametrize(
    "change",
    [
        {"levels": 0},
        {"tile_px": 100},
        {"quality": 0},
        {"compression": "lzw"},
        {"resolution_unit": "mm"},
        {"mpp": -1.0},
    ],
)
def test_bad_parameters_are_refused(tmp_path, change):
    values = {"mpp": 0.25, "levels": 1} | change
    with pytest.raises(ValueError, match=r"."):
        write_pyramid(tmp_path / "a.tif", noise(9, 9), **values)
    assert not list(tmp_path.iterdir())


def test_wrong_arrays_are_refused(tmp_path):
    for bad in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ValueError, match="uint8"):
            write_pyramid(tmp_path / "a.tif", bad, mpp=0.25, levels=1)
    wrong = TileSource(width=4, height=4, read=lambda *_: np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(ValueError, match="source returned"):
        write_pyramid(tmp_path / "a.tif", wrong, mpp=0.25, levels=1)
    with pytest.raises(ValueError, match="at least"):
        TileSource(width=0, height=4, read=wrong.read)
