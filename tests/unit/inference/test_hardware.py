"""What engines do on a GPU, played on the processor: streams, memory that runs out, devices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pathology.cells import CellTable
from pathology.config import load_config
from pathology.errors import SlideError
from pathology.inference import Engine, ModelManifest, hardware, load_bundle, ops
from pathology.tiling import TileBatch, map_ahead
from tests.played_gpu import CUDA, half_precision, move_to_cuda, played_gpu


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Stand-ins for CUDA's streams; holds those that were made, and for each who is at work."""
    made: list[list[int]] = []

    def make(device: torch.device) -> list[int]:
        assert device == CUDA
        made.append([])
        return made[-1]

    @contextmanager
    def use(stream: list[int]) -> Iterator[None]:
        stream.append(threading.get_ident())
        assert len(stream) == 1, "two threads on one stream"
        try:
            yield
        finally:
            stream.clear()

    monkeypatch.setattr(torch.cuda, "Stream", make)
    monkeypatch.setattr(torch.cuda, "stream", use)
    monkeypatch.setattr(hardware, "_IDLE_STREAMS", {})
    return made


def test_threads_of_every_slide_take_turns_on_the_same_streams(streams: list[list[int]]) -> None:
    meet = threading.Barrier(2)

    def work(_: int) -> None:
        with hardware._idle_stream(CUDA):
            meet.wait(10)

    for _ in range(20):  # slides: each has threads of its own
        assert len(list(map_ahead(work, range(4), threads=2, ahead=3, name="test"))) == 4
    assert len(streams) == 2


def test_a_stream_is_free_again_after_an_error(streams: list[list[int]]) -> None:
    for _ in range(3):
        with pytest.raises(KeyError), hardware._idle_stream(CUDA):
            raise KeyError
    assert len(streams) == 1


@pytest.fixture
def engine(manifest: ModelManifest, blur_net: Callable[..., nn.Module]) -> Engine:
    settings = ["inference.cpu_threads=2", "tiling.tile_px=128"]
    return Engine(blur_net(), manifest, load_config(overrides=settings))


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_memory_that_ran_out_is_known_from_a_defect(
    engine: Engine,
    make_field: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    error: RuntimeError,
    known: bool,
) -> None:
    def fail(_: TileBatch) -> list[CellTable]:
        raise error

    monkeypatch.setattr(engine, "_read_part", fail)
    field = make_field(128)
    grid = field.grid(128)
    with pytest.raises(SlideError if known else type(error)) as caught:
        engine.read(field.batch(grid, list(grid)))
    assert ("too little memory" in str(caught.value)) == known


def test_a_window_that_finds_no_memory_beside_another_is_read_alone(
    engine: Engine, make_field: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    field = make_field(256, noise=12)
    grid = field.grid(128)
    batches = [field.batch(grid, [tile]) for tile in grid]
    expected = [engine.read(batch)[0].n for batch in batches]
    plain, lock, at_work, most = engine._read_part, threading.Lock(), [0], [0]
    meet = threading.Barrier(2)

    def narrow(part: TileBatch) -> list[CellTable]:
        with lock:
            at_work[0] += 1
            beside = at_work[0] > 1
        try:
            if most[0] == 0:  # the first two are at work together
                meet.wait(10)
                most[0] = 1
            if beside:
                raise torch.OutOfMemoryError("no room for two")
            return plain(part)
        finally:
            with lock:
                at_work[0] -= 1

    monkeypatch.setattr(engine, "_read_part", narrow)
    found = map_ahead(engine.read, batches, threads=2, ahead=3, name="test-engine")
    assert [tables[0].n for tables in found] == expected
    assert engine._users == 0


def test_casts_of_weights_are_not_shared_by_threads(engine: Engine) -> None:
    kept: list[bool] = []

    class Network(nn.Module):
        def forward(self, *_: Tensor) -> None:
            kept.append(torch.is_autocast_cache_enabled())

    engine._dense = Network()
    engine.run_dense(torch.zeros(1), torch.zeros(1))
    assert kept == [False]
    assert torch.is_autocast_cache_enabled()


def test_no_tensor_of_the_host_meets_one_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation of a window, with tensors that have a device, a type and a shape only.

    torch refuses two devices in one operation here as it does on a GPU, without having one.
    """
    bundle = load_bundle()
    engine = Engine(bundle.network, bundle.manifest, load_config())  # type: ignore[arg-type]
    monkeypatch.setattr(Engine, "_autocast", property(lambda _: half_precision()))
    cells = 50
    with played_gpu(), torch.no_grad():
        engine._device = CUDA
        engine._dense = engine._network
        move_to_cuda(engine._network)
        batch = hardware._empty_batch(engine.spec, 512, engine.windows)
        monkeypatch.setattr(engine._clock, "timed", lambda _: nullcontext())
        monkeypatch.setattr(Tensor, "pin_memory", lambda values: values)
        densities, maps = engine._run(batch, batch.context)  # type: ignore[arg-type]
        assert maps.centre.dtype == maps.fine.dtype == torch.float16
        assert densities.dtype == torch.float32
        peaks = torch.zeros((cells, 3), dtype=torch.int64, device=CUDA)
        monkeypatch.setattr(torch, "nonzero", lambda _: peaks)
        ops.find_peaks(
            maps.centre[:, 0].float(), minimum=0.0, radius_px=(3.0, 3.0),
            core=(slice(32, 544), slice(32, 544)),
        )  # fmt: skip
        heads = engine._heads(maps, peaks)
        measured = ops.measure_cells(
            densities[:, 1].contiguous(),
            peaks[:, 0],
            engine._centres_px(peaks, heads.offset_um, batch.grid.mpp),
            ops.quantise_radii(heads.rays_um),
            mpp=batch.grid.mpp,
            config=load_config().measurement,
        )
        found = (engine._owners(batch), heads.class_logits, *measured)
    assert {values.device for values in found} == {CUDA}
    drawn = (heads.rays_um, *heads.early_rays_um, heads.offset_um, heads.class_logits)
    assert {values.device for values in drawn} == {CUDA}
    assert {values.dtype for values in drawn} == {torch.float32}
