"""What a run would cost: headers and overviews only, no model and no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pathology.batch.inputs import collect_inputs
from pathology.batch.readers import ReaderFactory, make_factory
from pathology.config import Config, load_config
from pathology.errors import ReasonCode, SlideError
from pathology.pipeline import SlideRequest, check_specimens
from pathology.scoring import load_guideline
from pathology.tiling import InputSpec, lay_grid, select_tiles
from pathology.tissue import find_tissue
from pathology.wsi import open_slide

__all__ = ["PlannedSlide", "Speed", "make_factory", "plan_slides", "speed"]

#: Tissue per minute where nothing was measured, mm². CPU: 1.4 mm² of dense synthetic tumour took 8
#: seconds of one core with all stages (her2-cells 0.1.0, fp32), so two cores do up to 20; half of
#: it is left on small slides, for opening, pictures and loading the model. GPU: a cautious guess,
#: because reading then limits, and that depends on the disk.
_CPU_MM2_PER_MINUTE = 10.0
_CUDA_MM2_PER_MINUTE = 200.0
#: Bytes per mm² of tissue: 260,000 in the same slide (3,300 cells per mm²), rounded up.
_BYTES_PER_MM2 = 300_000
#: Bytes of the pictures and of ``result.json``: 1.5 million in the same slide, rounded up.
_BYTES_PER_SLIDE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class PlannedSlide:
    """Say what one slide would cost.

    Parameters
    ----------
    path
        The file as the user named it.
    tissue_mm2
        Tissue found on the overview, mm².
    tiles
        Tiles that would be read.
    mpp
        Pixel size in µm/px, None where unknown.
    refusal
        Why the slide would get no score, or empty.
    reader
        What would read its pixels: ``direct``, ``openslide`` or ``memory``; empty where unknown.
    """

    path: str
    tissue_mm2: float = 0.0
    tiles: int = 0
    mpp: float | None = None
    refusal: str = ""
    reader: str = ""

    @property
    def bytes_written(self) -> int:
        """Bytes that a run would write for the slide, estimated."""
        return round(self.tissue_mm2 * _BYTES_PER_MM2) + (_BYTES_PER_SLIDE if self.tiles else 0)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Say how fast tissue is read, and how that is known."""

    mm2_per_minute: float
    source: str


def speed(device: str, measured: float | None = None) -> Speed:
    """Return the speed to reckon with.

    Parameters
    ----------
    device
        As in ``runtime.device``; ``auto`` is taken for the CPU, the slower guess.
    measured
        mm² per minute from an earlier run, above 0; None takes a default.

    Examples
    --------
    >>> speed("cpu", 10.0).mm2_per_minute
    10.0
    """
    if measured is not None:
        return Speed(mm2_per_minute=measured, source="as given with --rate")
    if device.startswith("cuda"):
        gpus = device.count(",") + 1
        return Speed(
            mm2_per_minute=_CUDA_MM2_PER_MINUTE * gpus,
            source=f"assumed for {gpus} GPU, not measured: --measure does that",
        )
    return Speed(
        mm2_per_minute=_CPU_MM2_PER_MINUTE,
        source="assumed for two CPU cores, not measured: --measure does that",
    )


def plan_slides(
    inputs: Sequence[str | Path],
    *,
    config: Config | None = None,
    model: str = "her2-cells",
    mpp: float | None = None,
    factory: ReaderFactory | None = None,
) -> tuple[list[PlannedSlide], int]:
    """Open headers and overviews of all slides.

    Parameters
    ----------
    inputs, model, mpp, factory
        As for :func:`pathology.batch.score_folder`.
    config
        The configuration; None takes the default.

    Returns
    -------
    slides
        One per slide, in the order of the inputs.
    skipped
        Number of files that are not slides by their extension.

    Raises
    ------
    UsageError
        If an input or the configuration is wrong, or the model cannot be found.
    """
    config = config or load_config()
    load_guideline(config.scoring.guideline)
    spec = (factory or make_factory(model)).spec
    found = collect_inputs(inputs, mpp=mpp)
    check_specimens(config, found.requests)
    slides = [_plan_slide(request, spec, config) for request in found.requests]
    return slides, len(found.skipped)


def _plan_slide(request: SlideRequest, spec: InputSpec, config: Config) -> PlannedSlide:
    try:
        with open_slide(
            request.path, mpp=request.mpp, mpp_source=request.mpp_source, reading=config.reading
        ) as slide:
            info = slide.info
            finding = find_tissue(slide, config)
    except SlideError as error:
        return PlannedSlide(path=request.name, refusal=f"{error.reason}: {error}")
    refusals = [
        f"{code}: {text}" for code, text in zip(finding.reasons, finding.explanations, strict=True)
    ]
    if not load_guideline(config.scoring.guideline).for_specimen(request.specimen_type):
        refusals.append(f"{ReasonCode.SPECIMEN_TYPE_UNKNOWN}: not stated in the manifest")
    grid = lay_grid(info.bounds, info.spacing, spec, tile_px=config.tiling.tile_px)
    tiles = select_tiles(grid, finding.tissue, min_fraction=config.tissue.min_tile_fraction)
    return PlannedSlide(
        path=request.name,
        tissue_mm2=finding.tissue_mm2,
        tiles=len(tiles),
        mpp=info.spacing.mean,
        refusal="; ".join(refusals),
        reader=info.reader,
    )
