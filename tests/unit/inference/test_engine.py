"""The engine: same cells as the reference, whatever the tiles, batches and memory."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pathology.cells import CellTable, TileReader, measure_cells
from pathology.config import Config, load_config
from pathology.errors import ReasonCode, SlideError
from pathology.geometry import Spacing
from pathology.inference import Engine, ModelManifest
from pathology.inference.engine import fuse_batch_norm
from pathology.nn.cellnet import CellPlaces
from pathology.nn.registry import build_network
from pathology.stain import StainMatrix, optical_density
from pathology.tiling import InputSpec, TileBatch

MakeField = Callable[..., Any]
#: Columns that do not name the tile.
VALUES = [item.name for item in dataclasses.fields(CellTable) if item.name != "tile_id"]


def settings(*overrides: str) -> Config:
    return load_config(overrides=["inference.cpu_threads=1", "tiling.tile_px=256", *overrides])


def random_network(manifest: ModelManifest, seed: int = 0) -> nn.Module:
    """A network with random weights and normalisations, whose centre logits spread around 0."""
    torch.manual_seed(seed)
    network = build_network(manifest.network.name, **manifest.network.args).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias, 0.0, 0.3)
            nn.init.normal_(module.running_mean, 0.0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network


def read_all(engine: Engine, field: Any, tile_px: int, *, size: int = 1) -> CellTable:
    """All cells of a field, by row and column."""
    grid = field.grid(tile_px)
    tiles = list(grid)
    tables: list[CellTable] = []
    for start in range(0, len(tiles), size):
        tables += engine.read(field.batch(grid, tiles[start : start + size]))
    table = CellTable.concat(tables)
    return table.take(np.lexsort((table.x_um, table.y_um)))


def assert_same_cells(first: CellTable, second: CellTable) -> None:
    assert first.n == second.n > 0
    for name in VALUES:
        a, b = (getattr(table, name).astype(float) for table in (first, second))
        np.testing.assert_allclose(a, b, atol=1e-4, err_msg=name)


@pytest.fixture
def engine(blur_net: Callable[..., nn.Module], manifest: ModelManifest) -> Engine:
    return Engine(blur_net(), manifest, settings())


def test_is_a_tile_reader(engine: Engine, manifest: ModelManifest, spec: InputSpec) -> None:
    reader: TileReader = engine
    assert (reader.name, reader.device, reader.batch_size) == ("tiny/0.0.1", "cpu", 1)
    assert (reader.spec, reader.sha256) == (spec, manifest.weights_sha256)
    assert engine.manifest is manifest


def test_finds_the_cells_that_were_drawn(engine: Engine, make_field: MakeField) -> None:
    field = make_field(256, od=0.5)
    table = read_all(engine, field, 256)
    # The lattice has a pitch of 14 µm; the core spans 128 to 256 µm.
    expected = [14 * (index + 0.5) for index in range(30) if 128 <= 14 * (index + 0.5) < 256]
    assert table.n == len(expected) ** 2
    truth = np.array([(x, y) for y in expected for x in expected])
    found = np.stack([table.x_um, table.y_um], axis=1)
    distance = np.sqrt(((truth[:, None] - found) ** 2).sum(axis=2)).min(axis=1)
    assert distance.max() < 1.0
    assert (table.cell_class == 0).all()
    assert table.membrane_completeness.min() == 1.0
    assert table.membrane_od.mean() == pytest.approx(0.46, abs=0.03)
    assert set(table.pattern) == {3}


def test_unstained_cells_are_unstained(engine: Engine, make_field: MakeField) -> None:
    table = read_all(engine, make_field(256, od=0.0), 256)
    assert table.n > 50
    assert set(table.pattern) == {0}


def test_measures_as_the_reference_does(engine: Engine, make_field: MakeField) -> None:
    field = make_field(256, od=0.4, noise=10)
    grid = field.grid(256)
    batch = field.batch(grid, [grid.tile(col=0, row=0)])
    table = engine.read(batch)[0]
    stain = load_config().stain
    density = StainMatrix(haematoxylin=stain.haematoxylin, dab=stain.dab).unmix(
        optical_density(batch.detail[0], batch.white)
    )
    window = grid.detail_window(batch.tiles[0])
    centres = np.stack([table.x_um, table.y_um], axis=1) / 0.5 - [window.x, window.y]
    expected = measure_cells(
        np.ascontiguousarray(density[..., 1]),
        centres,
        table.outline_r * 0.2,
        mpp=Spacing(x=0.5, y=0.5),
        config=load_config().measurement,
    )
    np.testing.assert_array_equal(table.outline_r, expected.outline_r)
    assert np.abs(table.ray_od.astype(int) - expected.ray_od).max() <= 1
    np.testing.assert_allclose(table.cytoplasm_od, expected.cytoplasm_od, atol=0.0011)


@pytest.mark.parametrize("tile_px", [128, 256])
def test_stitched_equals_whole(
    manifest: ModelManifest, make_field: MakeField, tile_px: int
) -> None:
    field = make_field(512, od=0.4, noise=12)
    engine = Engine(random_network(manifest), manifest, settings("cells.peak_min=0.0"))
    whole = read_all(engine, field, 512)
    assert whole.n > 500
    assert_same_cells(read_all(engine, field, tile_px), whole)


def test_a_network_that_looks_across_the_window_would_be_noticed(
    manifest: ModelManifest, make_field: MakeField, blur_net: Callable[..., nn.Module]
) -> None:
    class Nosy(blur_net):  # type: ignore[misc, valid-type]
        def forward(self, detail: Tensor, context: Tensor) -> Any:
            maps = super().forward(detail, context)
            return maps._replace(features=maps.features - maps.features.mean())

    field = make_field(256, od=0.4, noise=12)
    engine = Engine(Nosy(), manifest, settings())
    with pytest.raises(AssertionError):
        assert_same_cells(read_all(engine, field, 128), read_all(engine, field, 256))


@pytest.mark.parametrize("phase_um", [3.5, 4.0, 4.5])
@pytest.mark.parametrize("offset_um", [-0.9, 0.9])
def test_no_cell_is_lost_or_doubled_at_a_border(
    manifest: ModelManifest,
    make_field: MakeField,
    blur_net: Callable[..., nn.Module],
    offset_um: float,
    phase_um: float,
) -> None:
    # Cells 8 µm apart and borders 32 µm apart: every fourth column of cells lies on a border.
    field = make_field(256, od=0.3, pitch_um=8.0, phase_um=phase_um)
    engine = Engine(blur_net(offset_um), manifest, settings())
    whole, tiled = read_all(engine, field, 256), read_all(engine, field, 64)
    on_border = np.abs(whole.x_um / 32 - np.round(whole.x_um / 32)) * 32 < 2
    assert (whole.n, on_border.sum()) == (16 * 16, 4 * 16)
    assert_same_cells(whole, tiled)


def test_a_batch_gives_what_single_tiles_give(
    manifest: ModelManifest, make_field: MakeField
) -> None:
    field = make_field(512, od=0.4, noise=12)
    config = settings("cells.peak_min=0.0", "inference.cpu_batch=3")
    engine = Engine(random_network(manifest), manifest, config)
    single, together = read_all(engine, field, 256), read_all(engine, field, 256, size=4)
    assert_same_cells(single, together)
    grid = field.grid(256)
    tables = engine.read(field.batch(grid, list(grid)))
    assert [set(table.tile_id) for table in tables] == [{0}, {1}, {2}, {3}]


def test_cells_come_in_reading_order(engine: Engine, make_field: MakeField) -> None:
    field = make_field(256, noise=20)
    grid = field.grid(128)
    for table in engine.read(field.batch(grid, [grid.tile(col=1, row=1)])):
        order = np.lexsort((table.x_um, table.y_um))
        np.testing.assert_array_equal(order, np.arange(table.n))
        assert table.n > 0


def test_no_cells(engine: Engine, make_field: MakeField) -> None:
    field = make_field(256)
    field.detail[:] = 243
    field.context[:] = 243
    assert [table.n for table in engine.read(field.batch(field.grid(256), [*field.grid(256)]))] == [
        0
    ]


def test_bfloat16_finds_the_same_cells(
    manifest: ModelManifest, make_field: MakeField, blur_net: Callable[..., nn.Module]
) -> None:
    field = make_field(256, od=0.5)
    exact = read_all(Engine(blur_net(), manifest, settings()), field, 256)
    config = settings("inference.cpu_precision=bf16")
    rough = read_all(Engine(blur_net(), manifest, config), field, 256)
    assert rough.n == exact.n
    np.testing.assert_allclose(rough.x_um, exact.x_um, atol=1.1)
    np.testing.assert_array_equal(rough.pattern, exact.pattern)


def test_long_rays_end_in_the_halo(
    manifest: ModelManifest, make_field: MakeField, blur_net: Callable[..., nn.Module]
) -> None:
    class Long(blur_net):  # type: ignore[misc, valid-type]
        def describe(self, maps: Any, places: CellPlaces) -> Any:
            found = super().describe(maps, places)
            return found._replace(rays_um=torch.full((len(places.row), 32), 45.0))

    field = make_field(256, od=0.4, noise=12)
    engine = Engine(Long(), manifest, settings())
    assert_same_cells(read_all(engine, field, 128), read_all(engine, field, 256))


def test_out_of_memory_halves_the_batch(
    manifest: ModelManifest, make_field: MakeField, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = make_field(512, noise=12)
    config = settings("cells.peak_min=0.0", "inference.cpu_batch=4")
    engine = Engine(random_network(manifest), manifest, config)
    grid = field.grid(256)
    batch = field.batch(grid, list(grid))
    expected = engine.read(batch)
    seen: list[int] = []
    plain = engine._read_part

    def narrow(part: TileBatch) -> list[CellTable]:
        seen.append(len(part.tiles))
        if len(part.tiles) > 1:
            raise torch.OutOfMemoryError("narrow")
        return plain(part)

    monkeypatch.setattr(engine, "_read_part", narrow)
    found = engine.read(batch)
    assert seen == [4, 2, 1, 1, 1, 1]
    assert engine.batch_size == 1
    assert_same_cells(CellTable.concat(found), CellTable.concat(expected))


def test_no_memory_for_one_tile_fails_the_slide(
    engine: Engine, make_field: MakeField, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(part: TileBatch) -> list[CellTable]:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(engine, "_read_part", full)
    field = make_field(256)
    with pytest.raises(SlideError, match="too little memory") as caught:
        read_all(engine, field, 256)
    assert caught.value.reason is ReasonCode.OUT_OF_MEMORY


def test_an_output_that_is_not_finite_is_no_slide_without_cells(
    manifest: ModelManifest, make_field: MakeField, blur_net: Callable[..., nn.Module]
) -> None:
    network = blur_net()
    with torch.no_grad():
        network.kernel.fill_(torch.nan)
    with pytest.raises(SlideError, match="not finite"):
        read_all(Engine(network, manifest, settings()), make_field(256), 256)


def test_batches_cut_for_another_reader_are_refused(engine: Engine, make_field: MakeField) -> None:
    field = make_field(256)
    grid = field.grid(256)
    batch = field.batch(grid, [grid.tile(col=0, row=0)])
    with pytest.raises(ValueError, match="no context"):
        engine.read(dataclasses.replace(batch, context=None))
    other = InputSpec(mpp=0.25, halo_px=64, context_factor=4, context_halo_px=64)
    with pytest.raises(ValueError, match="not cut for tiny"):
        engine.read(dataclasses.replace(batch, grid=dataclasses.replace(grid, spec=other)))


def test_every_window_is_worked_on_by_one_thread(
    manifest: ModelManifest, make_field: MakeField, blur_net: Callable[..., nn.Module]
) -> None:
    before, seen = torch.get_num_threads(), []
    engine = Engine(blur_net(), manifest, load_config(overrides=["inference.cpu_threads=3"]))
    assert engine.streams == 3
    try:
        torch.set_num_threads(2)
        with engine.numerics(), engine.numerics():
            seen.append(torch.get_num_threads())
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_the_network_itself_is_left_alone(manifest: ModelManifest) -> None:
    network = random_network(manifest).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Engine(network, manifest, settings("inference.cpu_precision=bf16"))
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_fusing_changes_nothing_but_the_speed(manifest: ModelManifest) -> None:
    network = random_network(manifest)
    fused = fuse_batch_norm(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    detail, context = torch.rand(1, 2, 64, 64), torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        plain, quick = network(detail, context), fused(detail, context)
    pairs = [(plain.centre, quick.centre), (plain.fine, quick.fine)]
    for name in ("outline", "context"):
        pairs += zip(getattr(plain, name), getattr(quick, name), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-4, rtol=1e-4)


MEMORY = """
import resource
import numpy as np, torch
from pathology.config import load_config
from pathology.geometry import Box0, Spacing
from pathology.inference import Engine, ModelManifest
from pathology.nn.registry import build_network
from pathology.tiling import TileBatch, lay_grid
manifest = ModelManifest.model_validate_json({manifest!r})
engine = Engine(build_network("cellnet"), manifest, load_config(
    overrides=["cells.peak_min=0.0", "inference.cpu_threads=1"]))
grid = lay_grid(Box0(x=0, y=0, width=1024, height=1024), Spacing(x=0.5, y=0.5), engine.spec,
                tile_px=1024)
rng = np.random.default_rng(0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tables = engine.read(TileBatch(
    grid=grid, tiles=(grid.tile(col=0, row=0),), white=(243.0, 243.0, 243.0),
    detail=rng.integers(0, 256, (1, 1152, 1152, 3), dtype=np.uint8),
    context=rng.integers(0, 256, (1, 384, 384, 3), dtype=np.uint8)))
assert tables[0].n > 5000, tables[0].n
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_one_large_tile_needs_little_memory(manifest: ModelManifest) -> None:
    full = manifest.model_copy(update={"network": manifest.network.model_copy(update={"args": {}})})
    code = MEMORY.format(manifest=full.model_dump_json())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500_000  # KiB, with ten thousand cells
