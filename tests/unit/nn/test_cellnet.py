from __future__ import annotations

import pytest
import torch

from pathology.errors import ModelError
from pathology.nn.cellnet import CellMaps, CellNet, CellPlaces
from pathology.nn.registry import build_network


def seen(gradient: torch.Tensor) -> tuple[int, int]:
    """First and last row or column of the input that an output depends on."""
    touched = gradient.abs().sum(dim=(0, 1))
    rows = touched.sum(dim=1).nonzero().flatten()
    cols = touched.sum(dim=0).nonzero().flatten()
    return int(min(rows.min(), cols.min())), int(max(rows.max(), cols.max()))


def at(spot: int, context_spot: int) -> CellPlaces:
    """One cell on the diagonal of the maps."""
    image, here, there = (torch.tensor([value]) for value in (0, spot, context_spot))
    return CellPlaces(image=image, row=here, column=here, context_row=there, context_column=there)


_EDGES = {"head_scales": 4, "class_depth": 4, "class_width": 32, "edge_width": 8}
#: The first bundled network, and one with everything: all scales, a deep class branch, edges.
DESIGNS = {"first": {}, "whole": _EDGES, "redrawn": _EDGES | {"redraws": 2}}


@pytest.fixture(params=sorted(DESIGNS))
def linear_network(request: pytest.FixtureRequest) -> CellNet:
    # Positive weights keep every rectifier open, so that no gradient is lost by chance.
    network = CellNet(**DESIGNS[request.param]).eval()
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.constant_(parameter, 0.01)
    if network.edges is not None:
        # Rays as long as a later drawing follows: nothing may be read further out.
        torch.nn.init.constant_(network.to_rays[2].bias, 2.6)
        for move in (network.edges.move, *network.edges.again):
            torch.nn.init.constant_(move[4].weight, 1e-4)
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
        heads = linear_network.describe(maps, at(spot, 88))
        target = heads.rays_um.sum() + maps.centre[0, :, spot, spot].sum()
        target.backward(retain_graph=True)
        low, high = seen(detail.grad)
        assert low >= first - CellNet.halo_px
        assert high <= last + CellNet.halo_px
    for spot in (*range(80, 88), *range(88, 96)):  # a core of 16 context pixels
        context.grad = None
        heads = linear_network.describe(maps, at(80, spot))
        heads.class_logits.sum().backward(retain_graph=True)
        low, high = seen(context.grad)
        assert low >= 80 - CellNet.context_halo_px
        assert high <= 95 + CellNet.context_halo_px


def test_classes_cannot_see_the_dab(linear_network: CellNet) -> None:
    detail = torch.rand(1, 2, 64, 64, requires_grad=True)
    maps = linear_network(detail, torch.rand(1, 1, 32, 32))
    heads = linear_network.describe(maps, at(16, 8))
    heads.class_logits.sum().backward(retain_graph=True)
    haematoxylin, dab = detail.grad[0]
    assert float(haematoxylin.abs().max()) > 0
    assert float(dab.abs().max()) == 0
    heads.rays_um.sum().backward()
    assert float(detail.grad[0, 1].abs().max()) > 0


def test_every_scale_is_read_at_the_cell_s_own_place() -> None:
    network = CellNet(head_scales=3).eval()
    maps = network(torch.rand(2, 2, 128, 128), torch.rand(2, 1, 64, 64))
    place = CellPlaces(*(torch.tensor([value]) for value in (1, 37, 22, 19, 50)))

    def changed(part: str, scale: int, row: int, column: int) -> float:
        levels = [level.clone() for level in getattr(maps, part)]
        levels[scale][1, :, row, column] += 1.0
        other = CellMaps(**{**maps._asdict(), part: tuple(levels)})
        before, after = (network.describe(each, place)[:3] for each in (maps, other))
        return sum(float((a - b).detach().abs().sum()) for a, b in zip(before, after, strict=True))

    for scale in range(3):
        assert changed("outline", scale, 37 >> scale, 22 >> scale) > 0
        assert changed("outline", scale, (37 >> scale) + 1, 22 >> scale) == 0
        assert changed("context", scale, 19 >> scale, 50 >> scale) > 0
        assert changed("context", scale, 19 >> scale, (50 >> scale) - 1) == 0


@pytest.mark.parametrize("design", sorted(DESIGNS))
def test_the_cost_stays_within_the_budget(design: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = CellNet(**DESIGNS[design]).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        maps = network(torch.rand(1, 2, 512, 512), torch.rand(1, 1, 128, 128))
        # Dense tissue: a cell of 100 µm² for every 400 pixels.
        places = CellPlaces(*(torch.full((512**2 // 400,), 60) for _ in range(5)))
        network.describe(maps, places._replace(image=places.image * 0))
    assert counter.get_total_flops() / 512**2 <= 26_000


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ModelError, match="resnet999"):
        build_network("resnet999")
    with pytest.raises(ModelError, match="depth"):
        build_network("cellnet", depth=3)
