"""Evidence on whole synthetic slides: how often the score is exact, near cut-offs and away."""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pathology.cells.reader import TileReader
from pathology.config import load_config
from pathology.pipeline import score_slide
from pathology.runs import atomic_write_bytes
from pathology.scoring.bounds import exact_interval
from pathology.synthesis import SyntheticSlide, render_slide, write_pyramid
from pathology.training.data.states import generator_hash
from pathology.training.evidence.slide_plan import PlannedSlide, plan_slides, true_score

__all__ = ["SlideWork", "measure_slides", "summarise_slides"]

#: Every slide holds at least so many tumour cells.
MIN_TUMOUR_CELLS = 2000
#: Slides farther than this from every cut-off have to be exact, percentage points ...
CLEAR_PP = 3.0
#: ... and those up to here are the hard ones among them.
NEAR_PP = 10.0
#: A piece is made larger by this factor until it holds enough tumour cells, up to the limit.
_GROWTH, _MAX_PIECE_MM = 1.25, 3.0
#: JPEG quality of the files: from 90 on, colour is stored in full.
_QUALITY = 92
_FRACTIONS = (
    "pct_complete_intense",
    "pct_complete_weak_moderate",
    "pct_incomplete_moderate_intense",
    "pct_incomplete_faint",
)
_READ = ("status", "ihc_score", "her2_tier", "n_tumour_cells", "nearest_score_pp")

MakeReader = Callable[[], TileReader]


@dataclass(frozen=True, kw_only=True)
class SlideWork:
    """Say what is to be done with one slide; travels to worker processes.

    Parameters
    ----------
    planned
        The slide.
    cache
        Folder that keeps pictures, truths and readings.
    readers
        Name in the report to a function that makes the reader; must be picklable.
    """

    planned: PlannedSlide
    cache: Path
    readers: Mapping[str, MakeReader]


def measure_slides(
    readers: Mapping[str, MakeReader],
    *,
    count: int,
    cache: Path,
    workers: int = 2,
    piece_mm: float = 1.1,
    tell: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Render slides, score them through the whole program, and compare with their truth.

    Everything is kept in the cache, so that a run that was stopped goes on, and a second run with
    the same model only reads what is there.

    Parameters
    ----------
    readers
        Name in the report to a function that makes the reader; must be picklable.
    count
        Number of slides.
    cache
        Folder; made if needed.
    workers
        Processes; 1 works in this one.
    piece_mm
        Diameter of the tissue to begin with.
    tell
        Called with the number of slides done, and in all.

    Returns
    -------
    dict
        Plain values: see :func:`summarise_slides`.
    """
    folder = cache / f"slides-{generator_hash()}"
    folder.mkdir(parents=True, exist_ok=True)
    work = [
        SlideWork(planned=planned, cache=folder, readers=readers)
        for planned in plan_slides(count, piece_mm=piece_mm)
    ]
    rows: list[dict[str, Any]] = []
    if workers == 1:
        for done, one in enumerate(map(read_one, work), start=1):
            rows.append(one)
            if tell is not None:
                tell(done, count)
        return summarise_slides(rows)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = [pool.submit(read_one, one) for one in work]
        for done, future in enumerate(concurrent.futures.as_completed(waiting), start=1):
            rows.append(future.result())
            if tell is not None:
                tell(done, count)
    return summarise_slides(sorted(rows, key=lambda row: row["index"]))


@lru_cache(maxsize=4)
def _reader(make: MakeReader) -> TileReader:
    return make()


def read_one(work: SlideWork) -> dict[str, Any]:
    """Render one slide unless it is there, and read it with all readers unless that is done.

    Returns
    -------
    dict
        ``index``, ``tier``, ``near``, ``truth``, and under ``readings`` what each reader gave.
    """
    name = f"{work.planned.index:04d}"
    picture, truth_file = work.cache / f"{name}.tif", work.cache / f"{name}.json"
    if not truth_file.is_file():
        slide = _render(work.planned)
        write_pyramid(picture, slide.rgb, mpp=slide.mpp, levels=3, quality=_QUALITY)
        _write(truth_file, _truth(slide))
    readings = {}
    for key, make in work.readers.items():
        reader = _reader(make)
        stamp = f"{reader.sha256[:12]}-{load_config().hash[:8]}"
        done = work.cache / f"{name}-{stamp}.json"
        if not done.is_file():
            result = score_slide(
                picture, out_dir=work.cache / f"results-{stamp}", slide_id=name, reader=reader
            )
            found = result.model_dump(mode="json")
            _write(done, {column: found[column] for column in (*_READ, *_FRACTIONS)})
        readings[key] = json.loads(done.read_text(encoding="utf-8"))
    planned = work.planned
    return {
        "index": planned.index,
        "seed": planned.seed,
        "tier": planned.tier,
        "near": planned.near,
        "truth": json.loads(truth_file.read_text(encoding="utf-8")),
        "readings": readings,
    }


def _write(path: Path, content: Mapping[str, Any]) -> None:
    atomic_write_bytes(path, json.dumps(content, indent=1, sort_keys=True).encode())


def _render(planned: PlannedSlide) -> SyntheticSlide:
    """Render a slide, larger and larger until it holds enough tumour cells."""
    spec = planned.spec
    while True:
        slide = render_slide(spec, planned.seed)
        larger = spec.piece_mm * _GROWTH
        if slide.counts.total >= MIN_TUMOUR_CELLS or larger > _MAX_PIECE_MM:
            return slide
        spec = replace(spec, piece_mm=larger)


def _truth(slide: SyntheticSlide) -> dict[str, Any]:
    score = true_score(slide.cells, slide.mpp)
    return {
        **{column: getattr(score, column) for column in (*_READ[:3], _READ[4], *_FRACTIONS)},
        "n_tumour_cells": slide.counts.total,
        "counts": asdict(slide.counts),
        "piece_mm": slide.spec.piece_mm,
    }


def summarise_slides(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Count how often the score was exact.

    Parameters
    ----------
    rows
        What :func:`read_one` gave, at least one.

    Returns
    -------
    dict
        ``slides``, ``clear`` (farther than 3 points from every cut-off), ``near`` (3 to 10 points),
        ``min_tumour_cells``, ``scores`` (true tiers), and per reader ``exact_clear``,
        ``exact_near``, ``exact_all``, ``tier_exact`` (k, n and 95 % interval), ``confusion`` (true
        score to found), ``fraction_error_pp`` and ``wrong`` (the slides that were not exact).
    """
    clear = [row for row in rows if _distance(row) > CLEAR_PP]
    near = [row for row in clear if _distance(row) <= NEAR_PP]
    names = list(rows[0]["readings"])
    return {
        "slides": len(rows),
        "clear": len(clear),
        "near": len(near),
        "min_tumour_cells": min(row["truth"]["n_tumour_cells"] for row in rows),
        "tiers": dict(sorted(Counter(row["truth"]["her2_tier"] for row in rows).items())),
        "readers": {
            name: {
                "exact_clear": _agreement(clear, name, "ihc_score"),
                "exact_near": _agreement(near, name, "ihc_score"),
                "exact_all": _agreement(rows, name, "ihc_score"),
                "tier_exact": _agreement(rows, name, "her2_tier"),
                "confusion": _confusion(rows, name),
                "fraction_error_pp": _fraction_error(rows, name),
                "wrong": [_mistake(row, name) for row in rows if not _same(row, name)],
            }
            for name in names
        },
    }


def _distance(row: Mapping[str, Any]) -> float:
    distance = _margin(row["truth"])
    return -1.0 if distance is None else float(distance)


def _margin(truth: Mapping[str, Any]) -> float | None:
    """Return the percentage points to the nearest other score; kept files of before name it so."""
    margin: float | None = truth.get("nearest_score_pp", truth.get("distance_to_cutoff_pp"))
    return margin


def _same(row: Mapping[str, Any], name: str, column: str = "ihc_score") -> bool:
    return bool(row["truth"][column] == row["readings"][name][column])


def _agreement(rows: Sequence[Mapping[str, Any]], name: str, column: str) -> dict[str, Any]:
    k, n = sum(_same(row, name, column) for row in rows), len(rows)
    low, high = exact_interval(k, n, confidence=0.95) if n else (0.0, 1.0)
    return {"k": k, "n": n, "low": low, "high": high}


def _confusion(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, dict[str, int]]:
    table: dict[str, Counter[str]] = {}
    for row in rows:
        reading = row["readings"][name]
        found = reading["ihc_score"] or reading["status"]
        table.setdefault(row["truth"]["ihc_score"] or "none", Counter())[found] += 1
    return {truth: dict(sorted(found.items())) for truth, found in sorted(table.items())}


def _fraction_error(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, float]:
    """Return the mean absolute error of each pattern's share, percentage points."""
    result = {}
    for column in _FRACTIONS:
        errors = [
            abs(row["truth"][column] - row["readings"][name][column])
            for row in rows
            if row["readings"][name][column] is not None
        ]
        result[column] = sum(errors) / len(errors) if errors else 0.0
    return result


def _mistake(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    reading, truth = row["readings"][name], row["truth"]
    return {
        "index": row["index"],
        "seed": row["seed"],
        "distance_pp": _margin(truth),
        "truth": {key: truth[key] for key in ("ihc_score", "her2_tier", *_FRACTIONS)},
        "found": {key: reading[key] for key in ("status", "ihc_score", "her2_tier", *_FRACTIONS)},
    }
