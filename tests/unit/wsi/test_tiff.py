from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from jpeg_tiff import write_jpeg_tiff

from pathology.wsi.tiff import LayoutError, TiledImage, read_tiled_images


@pytest.fixture(scope="module", params=[(False, "<"), (True, "<"), (False, ">"), (True, ">")])
def path(request, tmp_path_factory) -> Path:
    big, order = request.param
    image = np.random.default_rng(0).integers(0, 256, (500, 700, 3), dtype=np.uint8)
    name = tmp_path_factory.mktemp("tiff") / "a.tif"
    return write_jpeg_tiff(name, [image, image[::2, ::2]], side=256, big=big, byteorder=order)


def read(content: bytes) -> tuple[TiledImage, ...]:
    return read_tiled_images(lambda offset, length: content[offset : offset + length], len(content))


def test_says_what_tifffile_says(path):
    images = read(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        assert len(images) == len(file.pages)
        for image, page in zip(images, file.pages, strict=True):
            assert (image.height, image.width, 3) == page.shape
            assert (image.tile_height, image.tile_width) == (page.tilelength, page.tilewidth)
            assert image.offsets.tolist() == list(page.dataoffsets)
            assert image.lengths.tolist() == list(page.databytecounts)
            assert image.tables == page.jpegtables
            assert (image.compression, image.photometric, image.rgb8) == (7, 6, True)
    assert (images[0].columns, images[0].rows) == (3, 2)


def test_images_in_strips_are_left_out(tmp_path):
    tifffile.imwrite(tmp_path / "strips.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    assert read((tmp_path / "strips.tif").read_bytes()) == ()


@given(data=st.data())
def test_any_damage_is_an_error_or_an_image_inside_the_file(path, data):
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        places = [tag.offset for page in file.pages for tag in page.tags]
        places += [page.offset for page in file.pages]
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from([0, *places])) + data.draw(st.integers(0, 19))
        content[min(place, len(content) - 1)] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    try:
        images = read(bytes(content))
    except LayoutError:
        return
    for image in images:
        stored = image.lengths > 0
        assert (image.offsets[stored] + image.lengths[stored] <= len(content)).all()
        assert len(image.offsets) == image.columns * image.rows


def test_directories_in_a_circle_end(path):
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tags = len(file.pages[1].tags)
        big, order = file.is_bigtiff, file.byteorder
        start, first = file.pages[1].offset, file.pages[0].offset
    pointer = start + (8 + 20 * tags if big else 2 + 12 * tags)
    struct.pack_into(order + ("Q" if big else "I"), content, pointer, first)
    with pytest.raises(LayoutError, match="without end"):
        read(bytes(content))


def test_counts_are_checked_before_anything_is_read(path):
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags["TileOffsets"]
        big, order = file.is_bigtiff, file.byteorder
    struct.pack_into(order + ("Q" if big else "I"), content, tag.offset + 4, 0xFFFFFFF0)
    asked = []

    def counting(offset: int, length: int) -> bytes:
        asked.append(length)
        return bytes(content[offset : offset + length])

    with pytest.raises(LayoutError, match="4294967280 values"):
        read_tiled_images(counting, len(content))
    assert max(asked) < 10_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "an image of"),
        ({"tile_width": 4096}, "an image of"),
        ({"width": 700}, "4 tiles where the image has 6"),
    ],
)
def test_contradictions_are_named(change, message):
    values = {
        "width": 512,
        "height": 512,
        "tile_width": 256,
        "tile_height": 256,
        "compression": 7,
        "photometric": 6,
        "rgb8": True,
        "offsets": np.arange(4),
        "lengths": np.arange(4),
    }
    with pytest.raises(LayoutError, match=message):
        TiledImage(**(values | change))
