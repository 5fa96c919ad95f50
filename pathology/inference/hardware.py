"""What both kinds of engine share: device, precision, threads, and batches that fit into memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from pathology.config import Config
from pathology.errors import ReasonCode, SlideError
from pathology.geometry import Box0, Spacing
from pathology.inference.manifest import AnyManifest
from pathology.tiling.batch import TileBatch
from pathology.tiling.grid import InputSpec, lay_grid
from pathology.types import U8Array

__all__ = ["BatchEngine"]

#: Share of the free GPU memory that batches may fill; the rest is for other processes, the cells'
#: own arrays, and fragmentation.
_CUDA_MEMORY_SHARE = 0.6
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
    max_cuda_batch = 32

    def __init__(self, manifest: Manifest, config: Config, *, device: str) -> None:
        self._manifest = manifest
        self._config = config
        self._device = torch.device(device)
        self._spec = manifest.input.spec
        settings = config.inference
        precision = settings.cpu_precision if self._on_cpu else settings.cuda_precision
        self._dtype = _DTYPES[precision]
        self._batch_size = settings.cpu_batch

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
        """Tiles taken at once; on CUDA it shrinks when memory runs out."""
        return self._batch_size

    @property
    def manifest(self) -> Manifest:
        """Manifest of the model."""
        return self._manifest

    @abstractmethod
    def _read_part(self, batch: TileBatch) -> list[Found]:
        """Work on as many tiles as fit into memory; one answer for each."""

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
        while len(found) < len(batch.tiles):
            part = _part(batch, len(found), len(found) + self._batch_size)
            answers = self._try_part(part)
            if answers is None:
                self._shrink(len(part.tiles))
            else:
                found += answers
        return found

    def _try_part(self, batch: TileBatch) -> list[Found] | None:
        """Return the answers, or None where the GPU's memory did not suffice."""
        try:
            with torch.inference_mode(), self._numerics():
                return self._read_part(batch)
        except torch.OutOfMemoryError:
            return None

    def _shrink(self, tiles: int) -> None:
        """Halve the batch; called outside the handler, when the failed attempt's memory is free."""
        torch.cuda.empty_cache()
        if tiles == 1:
            raise SlideError(
                f"{self.device}: too little memory for one tile",
                reason=ReasonCode.OUT_OF_MEMORY,
                fix="Use a smaller tiling.tile_px, end other programs on the GPU, or --device cpu.",
            )
        self._batch_size = max(1, tiles // 2)

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
        context: AbstractContextManager[object] = torch.autocast(
            self._device.type, dtype=self._dtype, enabled=enabled
        )
        return context

    def _as_input(self, values: Tensor) -> Tensor:
        dtype = self._dtype if self._on_cpu else torch.float32
        return values.to(dtype).contiguous(memory_format=torch.channels_last)

    def _to_device(self, pixels: U8Array) -> Tensor:
        if self._on_cpu:
            return torch.from_numpy(np.require(pixels, requirements="W"))
        pinned = torch.from_numpy(np.require(pixels, requirements="W")).pin_memory()
        return pinned.to(self._device, non_blocking=True)

    def _numerics(self) -> AbstractContextManager[object]:
        """Set threads on the CPU; on CUDA, repeatable algorithms and honest float32."""
        if self._on_cpu:
            if torch.get_num_threads() != self._config.inference.cpu_threads:
                torch.set_num_threads(self._config.inference.cpu_threads)
            return nullcontext()
        tf32 = self._dtype != torch.float32
        flags: AbstractContextManager[object] = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32
        )
        return flags

    def _size_batch(self) -> None:
        """Set the batch size; on CUDA to as many tiles as the free memory holds."""
        if not self._on_cpu:
            self._batch_size = self._cuda_batch_size()

    def _cuda_batch_size(self) -> int:
        """Run one empty tile, and see how many such tiles the free memory holds."""
        batch = _empty_batch(self._spec, self._config.tiling.tile_px)
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        if self._try_part(batch) is None:
            self._shrink(1)
        used = max(1, torch.cuda.max_memory_allocated(self._device) - before)
        free, _ = torch.cuda.mem_get_info(self._device)
        return max(1, min(self.max_cuda_batch, int(_CUDA_MEMORY_SHARE * free / used)))


def _empty_batch(spec: InputSpec, tile_px: int) -> TileBatch:
    """Return one tile of glass."""
    grid = lay_grid(
        Box0(x=0, y=0, width=1, height=1), Spacing(x=spec.mpp, y=spec.mpp), spec, tile_px=tile_px
    )
    detail = grid.tile_px + 2 * spec.halo_px
    context = grid.tile_px // spec.context_factor + 2 * spec.context_halo_px
    return TileBatch(
        grid=grid,
        tiles=(grid.tile(col=0, row=0),),
        detail=np.full((1, detail, detail, 3), 255, dtype=np.uint8),
        context=np.full((1, context, context, 3), 255, dtype=np.uint8)
        if spec.context_halo_px
        else None,
        white=(255.0, 255.0, 255.0),
    )


def _part(batch: TileBatch, start: int, stop: int) -> TileBatch:
    return replace(
        batch,
        tiles=batch.tiles[start:stop],
        detail=batch.detail[start:stop],
        context=None if batch.context is None else batch.context[start:stop],
    )
