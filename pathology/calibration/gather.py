"""From a finished run and its labels to the cells that a fit looks at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pathology.calibration.labels import SlideLabel
from pathology.calibration.samples import LeftOut, SlideSample
from pathology.config import Config
from pathology.errors import OutputError, PathologyError, UsageError
from pathology.runs import (
    SlideFolder,
    SlideResult,
    read_cell_columns,
    read_results,
    read_run_info,
)
from pathology.scoring import TILE_FLAG
from pathology.stain.calibration import SCORES
from pathology.types import AnyArray, IntArray

__all__ = ["DOUBTFUL", "MAX_CELLS", "MIN_CELLS", "Gathered", "gather"]

#: Cells of a slide that the fit looks at: 10 % of 2,000 is known to 0.7 percentage points, finer
#: than any reader.
MAX_CELLS = 2000
#: Evaluable cells below which a slide is left out.
MIN_CELLS = 100
#: Flags of slides whose densities, or whose cells, cannot be trusted.
DOUBTFUL: frozenset[str] = frozenset(
    {
        "clipped_pixels",
        "failed_tiles",
        "no_data_in_tissue",
        "nuclear_dab",
        "partly_out_of_focus",
        "scattered_tumour_cells",
        "stain_unchecked",
        "white_point_uncertain",
        "white_saturated",
    }
)


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Hold what a run offers to a fit.

    Parameters
    ----------
    samples
        Slides with cells and a label.
    left_out
        The other slides of the run, with the reason.
    config
        Configuration of the run.
    model, model_sha256
        The model that found the cells.
    assays, sites
        What the manifest said of the slides used, sorted.
    """

    samples: tuple[SlideSample, ...]
    left_out: tuple[LeftOut, ...]
    config: Config
    model: str
    model_sha256: str
    assays: tuple[str, ...]
    sites: tuple[str, ...]


def gather(
    run_dir: Path,
    labels: Sequence[SlideLabel] | None = None,
    *,
    assay: str | None = None,
    site: str | None = None,
) -> Gathered:
    """Collect the cells of a run's labelled slides; no slide is read, no model is loaded.

    Parameters
    ----------
    run_dir
        Output folder of ``her2 score``.
    labels
        Labels by slide id, path or file name; None takes the run's own ``expected_score``, which
        is a score on control slides as well.
    assay, site
        Slides that say another one are left out; None takes all.

    Returns
    -------
    Gathered
        Samples in the order of the run, and why the other slides are left out.

    Raises
    ------
    UsageError
        If the folder holds no finished run of this version, a label is of no slide of the run or
        of two, or slides of several assays or sites would be mixed.
    """
    key, info = read_run_info(run_dir)
    if info is None or info.finished is None:
        raise OutputError(
            f"{run_dir}: this run has not finished", fix="Give its `her2 score` command again."
        )
    config = key.restore(where=run_dir)
    results = read_results(run_dir)
    wanted = _match(results, labels)
    samples: list[SlideSample] = []
    left: list[LeftOut] = []
    used: list[SlideResult] = []
    for result in results:
        found = _sample(run_dir, result, wanted.get(result.slide_id), assay=assay, site=site)
        if isinstance(found, LeftOut):
            left.append(found)
        else:
            samples.append(found)
            used.append(result)
    samples, used = _without_copies(samples, used, left)
    assays = sorted({item.assay for item in used if item.assay})
    sites = sorted({item.site for item in used if item.site})
    for name, values in (("assay", assays), ("site", sites)):
        if len(values) > 1:
            raise UsageError(
                f"{run_dir}: slides of several {name}s ({', '.join(values)}) do not share one "
                "calibration",
                fix=f"Choose one with --{name}.",
            )
    return Gathered(
        samples=tuple(samples),
        left_out=tuple(left),
        config=config,
        model=key.model,
        model_sha256=key.model_sha256,
        assays=tuple(assays),
        sites=tuple(sites),
    )


def _match(
    results: Sequence[SlideResult], labels: Sequence[SlideLabel] | None
) -> dict[str, SlideLabel]:
    """Return the label of each slide id."""
    if labels is None:
        # A score says nothing about most cells: a control of score 0 may hold stained cells, and
        # one of 2+ may be unstained for the most part. So these are labels of scored slides.
        return {
            item.slide_id: SlideLabel(
                name=item.slide_id,
                kind="test",
                rank=SCORES.index(item.expected_score),
                where="expected_score",
            )
            for item in results
            if item.expected_score is not None
        }
    names: dict[str, set[str]] = defaultdict(set)
    for item in results:
        for name in (item.slide_id, item.path):
            names[name].add(item.slide_id)
    by_file: dict[str, set[str]] = defaultdict(set)
    for item in results:
        by_file[PurePosixPath(item.path).name].add(item.slide_id)
    found: dict[str, SlideLabel] = {}
    for label in labels:
        ids = names.get(label.name) or set()
        # A label that names a folder means the slide of that folder, and no namesake elsewhere.
        if not ids and "/" not in label.name and "\\" not in label.name:
            ids = by_file.get(label.name) or set()
        if len(ids) != 1:
            what = "is not in the run" if not ids else f"fits {len(ids)} slides of the run"
            raise UsageError(
                f"{label.where}: {label.name!r} {what}",
                fix="Use slide_id or path as results.csv has it.",
            )
        slide_id = next(iter(ids))
        if slide_id in found:
            raise UsageError(
                f"{label.where}: {label.name!r} and {found[slide_id].name!r} are the same slide",
                fix="Keep one row per slide.",
            )
        found[slide_id] = label
    return found


def _sample(
    run_dir: Path,
    result: SlideResult,
    label: SlideLabel | None,
    *,
    assay: str | None,
    site: str | None,
) -> SlideSample | LeftOut:
    """Return a slide's cells with its label, or why it is left out."""
    reason = _unfit(result, label, assay=assay, site=site)
    if reason is not None or label is None or result.identity is None:
        code, text = reason or ("no_label", "there is no label")
        return LeftOut(slide_id=result.slide_id, path=result.path, reason=code, text=text)
    try:
        cells = _evaluable(SlideFolder(root=run_dir, slide_id=result.slide_id))
    except PathologyError as error:
        raise OutputError(error.message, fix="Score the slides again.") from error
    return SlideSample(
        slide_id=result.slide_id,
        path=result.path,
        case_id=result.case_id or result.slide_id,
        kind=label.kind,
        rank=label.rank,
        ray_od=cells["ray_od"],
        cytoplasm_od=cells["cytoplasm_od"],
        n_cells=result.n_tumour_cells or 0,
        quickhash=result.identity.quickhash or "",
        size_bytes=result.identity.size,
    )


def _unfit(
    result: SlideResult, label: SlideLabel | None, *, assay: str | None, site: str | None
) -> tuple[str, str] | None:
    """Say why a slide is not used, as far as its result tells."""
    doubts = sorted(DOUBTFUL & set(result.flags))
    cells = result.n_tumour_cells or 0
    checks: list[tuple[Any, str, str]] = [
        (label is None, "no_label", "there is no label"),
        (result.status != "scored", "not_scored", f"not scored: {', '.join(result.reasons)}"),
        (assay and result.assay not in (None, assay), "other_assay", f"assay {result.assay}"),
        (site and result.site not in (None, site), "other_site", f"site {result.site}"),
        (
            TILE_FLAG in result.flags,
            "no_cells",
            "a tile classifier was used: no membrane was measured",
        ),
        (doubts, "doubtful", f"flagged {', '.join(doubts)}"),
        (cells < MIN_CELLS, "too_few_cells", f"{cells:,} tumour cells, fewer than {MIN_CELLS}"),
        (
            result.identity is None or result.identity.quickhash is None,
            "no_hash",
            "its file has no content hash, so that it could not be recognised later",
        ),
    ]
    return next(((code, text) for fails, code, text in checks if fails), None)


def _evaluable(folder: SlideFolder) -> dict[str, AnyArray]:
    """Read a spread of the cells that counted."""
    names = ("ray_od", "cytoplasm_od")
    groups = [
        {name: cells[name][cells["evaluable"]] for name in names}
        for cells in read_cell_columns(folder.cells, (*names, "evaluable"))
    ]
    found = {name: np.concatenate([part[name] for part in groups]) for name in names}
    rows = _spread(len(found["ray_od"]))
    return {name: values[rows] for name, values in found.items()}


def _spread(n: int) -> IntArray:
    """Choose at most ``MAX_CELLS`` of n cells, evenly in the order of the table."""
    if n <= MAX_CELLS:
        return np.arange(n, dtype=np.int64)
    return np.asarray((np.arange(MAX_CELLS) + 0.5) * n / MAX_CELLS, dtype=np.int64)


def _without_copies(
    samples: list[SlideSample], used: list[SlideResult], left: list[LeftOut]
) -> tuple[list[SlideSample], list[SlideResult]]:
    """Drop second copies of a slide: they would count twice and leak into the left-out figures."""
    seen: dict[tuple[str, int], str] = {}
    kept: list[tuple[SlideSample, SlideResult]] = []
    for sample, result in zip(samples, used, strict=True):
        key = (sample.quickhash, sample.size_bytes)
        if key in seen:
            left.append(
                LeftOut(
                    slide_id=sample.slide_id,
                    path=sample.path,
                    reason="copy",
                    text=f"the same content as {seen[key]}",
                )
            )
            continue
        seen[key] = sample.slide_id
        kept.append((sample, result))
    return [item for item, _ in kept], [item for _, item in kept]
