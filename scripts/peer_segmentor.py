"""Our side of running tiatoolbox's SemanticSegmentor; for compare_peers.py.

What tiatoolbox 2.1 opens a slide with depends on the file's name. ``.svs``, ``.ndpi`` and ``.mrxs``
go to OpenSlide, which reads the stored level that fits. An ordinary TIFF with several levels
(``.tif``) is unpacked into memory as one picture, level 0, which is made smaller for every patch:
other pixels than those of the stored level, which was compressed once more. So that all read the
same, a ``.tif`` is shown to it by the name ``slide.svs``, unless its own way is asked for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide
import torch
from peer_loader import MAX_OFFSET_PX, PlainModel
from peer_work import Work, least_logit
from PIL import Image

from pathology.geometry import Box0
from pathology.inference import ops
from pathology.nn.cellnet import N_RAYS, CellMaps
from pathology.tiling.grid import BLOCK_PX
from pathology.wsi import open_slide

#: tiatoolbox gives a network one picture: the context is cut from it, so its halo is the wide one.
TIA_CORE_PX, TIA_HALO_PX = 512, 256
TIA_SIDE_PX = TIA_CORE_PX + 2 * TIA_HALO_PX
_PEER = Path(__file__).with_name("peer_tiatoolbox.py")
_TIFF = (".tif", ".tiff")


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """What a run of tiatoolbox gave.

    Parameters
    ----------
    seconds
        Its time.
    mm2
        Area of the patches that it ran the network on. It takes every patch whose input, with the
        halo, touches the mask: the tiles, and a ring of patches around them.
    centres
        (n, 2) cells' centres inside the tiles, µm.
    reader
        What it opened the slide with.
    pixels_differ
        Mean difference of its pixels from those that our engine reads, in grey values of 255, over
        some patches.
    versions
        Of tiatoolbox and what it runs on.
    """

    seconds: float
    mm2: float
    centres: np.ndarray
    reader: str
    pixels_differ: float
    versions: dict[str, str]


class OnePicture(torch.nn.Module):
    """Our network behind one input, as tiatoolbox wants it: colours in, one map out.

    The map must have the resolution of the input; the network's maps have half of it. So of each
    2 × 2 pixels the first is the logit of a centre, the next two are its offset along x and along
    y, µm, and the last is empty: the offsets make the canvas no larger.
    """

    def __init__(self, model: PlainModel) -> None:
        super().__init__()
        self.model, self.net = model, model.net
        self.to_rays = model.heads.to_rays

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """Return the (B, H, W, 1) map of the middle of (B, H + 512, W + 512, 3) pictures."""
        spec = self.model.work.grid.spec
        cut = TIA_HALO_PX - spec.halo_px
        wide = torch.nn.functional.avg_pool2d(
            rgb.permute(0, 3, 1, 2).float(), spec.context_factor
        ).round()
        near = rgb[:, cut : rgb.shape[1] - cut, cut : rgb.shape[2] - cut]
        detail = self.model.unmix(near)
        context = self.model.unmix(wide.permute(0, 2, 3, 1).to(torch.uint8), amounts=1)
        cast = [v.to(self.model.dtype).contiguous(memory_format=self.model.layout)
                for v in (detail, context)]  # fmt: skip
        maps = self.net(*cast)
        centre = maps.centre.float()
        four = torch.cat([centre, self._offsets_um(maps, centre), torch.zeros_like(centre)], dim=1)
        first = spec.halo_px // 2
        core = four[:, :, first:-first, first:-first]
        found: torch.Tensor = torch.nn.functional.pixel_shuffle(core, 2)
        return found.permute(0, 2, 3, 1)

    def _offsets_um(self, maps: CellMaps, centre: torch.Tensor) -> torch.Tensor:
        """Return (B, 2, H/2, W/2): the offsets of all pixels that are high enough for a peak.

        ``CellNet.describe`` says the same of single cells, but cannot be traced: the number of
        cells of the example would be kept.
        """
        image, row, column = torch.nonzero(centre[:, 0] >= self.model.minimum, as_tuple=True)
        seen = [
            level[image, :, row >> scale, column >> scale].float()
            for scale, level in enumerate(maps.outline)
        ]
        shape = self.to_rays(torch.cat(seen, dim=1))  # type: ignore[operator]
        offsets = torch.zeros_like(centre).repeat(1, 2, 1, 1).permute(0, 2, 3, 1)
        return offsets.index_put((image, row, column), shape[:, N_RAYS:]).permute(0, 3, 1, 2)


def traced(model: PlainModel, batch: int) -> torch.jit.ScriptModule:
    """Return the network as TorchScript, which tiatoolbox's own torch can run."""
    side = TIA_SIDE_PX
    glass = torch.full((batch, side, side, 3), 255, dtype=torch.uint8, device=model.work.device)
    with torch.inference_mode():
        found: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
            OnePicture(model).eval(), glass, check_trace=False
        )
    return found


def run_tiatoolbox(
    work: Work, model: PlainModel, python: str, *, batch: int, workers: int, own_reader: bool
) -> Segmented:
    """Run it; ``own_reader``: a ``.tif`` is given by its own name."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        torch.jit.save(traced(model, batch), files / "network.pt")
        _write_mask(work, files / "mask.png")
        path = work.path.resolve()
        if not own_reader and path.suffix.lower() in _TIFF:
            path = files / "slide.svs"
            path.symlink_to(work.path.resolve())
        order = {
            "slide": str(path), "folder": folder, "mpp": work.grid.mpp.x, "core": TIA_CORE_PX,
            "side": TIA_SIDE_PX, "batch": batch, "workers": workers, "device": str(work.device),
            "slide_mpp": [work.grid.spacing.x, work.grid.spacing.y],
        }  # fmt: skip
        (files / "order.json").write_text(json.dumps(order))
        # It logs to its stdout; ours holds results only.
        subprocess.run([python, str(_PEER), folder], check=True, stdout=sys.stderr)
        answer = json.loads((files / "answer.json").read_text())
        canvas = np.load(files / "canvas.npy", mmap_mode="r")
        seen = np.load(files / "seen.npz")
        return Segmented(
            seconds=answer["seconds"],
            mm2=answer["patches"] * TIA_CORE_PX**2 * work.grid.mpp.area_um2 / 1e6,
            centres=centres_of_canvas(work, canvas), reader=answer["reader"],
            pixels_differ=pixels_differ(work, seen["pixels"], seen["bounds"]),
            versions=answer["versions"],
        )  # fmt: skip


def pixels_differ(work: Work, pixels: np.ndarray, bounds: np.ndarray) -> float:
    """Compare (n, H, W, 3) patches with ours; bounds: (n, 4) x, y, x, y in model pixels."""
    grid, found = work.grid, []
    with open_slide(work.path, reading=work.config.reading) as slide:
        for patch, (x, y, right, bottom) in zip(pixels, bounds.tolist(), strict=True):
            box = Box0(
                x=x * grid.block_x // BLOCK_PX, y=y * grid.block_y // BLOCK_PX,
                width=(right - x) * grid.block_x // BLOCK_PX,
                height=(bottom - y) * grid.block_y // BLOCK_PX,
            )  # fmt: skip
            ours = slide.read(box, mpp=grid.mpp)
            found.append(np.abs(ours.astype(np.int16) - patch).mean())
    return float(np.mean(found))


def _write_mask(work: Work, path: Path) -> None:
    """Mark the tiles as tissue, over all of level 0, one pixel per 64 model pixels."""
    grid = work.grid
    size = openslide.OpenSlide(str(work.path)).dimensions
    mask = np.zeros((-(-size[1] // grid.block_y), -(-size[0] // grid.block_x)), dtype=np.uint8)
    for tile in work.tiles:
        rows = slice(tile.core.y // grid.block_y, tile.core.bottom // grid.block_y)
        mask[rows, tile.core.x // grid.block_x : tile.core.right // grid.block_x] = 255
    Image.fromarray(mask).save(path)


def centres_of_canvas(work: Work, canvas: np.ndarray) -> np.ndarray:
    """Return (n, 2) cells' centres inside the tiles, µm, of the (H, W) map of a whole slide."""
    cells, mpp = work.config.cells, work.grid.mpp
    even = np.pad(canvas, [(0, size % 2) for size in canvas.shape])
    logits = torch.from_numpy(np.ascontiguousarray(even[::2, ::2]))
    radius = cells.min_distance_um / 2
    found = ops.find_peaks(
        logits[None], minimum=least_logit(work.config),
        radius_px=(radius / mpp.y, radius / mpp.x),
        core=(slice(0, logits.shape[0]), slice(0, logits.shape[1])),
    ).numpy()  # fmt: skip
    row, column = found[:, 1], found[:, 2]
    size_um = np.array([mpp.x, mpp.y])
    middle_um = (found[:, [2, 1]] + 0.5) * 2 * size_um
    offset_um = np.stack([even[::2, 1::2][row, column], even[1::2, ::2][row, column]], axis=1)
    xy = middle_um + np.clip(offset_um, -MAX_OFFSET_PX * size_um, MAX_OFFSET_PX * size_um)
    inside = np.zeros(len(xy), dtype=bool)
    at = middle_um / [work.grid.spacing.x, work.grid.spacing.y]  # a cell is where its peak is
    for tile in work.tiles:
        core = tile.core
        inside |= ((at >= [core.x, core.y]) & (at < [core.right, core.bottom])).all(axis=1)
    return np.asarray(xy[inside])
