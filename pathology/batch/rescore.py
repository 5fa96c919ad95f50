"""Score a whole run again from its stored cells: other rules, cut-offs, calibration or regions."""

from __future__ import annotations

import platform
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathology.batch.inputs import pair_region_files
from pathology.batch.observer import LoggingObserver, Observer, SilentObserver
from pathology.batch.rescore_config import rescore_config
from pathology.config import Config
from pathology.errors import ConfigError, OutputError
from pathology.pipeline.rescore import RescoreRequest, can_be_rescored, has_tables, rescore_slide
from pathology.provenance import sha256_file, versions
from pathology.runs import (
    HiddenNames,
    RunFolder,
    RunInfo,
    RunKey,
    RunLog,
    RunOrigin,
    SlideFolder,
    SlideResult,
    atomic_write_bytes,
    now,
    path_text,
    read_results,
    read_run_info,
    words_of,
    write_cases,
    write_results,
)
from pathology.runs.layout import ISH_JSON, RESULTS_CSV, RUN
from pathology.scoring import TILE_FLAG, load_guideline
from pathology.stain.calibrating import check_model
from pathology.stain.calibration_file import load_calibration

__all__ = ["rescore_run"]


def rescore_run(
    run_dir: Path | str,
    out: Path | str,
    *,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    calibration: Path | None = None,
    uncalibrated: bool = False,
    regions: Path | None = None,
    force: bool = False,
    observer: Observer | None = None,
) -> list[SlideResult]:
    """Score a finished run again into another folder; the run is only read.

    Parameters
    ----------
    run_dir
        Output folder of ``her2 score``, or of this.
    out
        The new folder; made where there is none. What an earlier call left there is replaced where
        it was made from the same run with the same settings.
    file, overrides, uncalibrated
        As in :func:`rescore_config`.
    calibration
        A calibration file.
    regions
        Folder with region files named like the slides; a slide without one keeps its regions.
    force
        Move what another run left in ``out`` to ``previous/`` first.
    observer
        Who is told about progress; None for nobody.

    Returns
    -------
    list of SlideResult
        One for every slide of the run, in the order of ``results.csv``.

    Raises
    ------
    UsageError
        If the run has not finished or is of an earlier version, the settings cannot be used, or
        ``out`` is the run itself or cannot be used.
    """
    run_dir, out = Path(run_dir), Path(out)
    key, results = _finished(run_dir)
    _refuse_same(run_dir, out)
    before = key.restore(where=run_dir)
    config = rescore_config(
        before,
        file=file,
        overrides=overrides,
        calibration=None if calibration is None else load_calibration(calibration),
        uncalibrated=uncalibrated,
    )
    load_guideline(config.scoring.guideline)  # a wrong name must not bind the folder
    check_model(config.calibration, name=key.model, sha256=key.model_sha256)
    _refuse_results(run_dir, results, before, config)
    names = {result.slide_id: Path(result.path) for result in results}
    paths, notes = ({}, ()) if regions is None else pair_region_files(names, regions)
    _refuse_other_run(out, force=force)
    hidden = None
    if key.pseudonyms:
        hidden = HiddenNames(words=words_of(run_dir, out, *filter(None, (regions, file))))
    run = _Run(
        source=run_dir,
        key=key,
        results=results,
        before=before,
        config=config,
        regions=paths,
        notes=notes,
        hidden=hidden,
    )
    return run.score_into(out, force=force, observer=observer or SilentObserver())


@dataclass(kw_only=True)
class _Run:
    """One call of :func:`rescore_run`, with everything checked."""

    source: Path
    key: RunKey
    results: list[SlideResult]
    before: Config
    config: Config
    regions: dict[str, Path]
    notes: tuple[str, ...] = ()
    hidden: HiddenNames | None = None
    started: str = field(default_factory=now)
    _clock: float = field(default_factory=time.monotonic)
    _versions: dict[str, str] = field(default_factory=versions)

    @property
    def key_now(self) -> RunKey:
        return RunKey.of(
            self.config,
            model=self.key.model,
            model_sha256=self.key.model_sha256,
            pseudonyms=self.key.pseudonyms,
        )

    def score_into(self, out: Path, *, force: bool, observer: Observer) -> list[SlideResult]:
        """Open the new folder and its log, and score into it."""
        hide = None if self.hidden is None else self.hidden.text
        with (
            RunFolder(out, self.key_now, force=force) as folder,
            RunLog(folder.path, hide=hide) as log,
        ):
            watcher = LoggingObserver(observer, log)
            watcher.run_started(total=len(self.results), done=0, skipped=0)
            for note in self.notes:
                (watcher if self.hidden is None else observer).note(note)  # it names files
            ordered = self._score(folder, watcher)
            log.write("info", "run_finished", slides=len(ordered))
        return ordered

    def _score(self, folder: RunFolder, observer: Observer) -> list[SlideResult]:
        """Score every slide again, then write the tables."""
        there = RunKey.of(
            self.before,
            model=self.key.model,
            model_sha256=self.key.model_sha256,
            pseudonyms=self.key.pseudonyms,
        )
        changes = tuple(there.differences(self.key_now))
        self._write_info(folder, changes, None)
        fresh = []
        for old in self.results:
            observer.slide_started(old.slide_id, old.path)
            request = RescoreRequest(
                old=old,
                source=SlideFolder(root=self.source, slide_id=old.slide_id),
                target=folder.slide(old.slide_id),
                before=self.before,
                config=self.config,
                changes=changes,
                regions=self.regions.get(old.slide_id),
                hidden=self.hidden,
            )
            fresh.append(rescore_slide(request))
            observer.slide_finished(fresh[-1])
        ordered = write_results(folder.path, fresh)
        # What was counted by hybridisation does not depend on how IHC was scored.
        if (self.source / ISH_JSON).is_file():
            atomic_write_bytes(folder.path / ISH_JSON, (self.source / ISH_JSON).read_bytes())
        write_cases(folder.path, ordered)
        self._write_info(folder, changes, ordered)
        return ordered

    def _write_info(
        self, folder: RunFolder, changes: tuple[str, ...], ordered: list[SlideResult] | None
    ) -> None:
        done = ordered or []
        statuses = Counter(str(result.status) for result in done)
        folder.write_info(
            RunInfo(
                command=tuple(sys.argv),
                versions=self._versions,
                host=platform.node(),
                device="none",
                started=self.started,
                finished=None if ordered is None else now(),
                seconds={"total": round(time.monotonic() - self._clock, 3)},
                counts={"slides": len(self.results), **dict(sorted(statuses.items()))},
                rescored=RunOrigin(
                    path=path_text(self.source),
                    config_hash=self.key.config_hash,
                    results_sha256=sha256_file(self.source / RESULTS_CSV),
                    changes=changes,
                    regions=tuple(sorted(self.regions)),
                    scores=_changed_scores(self.results, done),
                ),
            )
        )


def _finished(run_dir: Path) -> tuple[RunKey, list[SlideResult]]:
    key, info = read_run_info(run_dir)
    if info is None or info.finished is None:
        raise OutputError(
            f"{run_dir}: this run has not finished", fix="Give its `her2 score` command again."
        )
    return key, read_results(run_dir)


def _refuse_same(run_dir: Path, out: Path) -> None:
    one, other = run_dir.resolve(), out.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise OutputError(
            f"{out}: is, holds or lies in the run {run_dir}, which is never changed",
            fix="Name another folder with --out.",
        )


def _refuse_results(
    run_dir: Path, results: Sequence[SlideResult], before: Config, config: Config
) -> None:
    old = [result.slide_id for result in results if not can_be_rescored(result)]
    if old:
        raise OutputError(
            f"{run_dir}: {len(old)} slides (first {old[0]}) are of a version that did not store "
            "which cells counted",
            fix="Score the slides again with this version.",
        )
    tiles = any(TILE_FLAG in result.flags and has_tables(result) for result in results)
    if tiles and before.cells.tumour_min != config.cells.tumour_min:
        raise ConfigError(
            "cells.tumour_min: a tile classifier's probabilities are not stored",
            fix="Score the slides again with `her2 score`.",
        )


def _refuse_other_run(out: Path, *, force: bool) -> None:
    """Refuse a folder with results that were read from slides: they cost more than a second."""
    if force or not (out / RUN).exists():
        return
    _, info = read_run_info(out)
    if info is None or info.rescored is None:
        raise OutputError(
            f"{out}: holds a run of `her2 score`",
            fix="Name another folder, or give --force to move that run to previous/.",
        )


def _changed_scores(
    before: Sequence[SlideResult], after: Sequence[SlideResult]
) -> dict[str, tuple[str, str]]:
    """Return the older and the newer outcome of slides where they differ."""
    old = {result.slide_id: _outcome(result) for result in before}
    pairs = {result.slide_id: (old[result.slide_id], _outcome(result)) for result in after}
    return {slide_id: pair for slide_id, pair in pairs.items() if pair[0] != pair[1]}


def _outcome(result: SlideResult) -> str:
    if result.status != "scored":
        return f"{result.status} ({', '.join(str(code) for code in result.reasons)})"
    below = {"her2_null": " (null)", "her2_ultralow": " (ultralow)"}
    return (result.ihc_score or "unresolved") + below.get(result.her2_tier or "", "")
