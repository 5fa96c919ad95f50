"""The engine on a GPU: the cells of the processor, in whatever batches, threads and memory."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
import torch

from pathology.cells import CellTable, match_points
from pathology.config import load_config
from pathology.errors import ReasonCode, SlideError
from pathology.inference import Engine, TileEngine, load_model
from pathology.scoring import TILE_CLASSES
from pathology.tiling import TileBatch, map_ahead
from pathology.types import U8Array
from tests.gpu.conftest import Cut, MakeEngine, cut_windows
from tests.unit.inference.test_tile_bundle import SIDE, WHITE, random_network, tile_manifest

pytestmark = pytest.mark.gpu

#: Cells are the same within this distance of their centres, µm.
SAME_UM = 0.5
#: Windows of the picture; on a GPU all have one shape.
WINDOWS = 6


def read_all(engine: Engine, batches: Iterable[TileBatch]) -> CellTable:
    """The cells of all tiles, by tile."""
    return in_order(found for batch in batches for found in engine.read(batch))


def in_order(tables: Iterable[CellTable]) -> CellTable:
    table = CellTable.concat(list(tables))
    return table.take(np.lexsort((table.x_um, table.y_um, table.tile_id)))


def read_in_threads(
    engine: Engine, batches: list[TileBatch], *, times: int = 1
) -> Iterator[CellTable]:
    """Read the picture with two threads, anew each time, as each slide is."""
    for _ in range(times):
        found = map_ahead(engine.read, batches, threads=2, ahead=3, name="test-engine")
        yield in_order(cells for tables in found for cells in tables)


def assert_same(first: CellTable, second: CellTable) -> None:
    assert first.n == second.n > 1000
    for item in dataclasses.fields(CellTable):
        a, b = (getattr(table, item.name).astype(float) for table in (first, second))
        np.testing.assert_allclose(a, b, atol=1e-4, err_msg=item.name)


def centres(table: CellTable) -> np.ndarray:
    return np.stack([table.x_um, table.y_um], axis=1).astype(np.float64)


@pytest.fixture(scope="module")
def expected(device: str, large_picture: U8Array) -> CellTable:
    """The cells that the processor finds, in float32."""
    del device  # nothing is read where no GPU is
    engine = load_model(config=load_config(overrides=["inference.cpu_precision=fp32"]))
    assert isinstance(engine, Engine)
    return read_all(engine, cut_windows(engine, large_picture))


# bfloat16 keeps 8 bits of a number: neighbouring pixels of a flat peak become equal, and a centre
# in a few hundred lies one map pixel beside that of the others. Played on a processor, half
# precision pairs 99.95 % of the cells, and bfloat16 99.6 %.
@pytest.mark.parametrize(
    ("precision", "paired_pct", "alike_pct"),
    [("fp32", 99.9, 99.9), ("fp16", 99.9, 99.8), ("bf16", 99.0, 99.0)],
)
def test_cells_are_those_of_the_processor(
    make_engine: MakeEngine,
    large_picture: U8Array,
    expected: CellTable,
    precision: str,
    paired_pct: float,
    alike_pct: float,
) -> None:
    engine = make_engine(precision)
    found = read_all(engine, cut_windows(engine, large_picture, size=engine.batch_size))
    assert expected.n > 10_000
    pairs = match_points(centres(expected), centres(found), SAME_UM)
    paired = 100 * len(pairs) / max(expected.n, found.n)
    print(f"{precision}: {paired:.3f} % of {expected.n} cells within {SAME_UM} µm")  # noqa: T201
    assert paired >= paired_pct
    for name in ("cell_class", "intensity", "complete"):
        a, b = getattr(expected, name)[pairs[:, 0]], getattr(found, name)[pairs[:, 1]]
        print(f"{precision}: {name} the same in {100 * np.mean(a == b):.3f} %")  # noqa: T201
        assert 100 * np.mean(a == b) >= alike_pct, name
    for name, unit in (("outline_r", 1.0), ("ray_od", 1.0), ("cytoplasm_od", 0.01)):
        a = getattr(expected, name)[pairs[:, 0]].astype(float)
        b = getattr(found, name)[pairs[:, 1]].astype(float)
        assert np.abs(a - b).mean() <= 0.5 * unit, name


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_batches_and_streams_change_nothing(
    make_engine: MakeEngine, cut: Cut, precision: str
) -> None:
    engine = make_engine(precision)
    singly = cut(engine)
    one = read_all(engine, singly)
    assert_same(one, read_all(engine, singly))
    assert_same(one, read_all(engine, cut(engine, size=4)))
    times = 2 if engine.device == "cpu" else 10  # a race shows now and then only
    for table in read_in_threads(engine, singly, times=times):
        assert_same(one, table)
    assert not torch.backends.cudnn.deterministic


def test_two_engines_at_once_do_not_disturb_each_other(make_engine: MakeEngine, cut: Cut) -> None:
    engines = [make_engine("fp16"), make_engine("fp32")]
    batches = [cut(engine) for engine in engines]
    alone = [read_all(*pair) for pair in zip(engines, batches, strict=True)]

    def work(k: int) -> CellTable:
        return read_all(engines[k % 2], batches[k % 2])

    for k, table in enumerate(map_ahead(work, range(6), threads=2, ahead=2, name="test-two")):
        assert_same(alone[k % 2], table)


def memory_of(engine: Engine, batch: TileBatch, cuda: torch.device) -> int:
    """Bytes that a batch takes at most."""
    engine.read(batch)
    before = torch.cuda.memory_allocated(cuda)
    torch.cuda.reset_peak_memory_stats(cuda)
    engine.read(batch)
    return torch.cuda.max_memory_allocated(cuda) - before


def leave_memory(room: float, cuda: torch.device) -> None:
    """Let this process have so many bytes more than it uses now."""
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info(cuda)[1]
    allowed = torch.cuda.memory_allocated(cuda) + room
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), cuda)


def test_a_gpu_that_is_full_halves_the_batch(
    make_engine: MakeEngine, cut: Cut, cuda: torch.device
) -> None:
    engine = make_engine()
    (batch,) = cut(engine, size=WINDOWS)
    expected = read_all(engine, [batch])
    list(read_in_threads(engine, cut(engine), times=5))  # what CUDA's libraries keep is kept by now
    one = memory_of(engine, cut(engine)[0], cuda)
    engine._batch_size = WINDOWS
    leave_memory(2.5 * one, cuda)
    assert_same(expected, read_all(engine, [batch]))
    assert 1 <= engine.batch_size < WINDOWS
    # Two threads, and room for hardly more than one: they take turns.
    leave_memory(1.7 * one, cuda)
    (table,) = read_in_threads(engine, cut(engine))
    assert_same(expected, table)


def test_no_room_at_all_fails_the_slide_and_not_the_next(
    make_engine: MakeEngine, cut: Cut, cuda: torch.device
) -> None:
    engine = make_engine()
    batches = cut(engine)
    expected = read_all(engine, batches)
    leave_memory(0.2 * memory_of(engine, batches[0], cuda), cuda)
    with pytest.raises(SlideError, match="too little memory") as caught:
        engine.read(batches[0])
    assert caught.value.reason is ReasonCode.OUT_OF_MEMORY
    torch.cuda.set_per_process_memory_fraction(1.0, cuda)
    assert_same(expected, read_all(engine, batches))


def test_memory_does_not_grow_from_slide_to_slide(
    make_engine: MakeEngine, cut: Cut, cuda: torch.device
) -> None:
    engine = make_engine()
    batches = cut(engine, size=2)
    kept = [torch.cuda.memory_reserved(cuda) for _ in read_in_threads(engine, batches, times=12)]
    print([f"{size / 2**20:.0f} MiB" for size in kept])  # noqa: T201
    assert kept[-1] <= 1.5 * kept[2]  # with new streams for each slide: four times


def test_the_time_of_each_part_is_told(make_engine: MakeEngine, cut: Cut) -> None:
    engine = make_engine()
    batches = cut(engine)
    engine.read(batches[0])
    before, begun = engine.usage, time.perf_counter()
    for batch in batches:
        engine.read(batch)
    wall_s = time.perf_counter() - begun
    spent = engine.usage.since(before)
    assert spent.network_s > 0
    assert spent.cells_s > 0
    assert spent.transfer_s + spent.network_s + spent.cells_s <= 1.05 * wall_s
    assert (spent.transfer_s > 0) == (spent.device_bytes > 0) == (engine.device != "cpu")


@pytest.mark.parametrize("channels", ["stains", "rgb"])
def test_a_tile_classifier_calls_what_it_calls_on_the_processor(
    device: str, settings: Callable[..., object], channels: str
) -> None:
    names = {"stains": ("haematoxylin_od", "dab_od"), "rgb": ("red", "green", "blue")}[channels]
    plain = tile_manifest()
    manifest = plain.model_copy(
        update={"input": plain.input.model_copy(update={"channels": names})}
    )
    network = random_network(len(TILE_CLASSES["patterns"]), channels)
    tiles = np.random.default_rng(0).integers(60, 250, (300, SIDE, SIDE, 3), dtype=np.uint8)
    tiles = np.minimum(tiles, np.linspace(60, 250, 300).astype(np.uint8)[:, None, None, None])
    there, here = (
        TileEngine(network, manifest, settings("fp32"), device=place)  # type: ignore[arg-type]
        for place in ("cpu", device)
    )
    found, expected = [], []
    for engine, into in ((there, expected), (here, found)):
        with torch.inference_mode(), engine.numerics():
            into += engine._probabilities(tiles, WHITE)
    np.testing.assert_allclose(np.stack(found), np.stack(expected), atol=2e-3)
    agree = there.codes(tiles, WHITE) == here.codes(tiles, WHITE)
    assert agree.mean() >= 0.99
