"""The cell network: where cells are, where their outline runs, and what kind of cell they are.

Two rules shape it. Outlines may look at both stains, but the *class* of a cell is read from
haematoxylin alone (a fine view at 1 to 2 µm/px and a wide one at 2 µm/px), so that brown colour
cannot make a cell a tumour cell. And nothing looks across a tile: batch normalisation uses stored
statistics, and the receptive field is smaller than the halo, so stitched equals whole.

Outlines and classes are computed from feature vectors at the cells' centres only, which costs next
to nothing beside the dense maps. The vectors are gathered at several scales: a coarse one knows the
shape of a tall cell, or the tissue around it, which the finest has little room for.

An outline is drawn several times. The first drawing is made from the centre, which may lie 20 µm
from a border; each later one moves every ray's end along its ray, by what a shallow map of edges
shows around that end. (The idea of sampling features at the predicted outline: Chen et al.,
CPP-Net, IEEE Trans Image Process 2023;32:980-994.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Set
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from pathology.nn.edges import CellPlaces, EdgeReader
from pathology.nn.upsampling import add_upsampled

__all__ = ["CellHeads", "CellMaps", "CellNet", "CellPlaces"]

N_RAYS = 32
N_CLASSES = 6
#: Typical outline radius in µm: half of a cell of 12 to 15 µm. Rays are predicted relative to it.
RAY_SCALE_UM = 6.0


class CellMaps(NamedTuple):
    """Hold the dense maps of one batch.

    Attributes
    ----------
    centre
        (B, 1, H/2, W/2) logits of a cell's centre, at 1 µm/px for a detail image of 0.5 µm/px.
    outline
        Features of both stains, (B, F_k, H/2^(k+1), W/2^(k+1)) for scales k = 0, 1, ...
    fine
        (B, G, H/4, W/4): features of haematoxylin alone.
    context
        Features of the context image, (B, C_k, h/2^k, w/2^k) for scales k = 0, 1, ...
    edge
        (B, E, H/2, W/2): local features of both stains for the later drawings, or nothing.
    """

    centre: Tensor
    outline: tuple[Tensor, ...]
    fine: Tensor
    context: tuple[Tensor, ...]
    edge: tuple[Tensor, ...]

    def float(self) -> CellMaps:
        """Return the maps in float32."""
        return CellMaps(
            centre=self.centre.float(),
            outline=tuple(part.float() for part in self.outline),
            fine=self.fine.float(),
            context=tuple(part.float() for part in self.context),
            edge=tuple(part.float() for part in self.edge),
        )


class CellHeads(NamedTuple):
    """Hold what is said of single cells.

    Attributes
    ----------
    rays_um
        (N, 32) distance from the centre to the outline in µm, above 0.
    offset_um
        (N, 2) x and y from the middle of the peak's pixel to the centre, in µm.
    class_logits
        (N, 6) in the order of ``pathology.cells.CELL_CLASSES``.
    early_rays_um
        The rays of the drawings before the last, in order: (N, 32) each, in µm.
    """

    rays_um: Tensor
    offset_um: Tensor
    class_logits: Tensor
    early_rays_um: tuple[Tensor, ...]


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _UNet(nn.Module):
    """Encode with strided convolutions, decode with nearest upsampling and added skips."""

    def __init__(self, inputs: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = _conv(inputs, widths[0])
        self.encoders = nn.ModuleList()
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            layers = [] if index == 0 else [_conv(widths[index - 1], width, stride=2)]
            layers += [_conv(width, width) for _ in range(depth)]
            self.encoders.append(nn.Sequential(*layers))
        self.reducers = nn.ModuleList(
            nn.Conv2d(deep, shallow, 1, bias=False) for shallow, deep in itertools.pairwise(widths)
        )
        self.decoders = nn.ModuleList(_conv(width, width) for width in widths[:-1])

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return (B, widths[k], H/2^k, W/2^k) features of (B, inputs, H, W), with a short reach."""
        x = self.stem(x)
        skips: list[Tensor] = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
        return skips

    def decode(self, skips: list[Tensor]) -> tuple[Tensor, ...]:
        """Return features of the same shapes that have seen the wide surroundings too.

        The list is emptied, so that each level's memory is free as soon as it is used up.
        """
        x = skips.pop()
        decoded = [x]
        while skips:
            level = len(skips) - 1
            x = add_upsampled(skips.pop(), self.reducers[level](x), in_place=True)
            x = self.decoders[level](x)
            decoded.append(x)
        return tuple(reversed(decoded))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode and decode."""
        return self.decode(self.encode(x))


def _gather(levels: tuple[Tensor, ...], image: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Return (N, sum of channels): the features of all scales at pixels of the finest."""
    parts = [
        level[image, :, row >> scale, column >> scale].float() for scale, level in enumerate(levels)
    ]
    return torch.cat(parts, dim=1)


class CellNet(nn.Module):
    """Find cells and describe them from haematoxylin and DAB optical densities.

    Parameters
    ----------
    outline_widths
        Channels of the outline branch at 1, 2, 4, 8 µm/px (both stains).
    class_width, class_depth
        Channels of the fine haematoxylin branch, read at 2 µm/px, and its convolutions there: each
        adds 2 µm to what it sees around a centre.
    context_widths
        Channels of the wide haematoxylin branch at 2, 4, 8, 16 µm/px.
    regions
        Number of region codes of the training's auxiliary map.
    head_scales
        Scales (1 to 4, finest first) at which the heads read the features of a centre.
    edge_width
        Channels of the map of edges; 0 leaves the later drawings of outlines out.
    redraws
        How often outlines are drawn again by the map of edges, at least once.

    Examples
    --------
    >>> import torch
    >>> net = CellNet().eval()
    >>> with torch.inference_mode():
    ...     maps = net(torch.zeros(1, 2, 128, 128), torch.zeros(1, 1, 64, 64))
    >>> tuple(maps.centre.shape), tuple(maps.context[0].shape[2:])
    ((1, 1, 64, 64), (64, 64))
    """

    #: Modules of the parts that can learn apart from each other: they share none.
    parts: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "outlines": ("outline", "centre", "to_rays", "edges"),
            "classes": ("fine", "wide", "region", "to_class"),
        }
    )
    #: Detail pixels per pixel of the dense maps.
    stride = 2
    #: Detail pixels that must surround a core; at least the radius of the receptive field.
    halo_px = 64
    #: Context pixels that must surround a core.
    context_halo_px = 64
    #: Size of a context pixel in detail pixels.
    context_factor = 4

    def __init__(
        self,
        *,
        outline_widths: tuple[int, ...] = (24, 40, 64, 80),
        class_width: int = 24,
        class_depth: int = 1,
        context_widths: tuple[int, ...] = (16, 32, 48, 64),
        regions: int = 12,
        head_scales: int = 1,
        edge_width: int = 0,
        redraws: int = 1,
    ) -> None:
        super().__init__()
        outline, context = tuple(outline_widths), tuple(context_widths)
        # Depths keep the reach of the receptive field, and 3 µm in which centres compete, below
        # halo_px; tests/unit/nn measures it.
        self.outline = _UNet(8, outline, (1, 1, 1, 0))
        self.centre = nn.Conv2d(outline[0], 1, 1)
        self.fine = nn.Sequential(
            _conv(4, class_width // 2),
            _conv(class_width // 2, class_width, stride=2),
            *(_conv(class_width, class_width) for _ in range(class_depth)),
        )
        self.wide = _UNet(1, context, (0, 1, 1, 4))
        self.region = nn.Conv2d(context[0], regions, 1)
        self.head_scales = head_scales
        seen = sum(outline[:head_scales]), class_width + sum(context[:head_scales])
        self.to_rays = nn.Sequential(
            nn.Linear(seen[0], 96), nn.ReLU(inplace=True), nn.Linear(96, N_RAYS + 2)
        )
        self.edges = (
            EdgeReader(outline[0], outline[1], edge_width, redraws=redraws) if edge_width else None
        )
        self.to_class = nn.Sequential(
            nn.Linear(seen[1], 64), nn.ReLU(inplace=True), nn.Linear(64, N_CLASSES)
        )
        self.learning: Set[str] = frozenset(self.parts)
        # Centres are rare: start from a small probability, or the first steps only learn that.
        nn.init.constant_(self.centre.bias, -4.0)  # type: ignore[arg-type]

    def learn(self, parts: Set[str]) -> None:
        """Let only some parts learn; the others keep their weights and their statistics.

        Parameters
        ----------
        parts
            Keys of :attr:`parts`.
        """
        self.learning = frozenset(parts)
        for name in self.parts.keys() - self.learning:
            for module in self._modules_of(name):
                module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; parts that do not learn stay in evaluation mode."""
        super().train(mode)
        for name in self.parts.keys() - self.learning:
            for module in self._modules_of(name):
                module.eval()
        return self

    def _modules_of(self, part: str) -> Iterator[nn.Module]:
        found = (getattr(self, name) for name in self.parts[part])
        yield from (module for module in found if module is not None)

    def forward(self, detail: Tensor, context: Tensor) -> CellMaps:
        """Compute the dense maps.

        Parameters
        ----------
        detail
            (B, 2, H, W) haematoxylin and DAB optical density at 0.5 µm/px; sides a multiple of 16.
        context
            (B, 1, h, w) haematoxylin optical density at 2 µm/px; sides a multiple of 8.

        Returns
        -------
        CellMaps
            Maps over the whole input, halo included.
        """
        folded = functional.pixel_unshuffle(detail, 2)  # channels: 4 of haematoxylin, 4 of DAB
        centre = fine = folded[:, :0]
        outline: tuple[Tensor, ...] = ()
        edge: tuple[Tensor, ...] = ()
        wide: tuple[Tensor, ...] = ()
        # The classes share nothing with the outlines: where only they learn, two thirds of the work
        # are saved; where only outlines learn, a seventh.
        if not self.training or "outlines" in self.learning:
            centre, outline, edge = self._outlines(folded)
        # After the outlines, whose maps are the largest: the others need not wait beside them.
        if not self.training or "classes" in self.learning:
            fine = self.fine(folded[:, :4])
            wide = self.wide(context)[: self.head_scales]
        return CellMaps(centre=centre, outline=outline, fine=fine, context=wide, edge=edge)

    def _outlines(self, folded: Tensor) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the map of centres, the features of outlines, and the map of edges, if any."""
        skips = self.outline.encode(folded)
        # Before decoding, which takes the memory of what is read here.
        edge = () if self.edges is None else (self.edges(skips[0], skips[1]),)
        outline = self.outline.decode(skips)
        return self.centre(outline[0]), outline[: self.head_scales], edge

    def describe(self, maps: CellMaps, places: CellPlaces) -> CellHeads:
        """Describe cells from the feature vectors at their centres.

        Parameters
        ----------
        maps
            What :meth:`forward` gave; of parts that do not learn, in training, there is nothing.
        places
            Where the N cells lie.

        Returns
        -------
        CellHeads
            Outline, sub-pixel offset and class logits, computed in float32.
        """
        image, row, column, context_row, context_column = places
        none = maps.centre.new_zeros((len(image), 0), dtype=torch.float32)
        class_logits = none
        if maps.context:
            # The class is read from haematoxylin alone: ``outline`` has seen the DAB.
            tissue = _gather(maps.context, image, context_row, context_column)
            nucleus = _gather((maps.fine,), image, row >> 1, column >> 1)
            class_logits = self.to_class(torch.cat([nucleus, tissue], dim=1))
        if not maps.outline:
            return CellHeads(none, none, class_logits, ())
        shape = self.to_rays(_gather(maps.outline, image, row, column))
        first_um = functional.softplus(shape[:, :N_RAYS] + 0.5413) * RAY_SCALE_UM
        offset_um = shape[:, N_RAYS:]
        drawings: tuple[Tensor, ...] = (first_um,)
        if self.edges is not None:
            drawings += self.edges.redraw(maps.edge[0], places, first_um, offset_um)
        return CellHeads(drawings[-1], offset_um, class_logits, drawings[:-1])
