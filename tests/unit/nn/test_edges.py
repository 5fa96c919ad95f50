"""The second drawing of outlines: reads where it says, moves along rays, and only so far."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.nn.cellnet import CellNet
from pathology.nn.edges import (
    MAX_MOVE_UM,
    MAX_REACH_UM,
    CellPlaces,
    EdgeReader,
    sample_bilinear,
)


def places(*spots: tuple[int, int, int]) -> CellPlaces:
    """Cells at (image, row, column)."""
    image, row, column = (torch.tensor(part) for part in zip(*spots, strict=True))
    return CellPlaces(image, row, column, row, column)


def slow_sample(maps: torch.Tensor, image: int, x: float, y: float) -> list[float]:
    """Read one point by the definition of bilinear interpolation."""
    _, channels, height, width = maps.shape
    x, y = min(max(x - 0.5, 0), width - 1), min(max(y - 0.5, 0), height - 1)
    found = [0.0] * channels
    for row in range(height):
        for column in range(width):
            share = max(0.0, 1 - abs(row - y)) * max(0.0, 1 - abs(column - x))
            if share:
                found = [
                    value + share * float(maps[image, k, row, column])
                    for k, value in enumerate(found)
                ]
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1),
    st.floats(-3, 12, allow_nan=False),
    st.floats(-3, 10, allow_nan=False),
    st.integers(0, 2**31),
    st.sampled_from([(6, 9), (6, 1), (1, 9), (1, 1), (2, 2)]),
)
def test_points_are_read_as_the_definition_says(
    image: int, x: float, y: float, seed: int, shape: tuple[int, int]
) -> None:
    maps = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(seed))
    found = sample_bilinear(maps, torch.tensor([image]), torch.tensor([[x]]), torch.tensor([[y]]))
    assert found[0, 0].tolist() == pytest.approx(slow_sample(maps, image, x, y), abs=1e-5)


def test_images_of_a_batch_are_read_apart() -> None:
    maps = torch.rand(3, 4, 16, 16)
    x, y = torch.rand(5, 7) * 20 - 2, torch.rand(5, 7) * 20 - 2
    image = torch.tensor([2, 0, 1, 2, 0])
    together = sample_bilinear(maps, image, x, y)
    for row, index in enumerate(image.tolist()):
        alone = sample_bilinear(
            maps[index : index + 1], torch.tensor([0]), x[row : row + 1], y[row : row + 1]
        )
        torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=0)


def test_the_second_drawing_begins_as_the_first() -> None:
    reader = EdgeReader(24, 40, 8).eval()
    rays = torch.rand(2, 32) * 10 + 2
    (redrawn,) = reader.redraw(
        torch.rand(1, 8, 64, 64), places((0, 30, 30), (0, 5, 60)), rays, torch.zeros(2, 2)
    )
    assert torch.equal(redrawn, rays)


@pytest.fixture
def wild() -> EdgeReader:
    """A reader that moves every ray as far as it may."""
    reader = EdgeReader(24, 40, 8).eval()
    torch.nn.init.constant_(reader.move[4].bias, 50.0)
    return reader


def redrawn(reader: EdgeReader, rays: torch.Tensor) -> torch.Tensor:
    edges = torch.rand(1, 8, 64, 64)
    with torch.inference_mode():
        return reader.redraw(edges, places((0, 30, 30)), rays, torch.zeros(1, 2))[-1]


def test_rays_move_no_further_than_is_seen(wild: EdgeReader) -> None:
    rays = torch.full((1, 32), 6.0)
    moved = redrawn(wild, rays)
    assert moved.flatten().tolist() == pytest.approx([6.0 + MAX_MOVE_UM] * 32)


def test_rays_beyond_the_reach_stay_as_first_drawn(wild: EdgeReader) -> None:
    rays = torch.full((1, 32), 6.0)
    rays[0, 3] = MAX_REACH_UM + 0.1
    moved = redrawn(wild, rays)
    assert float(moved[0, 3]) == pytest.approx(MAX_REACH_UM + 0.1)


def test_half_precision_moves_ends_as_float32_does() -> None:
    torch.manual_seed(0)
    reader = EdgeReader(24, 40, 8, redraws=2).eval()
    for mover in (reader.move, *reader.again):
        torch.nn.init.normal_(mover[4].weight, std=0.1)
    edges, rays = torch.randn(1, 8, 96, 96), torch.rand(200, 32) * 6 + 3
    spots = places(*((0, 20 + k % 50, 20 + k // 4) for k in range(200)))
    with torch.inference_mode():
        drawn = [
            reader.redraw(edges.to(dtype), spots, rays, torch.zeros(200, 2))[-1]
            for dtype in (torch.float32, torch.bfloat16)
        ]
    moved, off = (drawn[0] - rays).abs(), (drawn[1] - drawn[0]).abs()
    assert drawn[1].dtype == torch.float32
    assert float(moved.mean()) > 0.2, "the ends hardly move: nothing is tested"
    assert float(off.quantile(0.99)) < 0.1, "half of the step of stored radii"
    assert float(off.mean()) < 0.02


def test_learning_is_in_float32() -> None:
    reader = EdgeReader(24, 40, 8).train()
    torch.nn.init.normal_(reader.move[4].weight)
    edges = torch.rand(1, 8, 64, 64)
    rays = torch.full((1, 32), 9.0)
    half, whole = (
        reader.redraw(seen, places((0, 31, 33)), rays, torch.zeros(1, 2))[-1]
        for seen in (edges.bfloat16(), edges.bfloat16().float())
    )
    assert torch.equal(half, whole)


@pytest.mark.parametrize("ray", [0, 5, 8, 19, 31])
def test_a_ray_sees_the_edge_at_its_own_end(ray: int) -> None:
    # Only pixels beside the end of a ray, or of its neighbours, may move it.
    reader = EdgeReader(24, 40, 8).eval()
    torch.nn.init.normal_(reader.move[4].weight)
    edges = torch.rand(1, 8, 64, 64, requires_grad=True)
    offset = torch.tensor([[0.4, -0.3]])
    rays = torch.full((1, 32), 9.0)
    reader.redraw(edges, places((0, 31, 33)), rays, offset)[-1][0, ray].backward()
    assert edges.grad is not None
    rows, columns = edges.grad.abs().sum(dim=(0, 1)).nonzero().T
    angle = 2 * math.pi * ray / 32
    x = 33.5 + 0.4 + 9.0 * math.cos(angle)
    y = 31.5 - 0.3 + 9.0 * math.sin(angle)
    distance = torch.hypot(columns + 0.5 - x, rows + 0.5 - y)
    # Two steps of 1 µm along the ray, two neighbours 1.8 µm apart on each side, a pixel.
    assert len(rows)
    assert float(distance.min()) < 1.0
    assert float(distance.max()) < 6.0


def test_nothing_is_learned_through_the_place_that_is_looked_at() -> None:
    reader = EdgeReader(24, 40, 8).eval()
    torch.nn.init.normal_(reader.move[4].weight)
    rays = torch.full((1, 32), 6.0, requires_grad=True)
    (redrawn,) = reader.redraw(
        torch.rand(1, 8, 64, 64), places((0, 31, 33)), rays, torch.zeros(1, 2)
    )
    redrawn.sum().backward()
    assert rays.grad is not None
    assert torch.equal(rays.grad, torch.ones_like(rays))


def test_a_tile_without_cells_is_read() -> None:
    none = CellPlaces(*(torch.zeros(0, dtype=torch.int64) for _ in range(5)))
    network = CellNet(head_scales=3, edge_width=8).eval()
    with torch.inference_mode():
        maps = network(torch.rand(1, 2, 64, 64), torch.rand(1, 1, 32, 32))
        heads = network.describe(maps, none)
    assert heads.rays_um.shape == (0, 32)
    assert heads.class_logits.shape == (0, 6)


def test_each_drawing_looks_where_the_one_before_ended() -> None:
    torch.manual_seed(0)
    twice = EdgeReader(24, 40, 8, redraws=2).eval()
    for move in (twice.move, *twice.again):
        torch.nn.init.normal_(move[4].weight)
    once = EdgeReader(24, 40, 8).eval()
    edges, at, offset = torch.rand(1, 8, 64, 64), places((0, 31, 33)), torch.zeros(1, 2)
    with torch.inference_mode():
        second, third = twice.redraw(edges, at, torch.full((1, 32), 6.0), offset)
        once.move.load_state_dict(twice.again[0].state_dict())
        (expected,) = once.redraw(edges, at, second, offset)
    assert not torch.equal(second, third)
    assert torch.equal(third, expected)


def test_no_redrawing_is_refused() -> None:
    with pytest.raises(ValueError, match="redraws is 0"):
        EdgeReader(24, 40, 8, redraws=0)
