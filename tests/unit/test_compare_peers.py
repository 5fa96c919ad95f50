"""The comparison with other pipelines: what is equal, and that all can find the same cells."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openslide
import pytest
import torch
from scipy.spatial import KDTree

from pathology.geometry import Box0
from pathology.synthesis import FieldSpec, render_field, write_pyramid
from pathology.wsi import open_slide

SCRIPTS = Path(__file__).parents[2] / "scripts"
#: Of the slide: coarser than half of the model's, so that everyone has to resample it.
MPP = 0.2528


@pytest.fixture(scope="module")
def scripts() -> Iterator[SimpleNamespace]:
    sys.path.insert(0, str(SCRIPTS))
    try:
        import peer_loader
        import peer_segmentor
        import peer_work

        yield SimpleNamespace(work=peer_work, loader=peer_loader, segmentor=peer_segmentor)
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def works(scripts: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A slide and its copy at the model's pixel size, with our engine."""
    folder = tmp_path_factory.mktemp("peers")
    field = render_field(FieldSpec(width_px=1800, height_px=1600, mpp=MPP), seed=1)
    glass = np.full((2600, 3000, 3), np.array(field.white).round(), np.uint8)
    glass[400:2000, 500:2300] = field.rgb
    write_pyramid(folder / "slide.tif", glass, mpp=MPP, levels=3)
    args = argparse.Namespace(device="cpu", precision="fp32", set=[])
    config, engine = scripts.work.load_engine(args)
    given = scripts.work.prepare(folder / "slide.tif", config, engine)
    scripts.work.copy_at_model_spacing(given, folder / "copy.tif")
    copy = scripts.work.prepare(folder / "copy.tif", config, engine)
    return SimpleNamespace(given=given, copy=copy, engine=engine)


def test_cells_are_equal_within_half_a_micrometre(scripts: SimpleNamespace) -> None:
    first = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [30.0, 0.0]])
    moved = first + np.array([[0.0, 0.0], [0.4, 0.0], [0.0, 0.6], [0.0, 0.0]])
    assert scripts.work.agreement(first, moved) == 75.0
    assert scripts.work.agreement(first, first[:3]) == 75.0
    assert scripts.work.agreement(first[:3], first) == 75.0
    assert scripts.work.agreement(first, np.empty((0, 2))) == 0.0


def test_nobody_resamples_the_copy(works: SimpleNamespace) -> None:
    assert works.given.grid.block_x == 127  # not a whole number of pixels per model pixel
    grid = works.copy.grid
    assert (grid.block_x, grid.block_y) == (64, 64)
    assert grid.mpp.x == pytest.approx(works.given.grid.mpp.x, rel=1e-6)
    with open_slide(works.given.path) as given, open_slide(works.copy.path) as copy:
        whole = Box0(x=127 * 6, y=127 * 5, width=127 * 8, height=127 * 8)
        seen = given.read(whole, mpp=works.given.grid.mpp)
        kept = copy.read(Box0(x=64 * 6, y=64 * 5, width=512, height=512), mpp=grid.mpp)
    assert seen.shape == kept.shape
    # What lies between is one JPEG compression; a shift by one pixel costs several times as much.
    between = np.abs(seen.astype(int) - kept).mean()
    assert 3 * between < np.abs(seen[1:].astype(int) - kept[:-1]).mean()


def segment(scripts: SimpleNamespace, work: SimpleNamespace, model: torch.nn.Module) -> np.ndarray:
    """Run patch by patch as tiatoolbox does, and merge what the network gives; no tiatoolbox."""
    core, halo = scripts.segmentor.TIA_CORE_PX, scripts.segmentor.TIA_HALO_PX
    picture = scripts.segmentor.traced(model, 1)
    slide = openslide.OpenSlide(str(work.path))
    width, height = slide.dimensions
    canvas = np.zeros((-(-height // core) * core, -(-width // core) * core), np.float32)
    for y in range(0, height, core):
        for x in range(0, width, core):
            seen = slide.read_region((x - halo, y - halo), 0, (core + 2 * halo,) * 2)
            pixels = np.array(seen)
            pixels[pixels[..., 3] == 0] = 255
            with torch.inference_mode():
                found = picture(torch.from_numpy(pixels[None, ..., :3].copy()))
            assert found.shape == (1, core, core, 1)
            canvas[y : y + core, x : x + core] = found[0, ..., 0].numpy()
    return canvas[:height, :width]


# torch.jit is deprecated; it is what runs in another environment without our code.
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_all_pipelines_find_the_same_cells_where_nobody_resamples(
    scripts: SimpleNamespace, works: SimpleNamespace
) -> None:
    work = works.copy
    _, ours = scripts.work.run_ours(work, works.engine)
    model = scripts.loader.PlainModel(work, dtype=torch.float32, channels_last=False)
    _, cells = scripts.loader.run_loader(work, model, batch=1, workers=0)
    assert len(ours) > 100
    assert scripts.work.agreement(ours, cells) > 99.9
    merged = scripts.segmentor.centres_of_canvas(work, segment(scripts, work, model))
    assert scripts.work.agreement(ours, merged) > 99.9
    assert KDTree(ours).query(merged)[0].max() < 0.05  # the offsets are in their places


def test_pixels_of_another_level_are_told(scripts: SimpleNamespace, works: SimpleNamespace) -> None:
    work = works.copy
    bounds = np.array([[0, 0, 512, 512], [128, 64, 640, 576]])
    with open_slide(work.path) as slide:
        same = np.stack([
            slide.read(Box0(x=x, y=y, width=512, height=512), mpp=work.grid.mpp)
            for x, y, _, _ in bounds.tolist()
        ])  # fmt: skip
    assert scripts.segmentor.pixels_differ(work, same, bounds) == 0
    assert scripts.segmentor.pixels_differ(work, same ^ 1, bounds) == pytest.approx(1)
    assert scripts.segmentor.pixels_differ(work, same, bounds[::-1]) > 1
