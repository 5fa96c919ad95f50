"""Score one slide from its file to its folder of results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pathology.cells.reader import AnyReader, TileClassifier
from pathology.config import Config, load_config
from pathology.errors import RegionReadError, SlideError
from pathology.pipeline.ahead import Prepared, SlideAhead, open_request
from pathology.pipeline.areas import add_drawn_tumour
from pathology.pipeline.calibrated import calibration_columns, calibration_flags
from pathology.pipeline.classifying import take_all_tiles
from pathology.pipeline.gathered import TileReading
from pathology.pipeline.guided import check_guideline
from pathology.pipeline.notes import Notes
from pathology.pipeline.pictures import write_pictures
from pathology.pipeline.quality import judge_quality
from pathology.pipeline.reading import judge_threads, reader_threads
from pathology.pipeline.request import Progress, SlideRequest, slide_identity
from pathology.provenance import SlideIdentity
from pathology.report import Backdrop, draw_overview
from pathology.runs import (
    BoxBlock,
    CellWriter,
    GridBlock,
    OutputFile,
    SlideFolder,
    SlideResult,
    SpacingBlock,
    decode_backdrop,
    encode_backdrop,
    make_slide_id,
    read_cells,
    write_ground,
    write_tiles,
)
from pathology.scoring import TILE_FLAG
from pathology.stain.calibrating import check_model
from pathology.tiling import TileGrid, lay_grid
from pathology.timing import SlideTiming, Stopwatch, peak_memory_bytes
from pathology.tissue import Regions, TissueFinding, find_tissue, load_regions
from pathology.wsi.slide import Slide, SlideInfo

__all__ = ["score_slide"]

#: Above this pixel size a 1+ membrane, 0.64 µm wide (PMC5848460), covers less than two pixels.
COARSE_UM_PER_PX = 0.35


def score_slide(
    path: Path | str,
    *,
    out_dir: Path | str,
    slide_id: str | None = None,
    request: SlideRequest | None = None,
    reader: AnyReader | None = None,
    config: Config | None = None,
    progress: Callable[[Progress], None] | None = None,
    ahead: SlideAhead | None = None,
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
    ahead
        The same slide, opened while the one before it was read, or None. The result is the same.

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
        ahead=ahead,
    )
    check_model(job.config.calibration, name=job.reader.name, sha256=job.reader.sha256)
    check_guideline(job.config, tiles=isinstance(job.reader, TileClassifier))
    try:
        return job.run()
    except SlideError as error:
        return job.stopped_by(error)
    finally:
        job.report(Progress(stage="done", timing=job.timing()))


def _bundled_reader(config: Config | None) -> AnyReader:
    # Imported here: this room must load without torch.
    from pathology.inference.bundle import load_model

    return load_model(config=config)


def _flags_of(request: SlideRequest, reader: AnyReader) -> set[str]:
    """Return what is to be said of a slide before it is opened."""
    control = {"control_slide"} if request.role == "control" else set()
    return control | ({TILE_FLAG} if isinstance(reader, TileClassifier) else set())


def _backdrop(slide: Slide, finding: TissueFinding, size_px: int) -> Backdrop:
    """Read the picture behind the marks; where parts cannot be read, the coarse overview serves."""
    try:
        return Backdrop.read(slide, size_px=size_px)
    except RegionReadError:
        return Backdrop.from_finding(finding)


@dataclass(frozen=True, kw_only=True)
class _Survey:
    """What is known of a slide before its tiles are read; ``finding`` has what was drawn."""

    regions: Regions | None
    found: TissueFinding
    finding: TissueFinding
    grid: TileGrid


class _Job:
    """One slide on its way; ``notes`` grow with every stage, for the row of a slide that stops."""

    def __init__(
        self,
        *,
        request: SlideRequest,
        folder: SlideFolder,
        reader: AnyReader,
        config: Config,
        report: Callable[[Progress], None],
        ahead: SlideAhead | None,
    ) -> None:
        self.request, self.folder, self.reader = request, folder, reader
        self.config, self.report, self.ahead = config, report, ahead
        self.watch = Stopwatch()
        self.tissue_mm2, self.tiles, self.tile_px = 0.0, 0, 0
        self.notes = Notes(
            slide_id=folder.slide_id,
            path=request.name,
            known={
                **request.stated,
                "config_hash": config.hash,
                "guideline": config.scoring.guideline,
                "model": reader.name,
                "model_sha256": reader.sha256,
                **calibration_columns(config),
            },
            slide_flags=_flags_of(request, reader),
            hidden=request.hidden,
        )

    def run(self) -> SlideResult:
        """Go through all stages; a SlideError on the way ends the slide."""
        self.report(Progress(stage="open"))
        self.folder.begin()
        identity = slide_identity(self.request)
        self.notes.known["identity"] = identity
        ready = None if self.ahead is None else self.ahead.take(identity)
        with self._open() if ready is None else ready.slide as slide:
            self._note_slide(slide.info, identity)
            survey = self._survey(slide, ready)
            reading = self._read(slide, survey)
            with self.watch.timed("pictures"):
                backdrop = _backdrop(slide, survey.finding, self.config.report.overview_px)
                picture = encode_backdrop(backdrop.rgb)
        # As found, before anything was drawn: other regions can be taken later.
        self.notes.outputs += write_ground(
            self.folder,
            tissue=survey.found.tissue,
            excluded=survey.found.excluded,
            backdrop=picture,
            regions=survey.regions,
        )
        self.report(Progress(stage="score"))
        with self.watch.timed("score"):
            result = self._judge(survey.finding, reading)
        self.report(Progress(stage="report"))
        with self.watch.timed("pictures"):
            result = write_pictures(
                self.folder,
                result,
                finding=survey.finding,
                backdrop=decode_backdrop(picture),
                spacing=survey.grid.spacing,
                regions=survey.regions,
                rows=reading.rows,
                cells=read_cells(self.folder.cells, only_counted=True),
                size_px=self.config.report.overview_px,
            )
        self.folder.write_result(result)
        return result

    def timing(self) -> SlideTiming:
        """Return where the time of the slide went, up to now."""
        return SlideTiming(
            wall_s=self.watch.wall_s,
            seconds=self.watch.seconds,
            threads={
                "read": reader_threads(self.config, self.reader.device),
                "engine": self.reader.streams,
                "tables": judge_threads(self.reader.device) + 1,
            },
            tissue_mm2=self.tissue_mm2,
            tiles=self.tiles,
            megapixels=self.tiles * self.tile_px**2 / 1e6,
            peak_bytes=peak_memory_bytes(),
            device_bytes=self.reader.usage.device_bytes,
        )

    def _open(self) -> Slide:
        with self.watch.timed("open"):
            return open_request(self.request, self.config)

    def _survey(self, slide: Slide, ready: Prepared | None) -> _Survey:
        """Find what is read: the regions, the tissue and its tiles."""
        regions = self._load_regions(slide.info)
        self.report(Progress(stage="tissue"))
        found = finding = self._find_tissue(slide, ready)
        self.tissue_mm2 = found.tissue_mm2
        if regions is not None:
            finding = add_drawn_tumour(found, regions, self.config)
        self.notes.add_stain(finding)
        self.notes.add_areas(finding)
        grid = lay_grid(
            slide.info.bounds,
            slide.info.spacing,
            self.reader.spec,
            tile_px=self.config.tiling.tile_px,
        )
        self._note_grid(grid)
        return _Survey(regions=regions, found=found, finding=finding, grid=grid)

    def _find_tissue(self, slide: Slide, ready: Prepared | None) -> TissueFinding:
        if ready is not None:
            self.watch.add_all(ready.watch)
            return ready.finding
        with self.watch.timed("tissue"):
            return find_tissue(slide, self.config)

    def _judge(self, finding: TissueFinding, reading: TileReading) -> SlideResult:
        """Score what was read, with the refusals and flags of its quality."""
        quality = judge_quality(finding, reading, self.config)
        score = reading.score(
            self.config, quality.reasons, specimen_type=self.request.specimen_type
        )
        self.notes.add_reading(reading, quality)
        return self.notes.result(score, quality, reading.continuous(self.config))

    def stopped_by(self, error: SlideError) -> SlideResult:
        """Make and keep the result of a slide that an error ended."""
        result = self.notes.stopped(error)
        try:
            if result.status == "not_scorable":
                picture = draw_overview(result, None, size_px=self.config.report.overview_px)
                self.folder.write(self.folder.overview, picture)
                files = (OutputFile(name=self.folder.overview.name),)
                result = result.model_copy(update={"outputs": files})
            self.folder.write_result(result)
        except SlideError as second:
            # The disk is full or the folder is gone: the row in results.csv must suffice.
            return self.notes.stopped(second)
        return result

    def _note_slide(self, info: SlideInfo, identity: SlideIdentity) -> None:
        identity = identity.model_copy(update={"quickhash": info.quickhash})
        self.notes.flags |= calibration_flags(
            self.config, site=self.request.site, assay=self.request.assay, identity=identity
        )
        self.notes.known |= {
            "identity": identity,
            "vendor": info.vendor,
            "size_px": (info.size.width, info.size.height),
            "spacing": SpacingBlock.of(info.spacing),
            "mpp": info.spacing.mean,
            "mpp_source": info.mpp_source,
            "icc_profile": info.icc_profile,
            "reader": info.reader,
            "reader_note": info.reader_note or None,
            "region_source": "model",
            "control_status": "not_assessed",
        }
        if info.spacing.mean > COARSE_UM_PER_PX:
            self.notes.slide_flags.add("coarse_resolution")

    def _load_regions(self, info: SlideInfo) -> Regions | None:
        path = self.request.regions
        if path is None:
            return None
        regions = load_regions(path, info)
        self.notes.add_regions(regions, path, info.spacing)
        return regions

    def _note_grid(self, grid: TileGrid) -> None:
        self.notes.known |= {
            "model_mpp": SpacingBlock.of(grid.mpp),
            "grid": GridBlock(
                box=BoxBlock.of(grid.box),
                tile_px=grid.tile_px,
                block_x=grid.block_x,
                block_y=grid.block_y,
            ),
        }

    def _read(self, slide: Slide, survey: _Survey) -> TileReading:
        def advance(done: float, total: float) -> None:
            self.report(Progress(stage="read", done_mm2=done, total_mm2=total))

        with CellWriter(self.folder.cells) as writer:
            reading = take_all_tiles(
                slide,
                survey.finding,
                survey.grid,
                self.reader,
                writer,
                regions=survey.regions,
                config=self.config,
                advance=advance,
                watch=self.watch,
            )
        with self.watch.timed("tables"):
            rows = write_tiles(self.folder.tiles, reading.rows)
        self.tiles, self.tile_px = rows, survey.grid.tile_px
        self.notes.outputs += [
            OutputFile(name=self.folder.cells.name, rows=writer.rows),
            OutputFile(name=self.folder.tiles.name, rows=rows),
        ]
        return reading
