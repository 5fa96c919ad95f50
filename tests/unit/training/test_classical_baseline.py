"""The classical baseline finds clean synthetic cells, and obeys the rules of a tile reader."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pathology.cells import CELL_CLASSES
from pathology.geometry import Box0, Spacing
from pathology.synthesis import (
    Appearance,
    Composition,
    FieldSpec,
    Morphology,
    PatternMix,
    Staining,
    render_field,
)
from pathology.tiling import TileSource, batches, lay_grid
from pathology.training.evidence.figures import figures
from pathology.training.evidence.measure import read_picture, read_rendered_field
from pathology.wsi.array import ArraySlide

SCRIPT = Path(__file__).parents[3] / "scripts" / "classical_baseline.py"
MPP = Spacing(x=0.5, y=0.5)


@pytest.fixture(scope="module")
def baseline() -> ModuleType:
    spec = importlib.util.spec_from_file_location("classical_baseline", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def clean_field() -> FieldSpec:
    return FieldSpec(
        width_px=320, height_px=320,
        composition=Composition(
            architecture="solid", tumour_share=0.6, immune_cells_per_mm2=100, vessels=0,
            immune_in_epithelium_per_mm2=0,
        ),
        morphology=Morphology(missing_nuclei=0.0, vesicular=0.2, pleomorphism=0.08),
        staining=Staining(tumour=PatternMix(unstained=0.2, complete_intense=0.8), stray=0.0),
        appearance=Appearance(noise=0.5, jpeg_quality=95, blur_um=0.35),
    )  # fmt: skip


def test_most_clean_nuclei_are_found_and_most_patterns_right(baseline: ModuleType) -> None:
    found = figures(
        [read_rendered_field(baseline.ClassicalReader(), render_field(clean_field(), 3))]
    )
    assert found["detection_f1"] > 0.85
    assert found["outline_error_um"] < 1.5
    assert found["pattern_accuracy"] > 0.7


def test_glass_holds_no_cells(baseline: ModuleType) -> None:
    rng = np.random.default_rng(0)
    glass = np.clip(rng.normal(240, 1.5, (256, 256, 3)), 0, 255).astype(np.uint8)
    found = read_picture(baseline.ClassicalReader(), glass, mpp=0.5, white=(240, 240, 240))
    assert found.n == 0


def disc(radius_um: float, at_um: tuple[float, float], size: int = 128) -> np.ndarray:
    y, x = (np.mgrid[:size, :size] + 0.5) * 0.5
    return (np.hypot(x - at_um[0], y - at_um[1]) < radius_um).astype(np.float32)


def test_a_nucleus_is_found_where_it_is(baseline: ModuleType) -> None:
    labels = baseline.find_nuclei(0.5 * disc(4.0, (30.0, 20.0)), MPP)
    shape = baseline.nucleus_shapes(labels, MPP)
    assert shape[0, :2] * 0.5 == pytest.approx([30.0, 20.0], abs=0.3)
    assert shape[0, 2] == pytest.approx(np.pi * 4.0**2, rel=0.2)
    assert shape[0, 3] == pytest.approx(1.0, abs=0.1)


def test_touching_nuclei_are_parted_and_specks_are_not_nuclei(baseline: ModuleType) -> None:
    both = np.maximum(disc(4.0, (20.0, 30.0)), disc(4.0, (27.0, 30.0)))
    assert baseline.find_nuclei(0.5 * both, MPP).max() == 2
    speck = disc(4.0, (20.0, 30.0)) + disc(0.8, (50.0, 50.0))
    assert baseline.find_nuclei(0.5 * np.minimum(speck, 1), MPP).max() == 1


def test_a_cell_grows_to_the_ridge_of_dab_or_to_its_limit(baseline: ModuleType) -> None:
    middle = (32.0, 32.0)
    nuclei = disc(3.0, middle).astype(np.int64)
    ring = np.exp(-((np.hypot(*((np.mgrid[:128, :128] + 0.5) * 0.5 - 32.0)) - 6.0) ** 2) / 0.5)
    bare = baseline.grow_cells(nuclei, np.zeros((128, 128), np.float32), MPP)
    rays = baseline.cast_label_rays(bare, np.array([[64.0, 64.0]]), np.array([1]), MPP)
    assert rays.mean() == pytest.approx(3.0 + baseline.GROWTH_UM, abs=0.4)
    # Two neighbours part at the ridge between them, not half-way.
    two = nuclei + 2 * disc(3.0, (46.0, 32.0)).astype(np.int64)
    grown = baseline.grow_cells(two, ring.astype(np.float32), MPP)
    rays = baseline.cast_label_rays(grown, np.array([[64.0, 64.0]]), np.array([1]), MPP)
    assert rays[0, 0] == pytest.approx(6.0, abs=0.6)


@pytest.mark.parametrize("radius_um", [5.0, 9.0])
def test_rays_end_where_the_label_ends(baseline: ModuleType, radius_um: float) -> None:
    labels = disc(radius_um, (32.0, 32.0)).astype(np.int64)
    rays = baseline.cast_label_rays(labels, np.array([[64.0, 64.0]]), np.array([1]), MPP)
    assert rays.shape == (1, 32)
    assert np.abs(rays - radius_um).max() < 0.4


def test_large_round_nuclei_are_tumour(baseline: ModuleType) -> None:
    # Columns: x, y, area in µm², axis ratio.
    shapes = np.array([[0, 0, 60.0, 1.2], [0, 0, 18.0, 1.2], [0, 0, 60.0, 4.0]])
    shares = baseline.class_shares(shapes)
    assert shares.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert shares.argmax(axis=1).tolist() == [
        CELL_CLASSES.index(name) for name in ("tumour", "lymphoid", "stroma")
    ]


def test_each_cell_belongs_to_one_tile(baseline: ModuleType) -> None:
    field = render_field(clean_field(), 5)
    reader, tables = baseline.ClassicalReader(), []
    box = Box0(x=0, y=0, width=320, height=320)
    grid = lay_grid(box, MPP, reader.spec, tile_px=192)
    source = TileSource(
        ArraySlide(field.rgb, mpp=0.5), grid, list(grid), workers=1, queue_tiles=1,
        want_context=False,
    )  # fmt: skip
    for batch in batches(source, 1, (240.0, 240.0, 243.0), grid):
        tables += zip(batch.tiles, reader.read(batch), strict=True)
    assert len(tables) == 4
    for tile, table in tables:
        core = tile.core
        assert ((table.x_um >= core.x * 0.5) & (table.x_um < core.right * 0.5)).all()
        assert ((table.y_um >= core.y * 0.5) & (table.y_um < core.bottom * 0.5)).all()
    whole = read_picture(reader, field.rgb, mpp=0.5, white=(240.0, 240.0, 243.0))
    # Otsu's threshold is the tile's own, so that the counts need not be equal.
    assert sum(table.n for _, table in tables) == pytest.approx(whole.n, rel=0.1)


def test_name_and_hash_change_with_the_file(baseline: ModuleType, tmp_path: Path) -> None:
    reader = baseline.ClassicalReader()
    before = reader.sha256
    assert len(before) == 64
    assert reader.device == "cpu"
    assert reader.batch_size == 1
    copy = tmp_path / "classical_baseline.py"
    copy.write_bytes(SCRIPT.read_bytes() + b"\n")
    baseline.__file__, kept = str(copy), baseline.__file__
    try:
        assert reader.sha256 != before
    finally:
        baseline.__file__ = kept


Finder = Callable[[np.ndarray, Spacing], np.ndarray]


def test_bare_stroma_is_not_cut_up(baseline: ModuleType) -> None:
    # Otsu alone would call half of the noise nuclei.
    noise = np.random.default_rng(1).normal(0.03, 0.01, (128, 128)).astype(np.float32)
    find: Finder = baseline.find_nuclei
    assert find(noise, MPP).max() == 0
