"""Everything that is done to pixels on the device: torch twins of ``stain`` and ``cells``.

Each function repeats the arithmetic of its numpy reference step by step, in float32 and in the same
order, so that the two agree to rounding; the tests hold them against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pathology.cells.measure import (
    CYTOPLASM_UNIT_OD,
    MIN_RADIUS_UM,
    TANGENT_STEP_UM,
    TANGENT_WEIGHTS,
    cytoplasm_shares,
    radial_offsets,
    ray_directions,
)
from pathology.cells.peaks import disc_offsets
from pathology.cells.table import OD_STEP, RADIUS_STEP_UM
from pathology.config import MeasurementConfig
from pathology.geometry import Spacing
from pathology.stain import StainMatrix, density_table

__all__ = ["Unmixer", "context_index", "find_peaks", "measure_cells", "quantise_radii"]

#: Cells measured at once on the CPU: 256 × 32 rays × 13 samples stay in the second-level cache.
_CPU_CHUNK = 256
#: Cells measured at once on a GPU: temporary arrays of about 14 MB each.
_CUDA_CHUNK = 8192


class Unmixer:
    """Turn colours into haematoxylin and DAB optical densities on a device.

    Parameters
    ----------
    white
        White point (R, G, B) of the slide, 1 to 255.
    stains
        Stain vectors.
    device
        Where to work.

    Examples
    --------
    >>> stains = StainMatrix(haematoxylin=(0.65, 0.70, 0.29), dab=(0.27, 0.57, 0.78))
    >>> unmixer = Unmixer((240.0, 240.0, 240.0), stains, torch.device("cpu"))
    >>> glass = torch.full((1, 4, 4, 3), 240, dtype=torch.uint8)
    >>> tuple(unmixer(glass).shape), float(unmixer(glass).abs().max()) < 1e-6
    ((1, 2, 4, 4), True)
    """

    def __init__(self, white: Sequence[float], stains: StainMatrix, device: torch.device) -> None:
        density = torch.from_numpy(density_table(white).T.copy())
        weights = torch.tensor(stains.weights.tolist(), dtype=density.dtype)
        red, green, blue = density[:, :, None] * weights[:, None]  # (256, 2): both amounts
        # Both amounts of a colour lie side by side as one complex number, so that a look-up fetches
        # both, and red and green are looked up together: two look-ups a pixel in place of six.
        red_green = torch.view_as_complex((red[:, None] + green).contiguous()).flatten()
        self._red_green = red_green.to(device)
        self._blue = torch.view_as_complex(blue.contiguous()).to(device)

    def __call__(self, rgb: Tensor, *, amounts: int = 2) -> Tensor:
        """Separate stains.

        Parameters
        ----------
        rgb
            (B, H, W, 3) uint8.
        amounts
            2: haematoxylin and DAB; 1: haematoxylin alone.

        Returns
        -------
        torch.Tensor
            (B, amounts, H, W) float32 optical densities, not cut at 0; in memory the amounts of a
            pixel lie side by side (``channels_last``).
        """
        red, green, blue = rgb.unbind(3)
        both = red.int().mul_(256).add_(green).flatten()
        mixed = self._red_green.index_select(0, both)
        mixed += self._blue.index_select(0, blue.int().flatten())
        found = torch.view_as_real(mixed).view(*rgb.shape[:3], 2)[..., :amounts]
        return found.permute(0, 3, 1, 2)


def find_peaks(
    score: Tensor, *, minimum: float, radius_px: tuple[float, float], core: tuple[slice, slice]
) -> Tensor:
    """Find pixels that no pixel within the radius beats; see ``pathology.cells.find_peaks``.

    Parameters
    ----------
    score
        (B, H, W) float32.
    minimum
        Smallest score of a peak.
    radius_px
        Radius along y and along x in pixels of ``score``.
    core
        Rows and columns where peaks are wanted; scores around them compete.

    Returns
    -------
    torch.Tensor
        (n, 3) int64: image, row and column in ``score``, in that order of sorting.
    """
    offsets = disc_offsets(radius_px)
    reach = int(np.abs(offsets).max(initial=0))
    padded = functional.pad(score, (reach, reach, reach, reach), value=-torch.inf)
    found = torch.nonzero(score[:, *core] >= minimum)
    for axis in (0, 1):
        found[:, 1 + axis] += core[axis].indices(score.shape[1 + axis])[0]
    stride_b, stride_r = padded.stride(0), padded.stride(1)
    place = found[:, 0] * stride_b + (found[:, 1] + reach) * stride_r + found[:, 2] + reach
    steps = torch.from_numpy(offsets[:, 0] * stride_r + offsets[:, 1]).to(score.device)
    flat = padded.reshape(-1)
    # All at once: on a GPU each selection of rows would wait for the one before.
    here = flat.index_select(0, place)[:, None]
    around = (place[:, None] + steps).flatten()
    there = flat.index_select(0, around).view(len(place), len(steps))
    earlier = steps < 0
    return found[((here > there) | (~earlier & (here == there))).all(dim=1)]


def context_index(
    position: Tensor, *, stride: int, halo_px: int, factor: int, context_halo_px: int
) -> Tensor:
    """Return the context pixel that holds the middle of a map pixel, along one axis.

    Parameters
    ----------
    position
        (n,) int64: row or column in the dense map.
    stride
        Detail pixels per map pixel.
    halo_px
        Detail pixels before the core.
    factor
        Detail pixels per context pixel.
    context_halo_px
        Context pixels before the core.

    Returns
    -------
    torch.Tensor
        (n,) int64: row or column in the context map.

    Examples
    --------
    >>> context_index(torch.tensor([32, 33, 34]), stride=2, halo_px=64, factor=4,
    ...               context_halo_px=64).tolist()
    [64, 64, 65]
    """
    doubled = (2 * position + 1) * stride - 2 * halo_px  # twice the position, to stay in integers
    return torch.div(doubled, 2 * factor, rounding_mode="floor") + context_halo_px


def quantise_radii(rays_um: Tensor) -> Tensor:
    """Round radii to the table's step; see ``pathology.cells.measure.quantise_radii``.

    Parameters
    ----------
    rays_um
        (n, 32) float, µm.

    Returns
    -------
    torch.Tensor
        (n, 32) uint8, 0.2 µm.
    """
    steps = torch.round(rays_um.float() * (1 / RADIUS_STEP_UM))
    return steps.clamp(MIN_RADIUS_UM / RADIUS_STEP_UM, 255).to(torch.uint8)


def measure_cells(
    dab: Tensor,
    image: Tensor,
    centres_px: Tensor,
    outline_r: Tensor,
    *,
    mpp: Spacing,
    config: MeasurementConfig,
) -> tuple[Tensor, Tensor]:
    """Measure outlines and cytoplasm; see ``pathology.cells.measure_cells``.

    Parameters
    ----------
    dab
        (B, H, W) float32, contiguous: DAB optical density.
    image
        (n,) int64: which image of the batch a cell lies in.
    centres_px
        (n, 2) float64: x and y in pixels, 0 at the edge of the first pixel.
    outline_r
        (n, 32) uint8: radii in 0.2 µm.
    mpp
        Size of a pixel in µm.
    config
        Tolerance and where the cytoplasm lies.

    Returns
    -------
    tuple of torch.Tensor
        Ray densities (n, 32) uint8 in 0.01 OD and cytoplasm densities (n,) float32.
    """
    rays = _Rays.on(dab.device, config)
    size = _CPU_CHUNK if dab.device.type == "cpu" else _CUDA_CHUNK
    ray_od = torch.zeros(outline_r.shape, dtype=torch.uint8, device=dab.device)
    cytoplasm = torch.zeros(len(outline_r), dtype=torch.float32, device=dab.device)
    # One row and pixel more, which the last pixels' neighbours can be read from.
    flat = functional.pad(dab.reshape(-1), (0, dab.shape[2] + 1))
    for start in range(0, len(outline_r), size):
        rows = slice(start, start + size)
        place = _Place(image=image[rows], centres_px=centres_px[rows], mpp=mpp)
        sampler = _Sampler(flat, dab.shape, place)
        radii = outline_r[rows].float() * RADIUS_STEP_UM
        peak = torch.round(_outline_peak(sampler, radii, rays) * (1 / OD_STEP))
        ray_od[rows] = peak.clamp(0, 255).to(torch.uint8)
        cytoplasm[rows] = _cytoplasm_median(sampler, radii, rays)
    return ray_od, cytoplasm


@dataclass(frozen=True)
class _Place:
    """Say where cells lie in a batch of maps."""

    image: Tensor
    centres_px: Tensor
    mpp: Spacing


@dataclass(frozen=True)
class _Rays:
    """Hold the constants of the measurement on a device."""

    x: Tensor
    y: Tensor
    across: Tensor
    shares: Tensor

    @classmethod
    def on(cls, device: torch.device, config: MeasurementConfig) -> _Rays:
        directions = torch.from_numpy(ray_directions()).to(device)
        return cls(
            x=directions[:, 0],
            y=directions[:, 1],
            across=torch.from_numpy(radial_offsets(config.ray_tolerance_um)).to(device),
            shares=torch.from_numpy(cytoplasm_shares(config)).to(device),
        )


def _outline_peak(sampler: _Sampler, radii: Tensor, rays: _Rays) -> Tensor:
    x, y = radii * rays.x, radii * rays.y
    tangent_x = torch.roll(x, -1, 1) - torch.roll(x, 1, 1)
    tangent_y = torch.roll(y, -1, 1) - torch.roll(y, 1, 1)
    length = torch.sqrt(tangent_x * tangent_x + tangent_y * tangent_y)
    step_x = tangent_x / length * TANGENT_STEP_UM
    step_y = tangent_y / length * TANGENT_STEP_UM
    across = (radii[:, :, None] + rays.across).clamp(min=0)
    across_x, across_y = across * rays.x[:, None], across * rays.y[:, None]
    before = sampler.sample(across_x - step_x[:, :, None], across_y - step_y[:, :, None])
    total = before.mul_(TANGENT_WEIGHTS[0])
    total += sampler.sample(across_x, across_y).mul_(TANGENT_WEIGHTS[1])
    after = sampler.sample(across_x + step_x[:, :, None], across_y + step_y[:, :, None])
    total += after.mul_(TANGENT_WEIGHTS[2])
    return total.amax(dim=2)


def _cytoplasm_median(sampler: _Sampler, radii: Tensor, rays: _Rays) -> Tensor:
    along = radii[:, :, None] * rays.shares
    samples = sampler.sample(along * rays.x[:, None], along * rays.y[:, None]).flatten(1)
    lower, upper = _middle_pair(samples)
    median = (lower + upper) / 2
    return torch.round(median * (1 / CYTOPLASM_UNIT_OD)) * CYTOPLASM_UNIT_OD


def _middle_pair(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two values in the middle of each row of an even number of samples."""
    middle = samples.shape[1] // 2
    if samples.device.type != "cpu":
        lower = torch.kthvalue(samples, middle, dim=1).values
        return lower, torch.kthvalue(samples, middle + 1, dim=1).values
    # numpy's sort is written for vector instructions: a tenth of the time of two kthvalues.
    ordered = torch.from_numpy(np.sort(samples.numpy(), axis=1))
    return ordered[:, middle - 1], ordered[:, middle]


class _Sampler:
    """Sample maps bilinearly at displacements (µm) from the centres of cells.

    ``grid_sample`` is not used: its coordinates are shares of the whole window, whose rounding
    differs from window to window.
    """

    def __init__(self, flat: Tensor, shape: torch.Size, place: _Place) -> None:
        height, width = shape[1:]
        whole = torch.floor(place.centres_px)
        rest = (place.centres_px - whole - 0.5).float()
        column, row = (whole[:, axis, None, None].int() for axis in (0, 1))
        self._flat, self._after, self._width = flat, flat[1:], width
        self._first = (place.image.int()[:, None, None] * height + row) * width + column
        self._rest_x, self._rest_y = (rest[:, axis, None, None] for axis in (0, 1))
        self._left, self._right = -column.float(), (width - 1 - column).float()
        self._top, self._bottom = -row.float(), (height - 1 - row).float()
        self._per_um_x, self._per_um_y = 1 / place.mpp.x, 1 / place.mpp.y

    def sample(self, x_um: Tensor, y_um: Tensor) -> Tensor:
        # In place: new arrays cost as much as the arithmetic.
        x = (x_um * self._per_um_x).add_(self._rest_x).clamp_(self._left, self._right)
        y = (y_um * self._per_um_y).add_(self._rest_y).clamp_(self._top, self._bottom)
        left, top = torch.floor(x), torch.floor(y)
        fx, fy = x.sub_(left), y.sub_(top)
        index = top.mul_(self._width).add_(left).int().add_(self._first).flatten()
        upper = self._lerp(index, fx)
        lower = self._lerp(index.add_(self._width), fx)
        return lower.sub_(upper).mul_(fy).add_(upper)

    def _lerp(self, index: Tensor, fx: Tensor) -> Tensor:
        """Interpolate along x; in the last column fx is 0 and the next pixel does not matter."""
        here = self._flat.index_select(0, index).view(fx.shape)
        there = self._after.index_select(0, index).view(fx.shape)
        return there.sub_(here).mul_(fx).add_(here)
