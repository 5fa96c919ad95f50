"""Measure how near the network comes to the processor's own rate, layer by layer, on one thread.

The rate is that of a large matrix product in the same precision, which no convolution beats. Each
convolution of one window is timed by itself on the input it has there, so that seconds and
multiplications belong together; what the whole network takes beyond their sum is everything else:
additions, rectifiers, upsampling, folding.

Run it so: python scripts/measure_network_bound.py --precision bf16
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pathology.config import load_config
from pathology.inference.bundle import load_bundle
from pathology.inference.engine import fuse_batch_norm
from pathology.inference.manifest import ModelManifest
from pathology.inference.memory import keep_freed_memory

#: Side of the square matrices whose product shows the processor's rate.
MATRIX = 1536
#: Short runs on a shared machine: the best of so many counts.
REPEATS = 7
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One convolution: its words, multiplications and best time."""

    words: str
    multiplications: float
    seconds: float

    @property
    def rate(self) -> float:
        """Multiply-adds a second."""
        return self.multiplications / self.seconds


def best_s(work: Callable[[], object]) -> float:
    """Return the shortest time of some runs, after one to warm up, in seconds of this thread."""
    work()
    seconds = []
    for _ in range(REPEATS):
        begun = time.thread_time()
        work()
        seconds.append(time.thread_time() - begun)
    return min(seconds)


def matrix_rate(dtype: torch.dtype) -> float:
    """Return the multiply-adds a second of a large matrix product."""
    left, right = (torch.rand(MATRIX, MATRIX).to(dtype) for _ in range(2))
    return MATRIX**3 / best_s(lambda: left @ right)


def window_inputs(manifest: ModelManifest, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return densities of one window as the engine cuts it, detail and context."""
    spec, core = manifest.input.spec, load_config().tiling.window_px
    sides = core + 2 * spec.halo_px, core // spec.context_factor + 2 * spec.context_halo_px
    detail, context = (
        torch.rand(1, channels, side, side).to(dtype).contiguous(memory_format=torch.channels_last)
        for channels, side in zip((2, 1), sides, strict=True)
    )
    return detail, context


def time_layers(network: nn.Module, inputs: tuple[Tensor, Tensor]) -> list[Layer]:
    """Time every convolution that the network calls, each by itself."""
    layers: list[Layer] = []

    def time_it(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        if not isinstance(module, nn.Conv2d) or busy:
            return
        busy.append(module)
        seconds = best_s(lambda: module(given[0]))
        busy.clear()
        side = module.kernel_size[0]
        words = f"{module.in_channels:3d} -> {module.out_channels:3d}, {side} x {side}, "
        layers.append(Layer(
            words=words + f"{made.shape[2]:4d} px",
            multiplications=made.numel() * module.in_channels * side**2,
            seconds=seconds,
        ))  # fmt: skip

    busy: list[nn.Module] = []
    hooks = [module.register_forward_hook(time_it) for module in network.modules()]
    network(*inputs)
    for hook in hooks:
        hook.remove()
    return layers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", choices=sorted(DTYPES), default="fp32")
    parser.add_argument("--model", default="her2-cells", help="(%(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as the engine does
    dtype, bundle = DTYPES[args.precision], load_bundle(args.model)
    if not isinstance(bundle.manifest, ModelManifest):
        parser.error("a model of cells is measured here")
    network = fuse_batch_norm(bundle.network).to(dtype).to(memory_format=torch.channels_last)
    inputs = window_inputs(bundle.manifest, dtype)
    with torch.inference_mode():
        rate, layers = matrix_rate(dtype), time_layers(network, inputs)
        whole = best_s(lambda: network(*inputs))
    for layer in sorted(layers, key=lambda item: -item.seconds):
        print(
            f"{layer.words}  {1e3 * layer.seconds:6.1f} ms  {layer.rate / 1e9:6.1f} GMAC/s  "
            f"{100 * layer.rate / rate:4.0f} % of a matrix product"
        )
    seconds, work = (
        sum(getattr(x, name) for x in layers) for name in ("seconds", "multiplications")
    )
    print(f"matrix product        {rate / 1e9:.1f} GMAC/s, {args.precision}, one thread")
    print(
        f"all convolutions      {1e3 * seconds:.0f} ms, {work / seconds / 1e9:.1f} GMAC/s: "
        f"{100 * work / seconds / rate:.0f} % of a matrix product"
    )
    print(f"the whole network     {1e3 * whole:.0f} ms: {100 * work / whole / rate:.0f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
