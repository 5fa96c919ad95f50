from __future__ import annotations

import pytest
import torch

from pathology.errors import ModelError
from pathology.nn.cellnet import CellNet
from pathology.nn.registry import build_network


def seen(gradient: torch.Tensor) -> tuple[int, int]:
    """First and last row or column of the input that an output depends on."""
    touched = gradient.abs().sum(dim=(0, 1))
    rows = touched.sum(dim=1).nonzero().flatten()
    cols = touched.sum(dim=0).nonzero().flatten()
    return int(min(rows.min(), cols.min())), int(max(rows.max(), cols.max()))


@pytest.fixture
def linear_network() -> CellNet:
    # Positive weights keep every rectifier open, so that no gradient is lost by chance.
    network = CellNet().eval()
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.constant_(parameter, 0.01)
    return network


def test_the_receptive_field_fits_the_halo(linear_network: CellNet) -> None:
    # A core of 64 detail pixels (a grid's block) inside a wide margin.
    first, last = 128, 191
    detail = torch.rand(1, 2, 320, 320, requires_grad=True)
    context = torch.rand(1, 1, 192, 192, requires_grad=True)
    maps = linear_network(detail, context)
    # Peaks compete within 3 µm, so the maps are also needed 3 pixels beyond the core's edge.
    for spot in (*range(first // 2 - 3, first // 2 + 8), *range(last // 2 - 8, last // 2 + 4)):
        detail.grad = None
        target = maps.features[0, :, spot, spot].sum() + maps.centre[0, :, spot, spot].sum()
        target.backward(retain_graph=True)
        low, high = seen(detail.grad)
        assert low >= first - CellNet.halo_px
        assert high <= last + CellNet.halo_px
    for spot in (*range(80, 88), *range(88, 96)):  # a core of 16 context pixels
        context.grad = None
        maps.context[0, :, spot, spot].sum().backward(retain_graph=True)
        low, high = seen(context.grad)
        assert low >= 80 - CellNet.context_halo_px
        assert high <= 95 + CellNet.context_halo_px


def test_classes_cannot_see_the_dab(linear_network: CellNet) -> None:
    detail = torch.rand(1, 2, 64, 64, requires_grad=True)
    maps = linear_network(detail, torch.rand(1, 1, 32, 32))
    heads = linear_network.heads(maps.features[:, :, 16, 16], maps.context[:, :, 8, 8])
    heads.class_logits.sum().backward(retain_graph=True)
    haematoxylin, dab = detail.grad[0]
    assert float(haematoxylin.abs().max()) > 0
    assert float(dab.abs().max()) == 0
    heads.rays_um.sum().backward()
    assert float(detail.grad[0, 1].abs().max()) > 0


def test_the_cost_stays_within_the_budget() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = CellNet().eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 2, 1152, 1152), torch.rand(1, 1, 384, 384))
    # Per pixel of a core of 1,024 px, halos included.
    assert counter.get_total_flops() / 1024**2 <= 26_000


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ModelError, match="resnet999"):
        build_network("resnet999")
    with pytest.raises(ModelError, match="depth"):
        build_network("cellnet", depth=3)
