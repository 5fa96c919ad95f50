"""What both kinds of engine share: device, precision, threads, and batches that fit into memory."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from pathology.config import Config
from pathology.errors import ReasonCode, SlideError
from pathology.geometry import Box0, Spacing
from pathology.inference.clock import EngineClock
from pathology.inference.manifest import AnyManifest
from pathology.inference.memory import keep_freed_memory
from pathology.tiling.batch import TileBatch
from pathology.tiling.grid import InputSpec, lay_grid
from pathology.tiling.windows import SINGLE_TILES, TileWindow, WindowPlan, join_tiles
from pathology.timing import ReaderUsage
from pathology.types import U8Array

__all__ = ["BatchEngine"]

#: Share of the free GPU memory that batches may fill; the rest is for other processes, the cells'
#: own arrays, and fragmentation.
_CUDA_MEMORY_SHARE = 0.6
#: Batches at once on a GPU, each on a CUDA stream of its own: while one is computed, the pixels of
#: the next are copied and the cells of the last are put into tables.
_CUDA_STREAMS = 2
#: How CUDA and its libraries say that memory ran out, where torch's allocator does not say it: for
#: pinned memory, and for what cuDNN and cuBLAS take for themselves.
_NO_MEMORY = (
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
#: Streams that nobody works on, by device. torch has 32, hands out another one at each call, and
#: keeps the freed memory of each for that one alone: threads that come and go with every slide must
#: take turns on the same few, or a GPU fills up with the memory of all 32.
_IDLE_STREAMS: dict[torch.device, list[torch.cuda.Stream]] = {}
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

Found = TypeVar("Found")
Manifest = TypeVar("Manifest", bound=AnyManifest)


class BatchEngine(ABC, Generic[Manifest, Found]):
    """Work on tiles in batches that fit into the device's memory.

    Parameters
    ----------
    manifest
        The manifest of the model's bundle.
    config
        Configuration: threads, precision, batch and tile size.
    device
        ``cpu`` or ``cuda:N``.
    """

    #: More tiles at once make no GPU faster.
    max_cuda_tiles = 32

    def __init__(self, manifest: Manifest, config: Config, *, device: str) -> None:
        self._manifest = manifest
        self._config = config
        self._device = torch.device(device)
        self._spec = manifest.input.spec
        settings = config.inference
        precision = settings.cpu_precision if self._on_cpu else settings.cuda_precision
        self._dtype = _DTYPES[precision]
        self._batch_size = settings.cpu_batch
        self._clock = EngineClock(self._device)
        self._users, self._users_changed = 0, threading.Condition()
        self._after_last = ExitStack()
        if self._on_cpu:
            keep_freed_memory()

    @property
    def name(self) -> str:
        """Name and version of the model."""
        return self._manifest.title

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the weights."""
        return self._manifest.weights_sha256

    @property
    def device(self) -> str:
        """Device that the work is done on."""
        return str(self._device)

    @property
    def spec(self) -> InputSpec:
        """What the network wants to see."""
        return self._spec

    @property
    def batch_size(self) -> int:
        """Windows taken at once; on CUDA it shrinks when memory runs out."""
        return self._batch_size

    @property
    def windows(self) -> WindowPlan:
        """How tiles are joined into windows."""
        return SINGLE_TILES

    @property
    def streams(self) -> int:
        """Batches that may be worked on at the same time, each in a thread of its own."""
        return self._config.inference.cpu_threads if self._on_cpu else _CUDA_STREAMS

    @property
    def usage(self) -> ReaderUsage:
        """What was spent since the model was loaded; see :class:`EngineClock`."""
        return self._clock.usage

    @property
    def manifest(self) -> Manifest:
        """Manifest of the model."""
        return self._manifest

    @abstractmethod
    def _read_part(self, batch: TileBatch) -> list[Found]:
        """Work on as many windows as fit into memory; one answer for each of their tiles."""

    def _read_all(self, batch: TileBatch) -> list[Found]:
        """Return one answer for each tile of the batch.

        Raises
        ------
        ValueError
            If the batch was not cut for this engine.
        SlideError
            If the GPU has too little memory for one tile.
        """
        if batch.grid.spec != self._spec:
            raise ValueError(f"the batch was not cut for {self.name}")
        found: list[Found] = []
        done, images = 0, len(batch.detail)
        while done < images:
            part = batch.part(done, done + self._batch_size) if images > 1 else batch
            answers = self._try_part(part)
            if answers is None and len(part.detail) == 1:
                answers = self._try_alone(part)
            if answers is None:
                self._shrink(len(part.detail))
            else:
                found += answers
                done += len(part.detail)
        return found

    def _try_part(self, batch: TileBatch) -> list[Found] | None:
        """Return the answers, or None where the GPU's memory did not suffice."""
        try:
            with torch.inference_mode(), self.numerics():
                answers = self._read_part(batch)
                self._clock.settle()
                return answers
        except RuntimeError as error:
            if not _ran_out_of_memory(error):
                raise
            return None

    def _try_alone(self, batch: TileBatch) -> list[Found] | None:
        """Try again while no other thread holds memory, and keep the others waiting meanwhile."""
        with self._users_changed:
            self._users_changed.wait_for(lambda: self._users == 0)
            torch.cuda.empty_cache()
            return self._try_part(batch)

    def _shrink(self, windows: int) -> None:
        """Halve the batch; called outside the handler, when the failed attempt's memory is free."""
        torch.cuda.empty_cache()
        if windows == 1:
            raise SlideError(
                f"{self.device}: too little memory for one tile",
                reason=ReasonCode.OUT_OF_MEMORY,
                fix="Use a smaller tiling.window_px and tiling.tile_px, end other programs on the "
                "GPU, or --device cpu.",
            )
        # Another thread may have halved it further in the meantime.
        self._batch_size = max(1, min(self._batch_size, windows // 2))

    def _not_finite(self) -> SlideError:
        return SlideError(
            f"{self.name}: the output is not finite",
            reason=ReasonCode.INTERNAL_ERROR,
            fix="Try fp32 (--set inference.cuda_precision=fp32).",
        )

    @property
    def _on_cpu(self) -> bool:
        return self._device.type == "cpu"

    @property
    def _autocast(self) -> AbstractContextManager[object]:
        """Half precision on CUDA; on the CPU whole modules are converted instead."""
        enabled = self._device.type == "cuda" and self._dtype != torch.float32
        # Casts of weights are not kept: torch would share them between threads, and so between
        # streams that do not wait for each other. A window needs each of them once.
        context: AbstractContextManager[object] = torch.autocast(
            self._device.type, dtype=self._dtype, enabled=enabled, cache_enabled=False
        )
        return context

    def _as_input(self, values: Tensor) -> Tensor:
        dtype = self._dtype if self._on_cpu else torch.float32
        return values.to(dtype).contiguous(memory_format=torch.channels_last)

    def _to_device(self, pixels: U8Array) -> Tensor:
        if self._on_cpu:
            return torch.from_numpy(np.require(pixels, requirements="W"))
        with self._clock.timed("transfer"):
            pinned = torch.from_numpy(np.require(pixels, requirements="W")).pin_memory()
            return pinned.to(self._device, non_blocking=True)

    @contextmanager
    def numerics(self) -> Iterator[None]:
        """Work with one thread on the CPU; on CUDA, repeatably, and on a stream of this thread."""
        # Settings belong to the process: the first thread makes them, the last one undoes them.
        with self._users_changed:
            self._users += 1
            if self._users == 1:
                self._after_last.enter_context(self._settings())
        try:
            with self._own_settings():
                yield
        finally:
            with self._users_changed:
                self._users -= 1
                if self._users == 0:
                    self._after_last.close()
                    self._users_changed.notify_all()

    def _settings(self) -> AbstractContextManager[object]:
        """Return the settings while any thread is at work."""
        if self._on_cpu:
            return _threads_put_back()
        tf32 = self._dtype != torch.float32
        flags: AbstractContextManager[object] = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32
        )
        return flags

    def _own_settings(self) -> AbstractContextManager[object]:
        """Return the settings of this thread alone."""
        if not self._on_cpu:
            return _idle_stream(self._device)
        # Several windows at once keep all cores busy, without waiting for each other at every
        # layer; and a window's result cannot depend on the number of threads.
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        return nullcontext()

    def _size_batch(self) -> None:
        """Set the batch size; on CUDA to as many windows as the free memory holds."""
        if self._on_cpu:
            return
        torch.cuda.synchronize(self._device)  # other streams may use the weights from here on
        self._batch_size = self._cuda_batch_size()

    def _cuda_batch_size(self) -> int:
        """Run one empty window, and see how many such windows the free memory holds."""
        batch = _empty_batch(self._spec, self._config.tiling.tile_px, self.windows)
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        if self._try_part(batch) is None:
            self._shrink(1)
        used = max(1, torch.cuda.max_memory_allocated(self._device) - before)
        free, _ = torch.cuda.mem_get_info(self._device)
        # What torch keeps and nothing uses is free for us too.
        free += torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        most = max(1, self.max_cuda_tiles // self.windows.side**2)
        return max(1, min(most, int(_CUDA_MEMORY_SHARE * free / (used * self.streams))))


def _ran_out_of_memory(error: RuntimeError) -> bool:
    known = isinstance(error, torch.OutOfMemoryError)
    return known or any(words in str(error) for words in _NO_MEMORY)


@contextmanager
def _idle_stream(device: torch.device) -> Iterator[None]:
    """Work on a stream of this device that no other thread works on."""
    idle = _IDLE_STREAMS.setdefault(device, [])
    try:
        stream = idle.pop()
    except IndexError:
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        idle.append(stream)


@contextmanager
def _threads_put_back() -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _empty_batch(spec: InputSpec, tile_px: int, plan: WindowPlan) -> TileBatch:
    """Return one window of glass."""
    grid = lay_grid(
        Box0(x=0, y=0, width=1, height=1), Spacing(x=spec.mpp, y=spec.mpp), spec, tile_px=tile_px
    )
    side = grid.tile_px * plan.side
    detail = side + 2 * spec.halo_px
    context = side // spec.context_factor + 2 * spec.context_halo_px
    windows = join_tiles(grid, list(grid), plan)
    return TileBatch(
        grid=grid,
        tiles=windows[0].tiles,
        windows=() if windows[0] == TileWindow.of(windows[0].tiles[0]) else tuple(windows),
        detail=np.full((1, detail, detail, 3), 255, dtype=np.uint8),
        context=np.full((1, context, context, 3), 255, dtype=np.uint8)
        if spec.context_halo_px
        else None,
        white=(255.0, 255.0, 255.0),
    )
