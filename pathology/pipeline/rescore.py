"""Score one slide again from what is stored of it: no slide is opened, no model is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pathology.cells.table import CellTable
from pathology.config import Config
from pathology.errors import SlideError
from pathology.geometry import Box0, Size0, Spacing
from pathology.pipeline.areas import add_drawn_tumour
from pathology.pipeline.calibrated import CALIBRATION_FLAGS, calibration_columns, calibration_flags
from pathology.pipeline.notes import Notes
from pathology.pipeline.pictures import write_pictures
from pathology.pipeline.quality import judge_quality
from pathology.pipeline.reading import failed_row
from pathology.pipeline.recalled import (
    KEPT_FIELDS,
    about_regions,
    measured,
    recall_classifier,
    recall_finding,
    recall_grid,
)
from pathology.pipeline.restoring import Restored, Task, restore_cells, restore_tiles
from pathology.provenance import sha256_file
from pathology.report import draw_overview
from pathology.runs import (
    Ground,
    HiddenNames,
    OutputFile,
    RescoredBlock,
    SlideFolder,
    SlideResult,
    TileRow,
    read_cells,
    read_ground,
    read_tiles,
    rewrite_cells,
    write_ground,
    write_tiles,
)
from pathology.runs.layout import CELLS, TISSUE
from pathology.scoring import TILE_FLAG
from pathology.tiling import select_tiles, tissue_fractions
from pathology.tissue import (
    REGION_FLAGS,
    Regions,
    TissueFinding,
    read_regions,
)

__all__ = ["RescoreJob", "RescoreRequest", "can_be_rescored", "has_tables", "rescore_slide"]

#: Settings that decide whether tumour cells lie in groups.
_GROUPS = ("sure_probability", "group_nuclei", "group_tumour", "group_radius_um")
_NOT_READ = (
    "not read by the run that the cells are from; score the slide with these regions to read them"
)


@dataclass(frozen=True, kw_only=True)
class RescoreRequest:
    """Ask for one slide to be scored again.

    Parameters
    ----------
    old
        Its result.
    source, target
        Its folder in the run that it is from, and the new one.
    before, config
        The configuration of that run, and the one to use.
    changes
        What differs between the two runs, in words.
    regions
        A file of regions that replaces those of the run; None keeps them.
    erase_regions
        Take away the regions of the run, and draw none.
    hidden
        Names that the result must not hold, where the run is pseudonymised.
    """

    old: SlideResult
    source: SlideFolder
    target: SlideFolder
    before: Config
    config: Config
    changes: tuple[str, ...] = ()
    regions: Path | None = None
    erase_regions: bool = False
    hidden: HiddenNames | None = None

    @property
    def redrawn(self) -> bool:
        """Whether the regions are others than those of the run."""
        return self.regions is not None or self.erase_regions


def has_tables(result: SlideResult) -> bool:
    """Tell whether a slide came as far as to have cells and tiles."""
    return any(file.name == CELLS for file in result.outputs)


def can_be_rescored(result: SlideResult) -> bool:
    """Tell whether all that is needed of a slide was stored; earlier versions stored less."""
    return not has_tables(result) or (
        result.size_px is not None and any(file.name == TISSUE for file in result.outputs)
    )


def rescore_slide(request: RescoreRequest) -> SlideResult:
    """Score a slide again and write its folder.

    A slide that was never read (missing, damaged, without a pixel size) stays as it was: no
    setting can say what is on it.

    Parameters
    ----------
    request
        What is asked for.

    Returns
    -------
    SlideResult
        Scored, not scorable, or failed; a stored table that is damaged is a result, not an
        exception.
    """
    job = RescoreJob(request)
    request.target.begin()
    if not has_tables(request.old):
        return job.carry()
    try:
        return job.run()
    except SlideError as error:
        result = job.stopped(error)
        request.target.begin()
        request.target.write_result(result)
        return result


class RescoreJob:
    """Bring one slide from its old result to its new one.

    Parameters
    ----------
    request
        What is asked for.
    """

    def __init__(self, request: RescoreRequest) -> None:
        self.request, self.old, self.config = request, request.old, request.config
        self.changes = list(request.changes)
        new = request.redrawn
        warnings = [text for text in self.old.warnings if not (new and about_regions(text))]
        kept = set(self.old.flags) & REGION_FLAGS
        self.notes = Notes(
            slide_id=self.old.slide_id,
            path=self.old.path,
            known={
                **{name: getattr(self.old, name) for name in KEPT_FIELDS},
                "config_hash": self.config.hash,
                "guideline": self.config.scoring.guideline,
                **calibration_columns(self.config),
            },
            slide_flags=set(self.old.slide_flags),
            flags=self._calibration_flags() | (set() if new else kept),
            warnings=warnings,
            hidden=request.hidden,
        )

    def carry(self) -> SlideResult:
        """Take over a result without cells."""
        flags = set(self.old.flags) - CALIBRATION_FLAGS | self._calibration_flags()
        result = self.old.model_copy(
            update={
                "config_hash": self.config.hash,
                "guideline": self.config.scoring.guideline,
                "calibration": None,
                "calibration_used": None,
                **calibration_columns(self.config),
                "flags": tuple(sorted(flags)),
                "rescored": self._origin(),
                "outputs": (),
            }
        )
        if result.status == "not_scorable":
            picture = draw_overview(result, None, size_px=self.config.report.overview_px)
            self.request.target.write(self.request.target.overview, picture)
            files = (OutputFile(name=self.request.target.overview.name),)
            result = result.model_copy(update={"outputs": files})
        self.request.target.write_result(result)
        return result

    def run(self) -> SlideResult:
        """Score from the stored tables, and write the slide's folder."""
        source, target = self.request.source, self.request.target
        ground, regions, finding, found = self._gather()
        with ThreadPoolExecutor(max_workers=1) as pool:
            # Writing the cells takes as long as all the rest: both at once, on two cores.
            written = pool.submit(rewrite_cells, source.cells, target.cells, found.columns)
            self._write_tables(found, regions, ground)
            result = write_pictures(
                target,
                self._result(found, finding),
                finding=finding,
                backdrop=ground.backdrop,
                spacing=finding.tissue.spacing,
                regions=regions,
                rows=found.reading.rows,
                cells=_when_written(written, target.cells),
                size_px=self.config.report.overview_px,
            )
            written.result()
        target.write_result(result)
        return result

    def recount(self) -> SlideResult:
        """Score from the stored tables, and write nothing."""
        _, _, finding, found = self._gather()
        return self._result(found, finding)

    def _gather(self) -> tuple[Ground, Regions | None, TissueFinding, Restored]:
        if self.old.spacing is None or self.old.grid is None or self.old.size_px is None:
            raise ValueError(f"{self.old.path}: not a result that can be scored again")
        box = Box0(**self.old.grid.box.model_dump())
        spacing = Spacing(x=self.old.spacing.x, y=self.old.spacing.y)
        ground = read_ground(self.request.source, box=box, spacing=spacing)
        regions = self._regions(
            ground, Size0(width=self.old.size_px[0], height=self.old.size_px[1])
        )
        finding = recall_finding(self.old, ground, self.config, fresh=self.request.redrawn)
        if regions is not None:
            finding = add_drawn_tumour(finding, regions, self.config)
        self.notes.add_areas(finding)
        rows = read_tiles(self.request.source.tiles)
        if self.request.redrawn:
            rows = self._tiles_of(finding, rows)
        return ground, regions, finding, self._restore(rows, finding, regions)

    def stopped(self, error: SlideError) -> SlideResult:
        """Make the result of a slide whose tables or regions cannot be used."""
        self.notes.known["rescored"] = self._origin()
        self.notes.known.pop("qc", None)
        return self.notes.stopped(error)

    def _restore(
        self, rows: list[TileRow], finding: TissueFinding, regions: Regions | None
    ) -> Restored:
        task = self._task()
        if TILE_FLAG in self.old.flags:
            like = recall_classifier(self.old, finding.tissue.spacing)
            found = restore_tiles(rows, finding, regions, like=like, task=task)
        else:
            found = restore_cells(
                self.request.source.cells,
                rows,
                finding,
                regions,
                before=self.request.before,
                config=self.config,
                task=task,
            )
            if not task.groups:
                names = ("nuclei", "sure_tumour_cells", "grouped_tumour_cells")
                found.reading.add_around(*(measured(self.old, name) for name in names))
        unread = sum(row.status == "failed" for row in rows) - (self.old.failed_tiles or 0)
        if unread:
            found.reading.failures[_NOT_READ] = unread
        if found.demoted:
            least = self.config.cells.tumour_min
            self.notes.warnings.append(
                f"{found.demoted} cells are no tumour from cells.tumour_min {least:g} on; which "
                "other class they are is not stored, so they are 'other'"
            )
        return found

    def _task(self) -> Task:
        before, now = self.request.before, self.config
        places = self.request.redrawn or before.cells != now.cells
        groups = any(getattr(before.scoring, x) != getattr(now.scoring, x) for x in _GROUPS)
        return Task(
            classes=before.measurement != now.measurement, places=places, groups=places or groups
        )

    def _write_tables(self, found: Restored, regions: Regions | None, ground: Ground) -> None:
        target = self.request.target
        tiles = write_tiles(target.tiles, found.reading.rows)
        self.notes.outputs += [
            *(file for file in self.old.outputs if file.name == CELLS),
            OutputFile(name=target.tiles.name, rows=tiles),
            *write_ground(
                target,
                tissue=ground.tissue,
                excluded=ground.excluded,
                backdrop=self.request.source.backdrop.read_bytes(),
                regions=regions,
            ),
        ]

    def _result(self, found: Restored, finding: TissueFinding) -> SlideResult:
        reading = found.reading
        quality = judge_quality(finding, reading, self.config)
        score = reading.score(
            self.config, quality.reasons, specimen_type=self.old.specimen_type or ""
        )
        self.notes.add_reading(reading, quality)
        self.notes.known["rescored"] = self._origin()
        return self.notes.result(score, quality, reading.continuous(self.config))

    def _regions(self, ground: Ground, size: Size0) -> Regions | None:
        path = self.request.regions
        if path is not None:
            regions = read_regions(path, size=size, slide_name=Path(self.old.path).name)
            self.notes.add_regions(regions, path, ground.tissue.spacing)
            self._note_regions(sha256_file(path), path.name)
            return regions
        if self.request.erase_regions:
            self.notes.known |= {"region_source": "model", "regions": None}
            self._note_regions("none", "none")
            return Regions(shapes={})
        return ground.regions

    def _note_regions(self, digest: str, name: str) -> None:
        there, identity = self.old.regions, self.old.identity
        if self.request.hidden is not None and name != digest:
            name = "a file"
        was = "none"
        if there is not None:
            was = f"{there.name or 'a file'} ({(there.sha256 or '')[:12]})"
        now = name if name == digest else f"{name} ({digest[:12]})"
        self.changes.append(f"regions: {was} there, {now} now")
        if identity is not None:
            # No command of `her2 score` gives this: it must not take the slide for its own.
            text = f"{identity.inputs_sha256} rescored with regions {digest}"
            fresh = {"inputs_sha256": hashlib.sha256(text.encode()).hexdigest()}
            self.notes.known["identity"] = identity.model_copy(update=fresh)

    def _tiles_of(self, finding: TissueFinding, rows: Sequence[TileRow]) -> list[TileRow]:
        """Measure the tissue of tiles anew, and add as failed those that nobody has read.

        Drawn tumour is tissue: where it reaches beyond the tiles that were read, evidence is
        missing, and missing evidence is never a low score.
        """
        grid = recall_grid(self.old, finding)
        known = {row.tile_id: row for row in rows}
        wanted = select_tiles(
            grid, finding.tissue, min_fraction=self.config.tissue.min_tile_fraction
        )
        unread = [tile for tile in wanted if tile.tile_id not in known]
        fractions = tissue_fractions(unread, finding.tissue).tolist()
        missing = [failed_row(tile, part) for tile, part in zip(unread, fractions, strict=True)]
        there = [replace(row, tissue_fraction=finding.tissue.fraction(row.core)) for row in rows]
        return sorted([*there, *missing], key=lambda row: row.tile_id)

    def _calibration_flags(self) -> set[str]:
        before, now = self.request.before.calibration, self.config.calibration
        if before is not None and now is not None and before.sha256 == now.sha256:
            # The list of slides of the run's calibration is not stored; what it said is.
            return set(self.old.flags) & CALIBRATION_FLAGS
        identity = self.old.identity
        if identity is None or self.old.spacing is None:
            return set()
        return calibration_flags(
            self.config, site=self.old.site, assay=self.old.assay, identity=identity
        )

    def _origin(self) -> RescoredBlock:
        old = self.old
        return RescoredBlock(
            config_hash=old.config_hash,
            result_sha256=sha256_file(self.request.source.result),
            changes=tuple(self.changes),
            status=old.status,
            reasons=tuple(str(code) for code in old.reasons),
            ihc_score=old.ihc_score,
            her2_tier=old.her2_tier,
            n_tumour_cells=old.n_tumour_cells,
        )


def _when_written(written: Future[int], path: Path) -> Iterator[CellTable]:
    """Yield the cells of a table that another thread is writing, when it is whole."""
    written.result()
    yield from read_cells(path, only_counted=True)
