"""Time `her2 evaluate` on a made-up reader study, 10,000 slides and 20 readers by default.

    python scripts/benchmark_evaluate.py --slides 10000 --readers 20 --out /tmp/study

The scores are drawn, not read: this measures time, and shows what the page looks like; the figures
mean nothing. Readers differ in how easily they call a slide higher, as people do.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from pathology.agreement import SCORES, Bootstrap, Options
from pathology.report.evaluation import EvaluationRequest, evaluate_results
from pathology.report.evaluation_gather import ContinuousColumns
from pathology.runs import SlideResult, count_columns, write_results
from pathology.runs.csvfile import render_csv
from pathology.scoring.counts import PatternCounts

#: Share of slides that a reader, or the program, does not score.
_UNSCORED = 0.02
_STATUS = {"0": "negative", "1+": "negative", "2+": "equivocal", "3+": "positive"}
_TIER = {"0": "her2_ultralow", "1+": "her2_low", "2+": "her2_equivocal", "3+": "her2_positive"}
_CUTS = (-0.5, 0.6, 1.6)
_CELLS = 1000


def make_study(
    folder: Path, *, slides: int, readers: int, seed: int = 1, slides_per_patient: int = 1
) -> tuple[Path, Path]:
    """Write results and a reader file of a made-up study.

    Parameters
    ----------
    folder
        Where to; gets ``run/results.csv`` and ``readers.csv`` (long, with a column ``pct``).
    slides, readers, slides_per_patient
        Size of the study.
    seed
        Of the drawn scores.

    Returns
    -------
    tuple of pathlib.Path
        The run folder and the reader file.
    """
    generator = np.random.default_rng(seed)
    latent = generator.normal(0.4, 1.2, slides)
    run = folder / "run"
    run.mkdir(parents=True, exist_ok=True)
    scores = np.digitize(latent + generator.normal(0, 0.35, slides), _CUTS)
    unscored = generator.random(slides) < _UNSCORED
    shares = np.clip(np.rint(100 * (latent + 1) / 4 + generator.normal(0, 4, slides)), 0, 100)
    results = [
        _result(k, int(scores[k]), bool(unscored[k]), int(shares[k]), k // slides_per_patient)
        for k in range(slides)
    ]
    write_results(run, results)
    rows = []
    for number in range(readers):
        lean = generator.normal(0, 0.25)
        theirs = np.digitize(latent + lean + generator.normal(0, 0.4, slides), _CUTS)
        silent = generator.random(slides) < _UNSCORED
        seen = np.clip(np.rint(shares + 10 * lean + generator.normal(0, 8, slides)), 0, 100)
        rows += [
            {
                "slide_id": results[k].slide_id,
                "reader": f"Reader {number + 1:02d}",
                "score": "not_scorable" if silent[k] else SCORES[theirs[k]],
                "site": f"Site {'ABC'[k % 3]}",
                "saw_score": False,
                "pct": None if silent[k] else float(seen[k]),
            }
            for k in range(slides)
        ]
    columns = ("slide_id", "reader", "score", "site", "saw_score", "pct")
    path = folder / "readers.csv"
    path.write_bytes(render_csv(columns, rows))
    return run, path


def _result(number: int, score: int, unscored: bool, share: int, patient: int) -> SlideResult:
    slide_id = f"s{number:06d}"
    common = {"slide_id": slide_id, "path": f"{slide_id}.svs", "case_id": f"case-{patient}"}
    if unscored:
        return SlideResult(**common, status="not_scorable", reasons=("too_few_cells",))
    word = SCORES[score]
    stained = _CELLS * share // 100
    counts = PatternCounts(unstained=_CELLS - stained, intense_complete=stained)
    return SlideResult(
        **common,
        status="scored",
        ihc_score=word,
        her2_status=_STATUS[word],
        her2_tier=_TIER[word],
        ish_reflex=word == "2+",
        **count_columns(counts),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slides", type=int, default=10_000)
    parser.add_argument("--readers", type=int, default=20)
    parser.add_argument("--slides-per-patient", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    run, readers = make_study(
        arguments.out,
        slides=arguments.slides,
        readers=arguments.readers,
        seed=arguments.seed,
        slides_per_patient=arguments.slides_per_patient,
    )
    request = EvaluationRequest(
        results=run / "results.csv",
        readers=(readers,),
        options=Options(bootstrap=Bootstrap()),
        continuous=ContinuousColumns(readers="pct", results="pct_complete_intense"),
    )
    start = time.perf_counter()
    lines = evaluate_results(request, arguments.out / "evaluation", force=True)
    seconds = time.perf_counter() - start
    for line in lines:
        print(line)
    print(f"{arguments.slides} slides x {arguments.readers} readers: {seconds:.1f} s")


if __name__ == "__main__":
    main()
