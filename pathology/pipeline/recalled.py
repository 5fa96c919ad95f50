"""What a stored result says of its slide, in the types that scoring works with."""

from __future__ import annotations

from pathology.config import Config
from pathology.errors import ReasonCode
from pathology.geometry import Spacing
from pathology.pipeline.classifying import ClassifiedTiles
from pathology.pipeline.request import STATED_FIELDS
from pathology.runs import Ground, SlideResult
from pathology.scoring import TILE_CLASSES
from pathology.tiling import InputSpec, TileGrid
from pathology.tissue import REGION_FLAGS, StainCheck, TissueFinding, least_tissue_mm2

__all__ = [
    "KEPT_FIELDS",
    "about_regions",
    "measured",
    "recall_classifier",
    "recall_finding",
    "recall_grid",
]

#: Fields of a result that are about the slide and not about what its cells say.
KEPT_FIELDS = (
    *STATED_FIELDS,
    "role",
    "model",
    "model_sha256",
    "identity",
    "vendor",
    "size_px",
    "spacing",
    "mpp",
    "mpp_source",
    "icc_profile",
    "region_source",
    "control_status",
    "white_point",
    "stain_check",
    "model_mpp",
    "grid",
    "regions",
    "reader",
    "reader_note",
)

#: What the overview alone decides, or the laboratory: no setting that is allowed here lifts it.
_FIXED_REASONS = (
    ReasonCode.NO_TISSUE,
    ReasonCode.NOT_IHC,
    ReasonCode.CLIPPED_IMAGE,
    ReasonCode.CONTROL_FAILED,
)


def about_regions(warning: str) -> bool:
    """Tell whether a warning of a result is about its region file.

    Examples
    --------
    >>> about_regions("unknown_region_class:Stroma"), about_regions("2 tiles failed: broken")
    (True, False)
    """
    return warning.partition(":")[0] in REGION_FLAGS


def measured(result: SlideResult, name: str) -> int:
    """Return a count of the block ``qc``; 0 where there is none."""
    value = result.qc.get(name, 0)
    return int(value) if isinstance(value, int) else 0


def recall_finding(
    result: SlideResult, ground: Ground, config: Config, *, fresh: bool
) -> TissueFinding:
    """Put together what the overview showed, before regions were looked at.

    Parameters
    ----------
    result, ground
        What is stored of the slide.
    config
        The configuration; ``tissue.min_tissue_mm2`` is used.
    fresh
        The result's own regions are replaced, so that what they lifted counts again.
    """
    reasons = [code for code in _FIXED_REASONS if code in result.reasons]
    tissue = ground.tissue
    if fresh and tissue.area_mm2 < least_tissue_mm2(tissue, config):
        # Drawn tumour had lifted it; other regions may not.
        reasons = sorted({*reasons, ReasonCode.NO_TISSUE}, key=list(ReasonCode).index)
    text = (result.deciding_clause or "").removeprefix("no score: ")
    if reasons and ReasonCode.NO_TISSUE in reasons and ReasonCode.NO_TISSUE not in result.reasons:
        text = f"{tissue.area_mm2:.3f} mm² of tissue found"
    stain = result.stain_check
    return TissueFinding(
        overview=ground.backdrop,
        box=tissue.box,
        tissue=tissue,
        excluded=ground.excluded,
        white_point=result.white_point or (255.0, 255.0, 255.0),
        tissue_mm2=tissue.area_mm2,
        stain=StainCheck(kind=stain.verdict if stain else "unchecked"),  # type: ignore[arg-type]
        reasons=tuple(reasons),
        explanations=tuple(text if k == 0 else "" for k in range(len(reasons))),
    )


def recall_classifier(result: SlideResult, spacing: Spacing) -> ClassifiedTiles:
    """Take over what a tile classifier's result says beside its tiles.

    Parameters
    ----------
    result
        With the flag ``tile_model``.
    spacing
        Size of a level-0 pixel in µm.
    """
    grid, counts = result.grid, result.class_counts or {}
    if grid is None:
        raise ValueError(f"{result.path}: a result with tiles has a grid")
    blocks = grid.tile_px // 64
    like = ClassifiedTiles(
        spacing=spacing,
        side_um=max(blocks * grid.block_x * spacing.x, blocks * grid.block_y * spacing.y),
        outputs="scores" if set(counts) & set(TILE_CLASSES["scores"][1:]) else "patterns",
    )
    like.class_counts.update(counts)
    like.n_in_situ = result.n_in_situ_excluded or 0
    return like


def recall_grid(result: SlideResult, finding: TissueFinding) -> TileGrid:
    """Lay the grid of a slide again, from what its result says of it."""
    grid, mpp = result.grid, result.model_mpp
    if grid is None or mpp is None:
        raise ValueError(f"{result.path}: a result with tiles has a grid")
    return TileGrid(
        box=finding.box,
        spacing=finding.tissue.spacing,
        # What the model sees around a tile plays no part where nothing is read.
        spec=InputSpec(mpp=mpp.x, halo_px=0, context_factor=1, context_halo_px=0),
        tile_px=grid.tile_px,
        block_x=grid.block_x,
        block_y=grid.block_y,
    )
