"""Score one slide from its file to its folder of results."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pathology.cells.reader import AnyReader, TileClassifier
from pathology.config import Config, load_config
from pathology.errors import RegionReadError, SlideError
from pathology.pipeline.calibrated import calibration_columns, calibration_flags
from pathology.pipeline.classifying import take_all_tiles
from pathology.pipeline.guided import check_guideline
from pathology.pipeline.quality import Quality, judge_quality
from pathology.pipeline.reading import TileReading, add_drawn_tumour
from pathology.pipeline.request import Progress, SlideRequest, slide_identity
from pathology.provenance import SlideIdentity, sha256_file
from pathology.report import Backdrop, Outline, TileMarks, draw_heatmap, draw_overview
from pathology.runs import (
    BoxBlock,
    CellWriter,
    ErrorBlock,
    GridBlock,
    OutputFile,
    RegionsBlock,
    SlideFolder,
    SlideResult,
    SpacingBlock,
    StainBlock,
    atomic_write_bytes,
    count_columns,
    make_slide_id,
    read_cells,
    result_from_error,
    write_tiles,
)
from pathology.scoring import TILE_FLAG, SlideScore, load_guideline, provenance_flags
from pathology.stain.calibration import check_model
from pathology.tiling import TileGrid, lay_grid
from pathology.tissue import Regions, TissueFinding, find_tissue, load_regions
from pathology.wsi import open_slide
from pathology.wsi.slide import Slide, SlideInfo

__all__ = ["score_slide"]

#: Above this pixel size a 1+ membrane, 0.64 µm wide (PMC5848460), covers less than two pixels.
COARSE_UM_PER_PX = 0.35

#: What a result takes over from the score as it is.
_SCORE_COLUMNS = (
    "status",
    "reasons",
    "ihc_score",
    "her2_status",
    "her2_tier",
    "ish_reflex",
    "mean_membrane_od",
    "h_score",
    "deciding_rule",
    "deciding_clause",
    "deciding_lo",
    "deciding_hi",
    "distance_to_cutoff_pp",
    "boot_share_null",
    "boot_share_ultralow",
    "boot_share_1",
    "boot_share_2",
    "boot_share_3",
    "ultralow_upper_pct",
    "borderline",
    "n_in_situ_excluded",
)


def score_slide(
    path: Path | str,
    *,
    out_dir: Path | str,
    slide_id: str | None = None,
    request: SlideRequest | None = None,
    reader: AnyReader | None = None,
    config: Config | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> SlideResult:
    """Score one slide and write its folder ``out_dir/slides/<slide_id>``.

    Parameters
    ----------
    path
        The slide file.
    out_dir
        The run folder.
    slide_id
        Name of the slide's folder; None makes one from the path.
    request
        What is known about the slide beside its pixels; None: only its path.
    reader
        What finds the cells, or classifies the tiles; None loads the bundled model on the CPU.
    config
        Configuration; None is the default one.
    progress
        Called as the work goes on.

    Returns
    -------
    SlideResult
        Scored, not scorable, or failed; a slide that cannot be read is a result, not an exception.

    Raises
    ------
    UsageError
        If the configuration or the model cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from pathology.testing import FakeModel
    >>> with tempfile.TemporaryDirectory() as out:
    ...     result = score_slide("missing.svs", out_dir=out, reader=FakeModel())
    >>> result.status, str(result.reasons[0])
    ('failed', 'file_missing')
    """
    job = _Job(
        request=request or SlideRequest(path=Path(path)),
        folder=SlideFolder(root=Path(out_dir), slide_id=slide_id or make_slide_id(str(path))),
        reader=reader or _bundled_reader(config),
        config=config or load_config(),
        report=progress or (lambda _: None),
    )
    check_model(job.config.calibration, name=job.reader.name, sha256=job.reader.sha256)
    check_guideline(job.config, tiles=isinstance(job.reader, TileClassifier))
    try:
        return job.run()
    except SlideError as error:
        return job.stopped_by(error)


def _bundled_reader(config: Config | None) -> AnyReader:
    # Imported here: this room must load without torch.
    from pathology.inference.bundle import load_model

    return load_model(config=config)


def _flags_of(request: SlideRequest, reader: AnyReader, config: Config) -> set[str]:
    """Return what is to be said of a slide before it is opened."""
    guideline = load_guideline(config.scoring.guideline)
    unverified = provenance_flags(guideline, ihc_score=None, assay=request.assay)
    control = {"control_slide"} if request.role == "control" else set()
    return control | unverified | ({TILE_FLAG} if isinstance(reader, TileClassifier) else set())


def _backdrop(slide: Slide, finding: TissueFinding, size_px: int) -> Backdrop:
    """Read the picture behind the marks; where parts cannot be read, the coarse overview serves."""
    try:
        return Backdrop.read(slide, size_px=size_px)
    except RegionReadError:
        return Backdrop.from_finding(finding)


class _Job:
    """One slide on its way; ``known`` grows with every stage, for the row of a slide that stops."""

    def __init__(
        self,
        *,
        request: SlideRequest,
        folder: SlideFolder,
        reader: AnyReader,
        config: Config,
        report: Callable[[Progress], None],
    ) -> None:
        self.request, self.folder, self.reader = request, folder, reader
        self.config, self.report = config, report
        self.known: dict[str, Any] = {
            **{
                name: getattr(request, name) or None
                for name in (
                    "case_id",
                    "block_id",
                    "specimen_type",
                    "site",
                    "assay",
                    "stain_run",
                    "expected_score",
                )
            },
            "role": request.role,
            "config_hash": config.hash,
            "guideline": config.scoring.guideline,
            "model": reader.name,
            "model_sha256": reader.sha256,
            **calibration_columns(config),
            "flags": _flags_of(request, reader, config),
            "warnings": [],
            "outputs": [],
        }

    def run(self) -> SlideResult:
        """Go through all stages; a SlideError on the way ends the slide."""
        self.report(Progress(stage="open"))
        self.folder.begin()
        identity = slide_identity(self.request)
        self.known["identity"] = identity
        with open_slide(
            self.request.path,
            mpp=self.request.mpp,
            mpp_source=self.request.mpp_source,
            reading=self.config.reading,
            cache_mb=self.config.runtime.cache_mb,
        ) as slide:
            self._note_slide(slide.info, identity)
            regions = self._load_regions(slide.info)
            self.report(Progress(stage="tissue"))
            finding = find_tissue(slide, self.config)
            if regions is not None:
                finding = add_drawn_tumour(finding, regions, self.config)
            self._note_finding(finding)
            grid = lay_grid(
                slide.info.bounds,
                slide.info.spacing,
                self.reader.spec,
                tile_px=self.config.tiling.tile_px,
            )
            self._note_grid(grid)
            reading = self._read(slide, finding, grid, regions)
            backdrop = _backdrop(slide, finding, self.config.report.overview_px)
        self.report(Progress(stage="score"))
        quality = judge_quality(finding, reading, self.config)
        specimen_type = self.request.specimen_type
        score = reading.score(self.config, quality.reasons, specimen_type=specimen_type)
        self._note_reading(reading, quality)
        result = self._result(score, quality)
        self.report(Progress(stage="report"))
        return self._finish(result, finding, regions, reading, backdrop)

    def stopped_by(self, error: SlideError) -> SlideResult:
        """Make and keep the result of a slide that an error ended."""
        known = {**self.known, "flags": tuple(self.known["flags"]), "outputs": ()}
        known["warnings"] = tuple(self.known["warnings"])
        result = result_from_error(
            error, slide_id=self.folder.slide_id, path=self.request.name, **known
        )
        try:
            if result.status == "not_scorable":
                picture = draw_overview(result, None, size_px=self.config.report.overview_px)
                atomic_write_bytes(self.folder.overview, picture)
                files = (OutputFile(name=self.folder.overview.name),)
                result = result.model_copy(update={"outputs": files})
            self.folder.write_result(result)
        except SlideError as second:
            # The disk is full or the folder is gone: the row in results.csv must suffice.
            return result_from_error(
                second, slide_id=self.folder.slide_id, path=self.request.name, **known
            )
        return result

    def _note_slide(self, info: SlideInfo, identity: SlideIdentity) -> None:
        identity = identity.model_copy(update={"quickhash": info.quickhash})
        self.known["flags"] |= calibration_flags(self.config, self.request, identity)
        self.known |= {
            "identity": identity,
            "vendor": info.vendor,
            "spacing": SpacingBlock.of(info.spacing),
            "mpp": info.spacing.mean,
            "mpp_source": info.mpp_source,
            "icc_profile": info.icc_profile,
            "region_source": "model",
            "control_status": "not_assessed",
        }
        if info.spacing.mean > COARSE_UM_PER_PX:
            self.known["flags"].add("coarse_resolution")

    def _load_regions(self, info: SlideInfo) -> Regions | None:
        path = self.request.regions
        if path is None:
            return None
        regions = load_regions(path, info)
        # "unknown_region_class:Name" names what was drawn: the name is for people.
        self.known["flags"] |= {flag.partition(":")[0] for flag in regions.flags}
        self.known["warnings"] += [flag for flag in regions.flags if ":" in flag]
        self.known["region_source"] = "annotation" if regions.has_tumour else "model"
        areas = {
            kind.name.lower(): shape.area * info.spacing.area_um2 / 1e6
            for kind, shape in regions.shapes.items()
        }
        self.known["regions"] = RegionsBlock(
            name=path.name, sha256=sha256_file(path), areas_mm2=areas
        )
        return regions

    def _note_finding(self, finding: TissueFinding) -> None:
        measured = {
            name: value
            for name, value in vars(finding.stain).items()
            if name not in ("kind", "reason")
            and not (isinstance(value, float) and math.isnan(value))
        }
        self.known |= {
            "tissue_mm2": finding.tissue_mm2,
            "white_point": finding.white_point,
            "stain_check": StainBlock(verdict=finding.stain.kind, measured=measured),
        }
        self.known["flags"] |= set(finding.flags)
        self.known["qc"] = {
            f"excluded_{kind}_mm2": mask.area_mm2 for kind, mask in finding.excluded.items()
        }

    def _note_grid(self, grid: TileGrid) -> None:
        self.known |= {
            "model_mpp": SpacingBlock.of(grid.mpp),
            "grid": GridBlock(
                box=BoxBlock.of(grid.box),
                tile_px=grid.tile_px,
                block_x=grid.block_x,
                block_y=grid.block_y,
            ),
        }

    def _read(
        self, slide: Slide, finding: TissueFinding, grid: TileGrid, regions: Regions | None
    ) -> TileReading:
        def advance(done: float, total: float) -> None:
            self.report(Progress(stage="read", done_mm2=done, total_mm2=total))

        with CellWriter(self.folder.cells) as writer:
            reading = take_all_tiles(
                slide,
                finding,
                grid,
                self.reader,
                writer,
                regions=regions,
                config=self.config,
                advance=advance,
            )
        rows = write_tiles(self.folder.tiles, reading.rows)
        self.known["outputs"] += [
            OutputFile(name=self.folder.cells.name, rows=writer.rows),
            OutputFile(name=self.folder.tiles.name, rows=rows),
        ]
        return reading

    def _note_reading(self, reading: TileReading, quality: Quality) -> None:
        self.known["qc"] |= quality.measured
        self.known["flags"] |= quality.flags
        self.known["warnings"] += [
            f"{n} tiles failed: {cause}" if n > 1 else f"1 tile failed: {cause}"
            for cause, n in sorted(reading.failures.items())
        ]
        self.known |= {
            "tiles": len(reading.rows),
            "failed_tiles": reading.n_failed,
            "tumour_mm2": reading.tumour_mm2,
            "class_counts": dict(reading.class_counts),
        }

    def _result(self, score: SlideScore, quality: Quality) -> SlideResult:
        scored = score.status == "scored"
        flags = self.known["flags"] | set(score.flags)
        guideline = load_guideline(score.guideline)
        flags |= provenance_flags(guideline, ihc_score=score.ihc_score, assay=self.request.assay)
        if score.counts.total:
            flags |= {"invasive_region_unverified"}
        columns = {name: getattr(score, name) for name in _SCORE_COLUMNS}
        if quality.explanations:
            columns["deciding_clause"] = f"no score: {' '.join(quality.explanations)}"
        known = {**self.known, **columns, **count_columns(score.counts)}
        known["flags"] = tuple(flags)
        known["warnings"] = tuple(self.known["warnings"])
        known["outputs"] = tuple(self.known["outputs"])
        return SlideResult(
            slide_id=self.folder.slide_id,
            path=self.request.name,
            error=None
            if scored
            else ErrorBlock(message=f"{self.request.name}: {columns['deciding_clause']}"),
            **known,
        )

    def _finish(
        self,
        result: SlideResult,
        finding: TissueFinding,
        regions: Regions | None,
        reading: TileReading,
        backdrop: Backdrop,
    ) -> SlideResult:
        marks = TileMarks.from_rows(reading.rows)
        size = self.config.report.overview_px
        overview = draw_overview(
            result,
            backdrop,
            tissue=finding.tissue.mask,
            areas={kind: mask.mask for kind, mask in finding.excluded.items()},
            regions=Outline.from_regions(regions) if regions is not None else (),
            tiles=marks,
            size_px=size,
        )
        atomic_write_bytes(self.folder.overview, overview)
        names = [self.folder.overview.name]
        if marks.n:
            cells = None if TILE_FLAG in result.flags else read_cells(self.folder.cells)
            heatmap = draw_heatmap(result, backdrop, marks, cells=cells, size_px=size)
            atomic_write_bytes(self.folder.heatmap, heatmap)
            names.append(self.folder.heatmap.name)
        files = (*result.outputs, *(OutputFile(name=name) for name in names))
        result = result.model_copy(update={"outputs": files})
        self.folder.write_result(result)
        return result
