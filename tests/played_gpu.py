"""A GPU that is played: tensors with a device, a type and a shape, and without content.

torch refuses an operation with tensors of two devices here as it does on a GPU, without having one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

CUDA = torch.device("cuda:0")


@contextmanager
def played_gpu() -> Iterator[None]:
    """Make tensors without content; what depends on content cannot be run."""
    with FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True):
        yield


@contextmanager
def half_precision() -> Iterator[None]:
    """Turn autocast on; torch.autocast itself wants to see a GPU."""
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.float16)
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(True)
        torch.set_autocast_enabled("cuda", False)


def move_to_cuda(network: nn.Module) -> None:
    """Put tensors without content, which say they are on a GPU, in the place of a network's."""
    for module in network.modules():
        for kind, make in ((module._parameters, nn.Parameter), (module._buffers, Tensor.detach)):
            for name, old in kind.items():
                if old is not None:
                    like = torch.empty_strided(
                        old.shape, old.stride(), dtype=old.dtype, device=CUDA
                    )
                    kind[name] = make(like)  # type: ignore[operator]
