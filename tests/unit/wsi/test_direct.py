from __future__ import annotations

import gc
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import tifffile

sys.path.insert(0, str(Path(__file__).parent))

from jpeg_tiff import abbreviate, encode, set_tag, write_jpeg_tiff

from pathology.config import load_config
from pathology.errors import RegionReadError
from pathology.geometry import Box0
from pathology.wsi import Slide, open_slide
from pathology.wsi import choosing as choosing_module
from pathology.wsi.jpeg import TileDecoder
from pathology.wsi.tiff import LayoutError, read_tiled_images
from pathology.wsi.tilecache import TileCache
from pathology.wsi.vendor import OpenSlideSource

WHOLE = Box0(x=0, y=0, width=1024, height=1024)
TILE_5 = Box0(x=256, y=256, width=256, height=256)


@pytest.fixture
def jpeg(tmp_path, kit):
    """Return a function that writes a JPEG pyramid of 1,024 px and returns its path."""

    def make(levels=None, *, name="slide.tif", **changes) -> Path:
        return write_jpeg_tiff(tmp_path / name, levels or [kit.field(1024, 1024)], **changes)

    return make


def slow(path: Path) -> Slide:
    return open_slide(path, reading=load_config(overrides=["reading.reader=openslide"]).reading)


def overwrite(path: Path, kit, tile: int, content: bytes, at: int = 0) -> None:
    offset, length = kit.tile_ranges(path)[tile]
    with path.open("r+b") as file:
        file.seek(offset + at)
        file.write(content[: length - at])


def both(path: Path, box: Box0, mpp: float = 0.25):
    """Read a box both ways; errors come back as their words."""
    found = []
    for opener in (open_slide, slow):
        with opener(path) as slide:
            try:
                region = slide.read_region(box, mpp=mpp)
                found.append((slide.info.reader, region.pixels.tobytes(), region.data.tobytes()))
            except RegionReadError as error:
                found.append((slide.info.reader, str(error), None))
    return found


def assert_same(path: Path, box: Box0, mpp: float = 0.25) -> object:
    direct, general = both(path, box, mpp)
    assert (direct[0], general[0]) == ("direct", "openslide")
    assert direct[1:] == general[1:]
    return direct[1]


def test_which_reader_and_why(jpeg, make_slide, kit):
    with open_slide(jpeg()) as slide:
        assert (slide.info.reader, slide.info.reader_note) == ("direct", "")
    with slow(jpeg()) as slide:
        assert (slide.info.reader, slide.info.reader_note) == ("openslide", "as configured")
    with open_slide(make_slide()) as slide:
        assert slide.info.reader == "openslide"
        assert slide.info.reader_note == "tiles are not JPEG (compression 8)"


def test_aperio_is_read_directly(jpeg):
    words = "Aperio Image Library v11\r\n1024x1024 |AppMag = 40|MPP = 0.25"
    with open_slide(jpeg(name="a.svs", description=words, side=240, rgb=True)) as slide:
        assert (slide.info.vendor, slide.info.reader) == ("aperio", "direct")


def test_other_formats_are_left_to_openslide(jpeg, monkeypatch):
    real = OpenSlideSource.__init__

    def init(self, path, *, cache_mb):
        real(self, path, cache_mb=cache_mb)
        self.properties["openslide.vendor"] = "philips"

    monkeypatch.setattr(OpenSlideSource, "__init__", init)
    with open_slide(jpeg()) as slide:
        assert (slide.info.reader, slide.info.reader_note) == ("openslide", "format philips")


def test_a_grey_level_of_difference_is_enough_for_openslide(jpeg, monkeypatch):
    real = simplejpeg.decode_jpeg
    monkeypatch.setattr(
        simplejpeg, "decode_jpeg", lambda *args, **kwargs: real(*args, **kwargs) ^ np.uint8(1)
    )
    with open_slide(jpeg()) as slide:
        assert slide.info.reader == "openslide"
        assert "level 0: tile (" in slide.info.reader_note
        assert "not as OpenSlide decodes it" in slide.info.reader_note


def test_other_upsampling_of_colours_is_noticed(jpeg, kit, monkeypatch):
    real = simplejpeg.decode_jpeg

    def fast(content, colours, **kwargs):
        return real(content, colours, **{**kwargs, "fastupsample": True})

    monkeypatch.setattr(simplejpeg, "decode_jpeg", fast)
    with open_slide(jpeg()) as slide:
        assert slide.info.reader == "openslide"


def test_two_images_of_one_size_are_left_to_openslide(jpeg, kit):
    image = kit.field(512, 512)
    with open_slide(jpeg([image, image])) as slide:
        assert slide.info.reader == "openslide"
        assert "tiled images of 512 × 512 px" in slide.info.reader_note


def test_markers_that_contradict_the_directory_are_left_to_openslide(jpeg):
    # The directory says YCbCr, the Adobe marker in every tile RGB: OpenSlide obeys the directory.
    path = jpeg(rgb=True, shared=False)
    set_tag(path, "PhotometricInterpretation", 6)
    with open_slide(path) as slide:
        assert slide.info.reader == "openslide"
        assert slide.info.reader_note == "level 0: no tile could be compared with OpenSlide's"


@pytest.mark.parametrize("mpp", [0.25, 0.496, 0.5])
def test_missing_tile_is_white_without_data(jpeg, kit, mpp):
    path = jpeg()
    kit.drop_tile(path, 5)
    assert_same(path, WHOLE, mpp)
    with open_slide(path) as slide:
        region = slide.read_region(WHOLE, mpp=0.25)
    assert not region.data[256:512, 256:512].any()
    assert region.data.sum() == 1024 * 1024 - 256 * 256
    assert (region.pixels[256:512, 256:512] == 255).all()


def test_of_a_sparse_window_only_the_missing_tile_is_left_to_openslide(jpeg, kit, monkeypatch):
    path = jpeg()
    kit.drop_tile(path, 5)
    asked = []
    real = OpenSlideSource.read_level

    def read_level(self, *place):
        asked.append(place)
        return real(self, *place)

    with open_slide(path) as slide:
        monkeypatch.setattr(OpenSlideSource, "read_level", read_level)
        for _ in range(2):
            slide.read(WHOLE, mpp=0.5)
    assert asked == [(0, 256, 256, 256, 256)]


@pytest.mark.parametrize("mpp", [0.25, 0.496, 0.5])
def test_solid_black_is_missing_as_ever(jpeg, kit, mpp):
    image = kit.field(1024, 1024)
    image[300:400, 300:420] = 0
    path = jpeg([image])
    assert_same(path, WHOLE, mpp)
    with open_slide(path) as slide:
        assert not slide.read_region(WHOLE, mpp=0.25).data[312:384, 312:400].any()


def test_broken_tile_gives_openslides_error(jpeg, kit):
    path = jpeg(name="broken one.tif")
    kit.zero_tile(path, 5)
    error = assert_same(path, Box0(x=300, y=300, width=10, height=10))
    assert "broken one.tif: cannot decode 10 × 10 px at (300, 300)" in error
    assert "fresh handle" in assert_same(path, WHOLE)
    assert isinstance(assert_same(path, Box0(x=0, y=0, width=256, height=1024)), bytes)


@pytest.mark.parametrize("at", [10, 300, 2000])
@pytest.mark.parametrize("length", [1, 40, 4000])
def test_damage_inside_a_tile_gives_openslides_pixels_or_error(jpeg, kit, at, length):
    path = jpeg()
    rng = np.random.default_rng(at * length)
    overwrite(path, kit, 5, rng.integers(0, 256, length, dtype=np.uint8).tobytes(), at)
    assert_same(path, TILE_5)
    assert_same(path, TILE_5, 0.5)


def test_truncated_tile_gives_openslides_pixels_or_error(jpeg, kit):
    path = jpeg()
    _, length = kit.tile_ranges(path)[5]
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags["TileByteCounts"]
        place, size = tag.valueoffset + 5 * (2 if tag.dtype == 3 else 4), 2 if tag.dtype == 3 else 4
    with path.open("r+b") as file:
        file.seek(place)
        file.write((length // 2).to_bytes(size, "little"))
    assert_same(path, TILE_5)


def test_tile_of_another_size_is_not_decoded(jpeg, kit):
    path = jpeg()
    other, _ = abbreviate(encode(kit.field(2048, 2048), rgb=False, subsampling="4:2:0"))
    overwrite(path, kit, 5, other)
    assert_same(path, TILE_5)


def test_truncated_file_reads_what_is_there(jpeg, kit):
    path = jpeg()
    with open_slide(path) as slide:
        os.truncate(path, kit.tile_ranges(path)[9][0])
        slide.read(Box0(x=0, y=0, width=512, height=512), mpp=0.25)
        with pytest.raises(RegionReadError):
            slide.read(Box0(x=512, y=768, width=256, height=256), mpp=0.25)


def test_closed_slide_says_so(jpeg):
    slide = open_slide(jpeg())
    slide.read(TILE_5, mpp=0.25)
    slide.close()
    slide.close()
    for mpp in (0.25, 0.5):
        with pytest.raises(ValueError, match="closed"):
            slide.read(TILE_5, mpp=mpp)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux does")
def test_no_file_stays_open(jpeg, monkeypatch):
    path = jpeg()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with open_slide(path) as slide:
            slide.read(TILE_5, mpp=0.25)
        monkeypatch.setattr(choosing_module, "compare", lambda *_: "simulated")
        open_slide(path).close()
        monkeypatch.undo()
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_many_threads_get_what_one_thread_gets(jpeg, kit):
    path = jpeg()
    for tile in (0, 6, 11):
        kit.zero_tile(path, tile)
    boxes = [
        Box0(x=x, y=y, width=160, height=160)
        for y in range(0, 1024, 96)
        for x in range(0, 1024, 96)
    ]

    def read_all(threads: int, cache_mb: int) -> list[bytes | None]:
        with open_slide(path, cache_mb=cache_mb) as slide:

            def read(job: tuple[int, Box0]) -> bytes | None:
                try:
                    return slide.read(job[1], mpp=(0.25, 0.5)[job[0] % 2]).tobytes()
                except RegionReadError:
                    return None

            with ThreadPoolExecutor(threads) as pool:
                return list(pool.map(read, enumerate(boxes)))

    alone = read_all(1, 64)
    assert None in alone
    assert any(alone)
    for threads, cache_mb in [(8, 64), (8, 0), (4, 1)]:
        assert read_all(threads, cache_mb) == alone


def test_neighbouring_windows_decode_no_tile_twice(jpeg, monkeypatch):
    decoded = []
    real = TileDecoder.decode

    def decode(self, content, *, flags=True):
        decoded.append(len(content))
        return real(self, content, flags=flags)

    with open_slide(jpeg()) as slide:
        slide._source._cache.clear()
        monkeypatch.setattr(TileDecoder, "decode", decode)
        boxes = [
            Box0(x=x, y=y, width=400, height=400) for y in (0, 300, 600) for x in (0, 300, 600)
        ]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda box: slide.read(box, mpp=0.5), boxes))
    assert len(decoded) == 16


def test_cache_keeps_within_its_bounds_and_drops_the_oldest():
    made = []
    cache = TileCache(250)

    def make(key):
        made.append(key)
        return np.zeros(100, np.uint8)

    for key in ("a", "b", "a", "c", "a", "b"):
        cache.get(key, lambda key=key: make(key))
        assert cache.held <= 250
    assert made == ["a", "b", "c", "b"]
    cache.clear()
    assert cache.held == 0


def test_cache_makes_a_tile_once_for_all_who_wait():
    cache, begun, go = TileCache(1000), threading.Event(), threading.Event()
    calls = []

    def make():
        calls.append(1)
        begun.set()
        go.wait(10)
        return np.zeros(4, np.uint8)

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cache.get, "a", make)
        begun.wait(10)
        others = [pool.submit(cache.get, "a", make) for _ in range(3)]
        go.set()
        assert all(other.result(10) is first.result(10) for other in others)
    assert len(calls) == 1


def test_cache_keeps_neither_failures_nor_errors():
    cache = TileCache(1000)
    assert cache.get("a", lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 / 0)
    assert cache.get("a", lambda: np.ones(1, np.uint8)).tolist() == [1]


@pytest.mark.parametrize(
    "tables",
    [b"no stream", b"\xff\xd8\xff\xee\0\x04ab\xff\xd9", b"\xff\xd8\xff\xdb\0\x90ab\xff\xd9"],
)
def test_odd_shared_tables_are_refused(jpeg, tables):
    path = jpeg()
    content = path.read_bytes()
    (image,) = read_tiled_images(lambda at, length: content[at : at + length], len(content))
    object.__setattr__(image, "tables", tables)
    with pytest.raises(LayoutError, match="JPEG tables"):
        TileDecoder(image)
