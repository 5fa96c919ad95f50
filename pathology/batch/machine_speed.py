"""What a slide costs on a machine, fitted to a finished run or to slides made for it.

A slide costs a fixed part, and a part that grows with its mm² of tissue; glass costs nothing worth
counting. Seconds are fitted; of the bytes, tables grow with the tissue and pictures do not.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import nnls

from pathology.batch.readers import ReaderFactory
from pathology.batch.run_times import RunTimes, read_run_times
from pathology.config import Config
from pathology.runs import now
from pathology.runs.layout import SLIDES, shard_log
from pathology.timing import SlideTiming

__all__ = ["Cost", "MachineSpeed", "fit_cost", "measure_speed", "speed_of_run", "total_seconds"]

#: Fewest slides, and the least ratio of the largest to the smallest, from which both parts of a
#: cost can be told apart. Our choice: with less, noise decides.
_FIT_SLIDES = 3
_FIT_SPREAD = 2.0
#: Stages that work on overviews and results: what they take is counted as a slide's fixed part
#: where there are too few slides for a fit.
_FIXED_STAGES = ("open", "tissue", "score", "pictures")
#: Tissue of the slides that are measured, mm²: the first one warms up and is not fitted.
_MEASURED_MM2 = (0.25, 0.25, 1.0, 4.0)
#: Different fields that each of them is made of.
_MEASURED_FIELDS = 4
#: Pictures of slides with less tissue are smaller.
_FULL_PICTURE_MM2 = 0.9

_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Hold a cost in two parts.

    Parameters
    ----------
    per_slide, per_mm2
        For each slide, and for each mm² of its tissue; 0 or more.

    Examples
    --------
    >>> Cost(per_slide=2.0, per_mm2=0.5).of(slides=10, tissue_mm2=100.0)
    70.0
    """

    per_slide: float
    per_mm2: float

    def of(self, *, slides: int, tissue_mm2: float) -> float:
        """Return the cost of slides that have so much tissue together, mm²."""
        return slides * self.per_slide + tissue_mm2 * self.per_mm2


class MachineSpeed(BaseModel):
    """Hold what slides cost on one machine, and where that is from.

    Parameters
    ----------
    source
        Where the figures are from, in words.
    host, device, model
        On what they were measured.
    slides, tissue_mm2
        How many slides were measured, and their tissue together.
    fitted
        Whether slides were enough, and different enough, to tell the two parts of a cost apart;
        else overviews, pictures and results were counted as the fixed part.
    start_s
        Seconds of a run that no slide takes: starting, loading the model, tables.
    slide_s, mm2_s
        Seconds of one process for a slide, and for each mm² of its tissue.
    slide_bytes, mm2_bytes
        Bytes written for a slide, and for each mm² of its tissue.
    peak_bytes
        Most memory of a process at once; 0 where it is not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    program: Literal["her2-ihc"] = "her2-ihc"
    schema_version: Literal[1] = 1
    source: str
    host: str
    device: str
    model: str
    slides: Annotated[int, Field(ge=1)]
    tissue_mm2: _Amount
    fitted: bool
    start_s: _Amount
    slide_s: _Amount
    mm2_s: _Amount
    slide_bytes: _Amount
    mm2_bytes: _Amount
    peak_bytes: Annotated[int, Field(ge=0)]

    @property
    def seconds(self) -> Cost:
        """Seconds of one process."""
        return Cost(per_slide=self.slide_s, per_mm2=self.mm2_s)

    @property
    def written(self) -> Cost:
        """Bytes written."""
        return Cost(per_slide=self.slide_bytes, per_mm2=self.mm2_bytes)


def fit_cost(tissue_mm2: Sequence[float], amounts: Sequence[float]) -> Cost | None:
    """Fit both parts of a cost by least squares of relative errors, neither below 0.

    Parameters
    ----------
    tissue_mm2
        Tissue of each slide, above 0.
    amounts
        What each slide cost, above 0.

    Returns
    -------
    Cost or None
        None where the slides are too few or too much alike.

    Examples
    --------
    >>> cost = fit_cost([1.0, 2.0, 10.0], [5.0, 7.0, 23.0])
    >>> round(cost.per_slide, 6), round(cost.per_mm2, 6)
    (3.0, 2.0)
    >>> fit_cost([1.0, 1.1, 1.2], [5.0, 5.1, 5.2]) is None
    True
    """
    areas = np.asarray(tissue_mm2, dtype=np.float64)
    values = np.asarray(amounts, dtype=np.float64)
    if len(areas) < _FIT_SLIDES or areas.max() < _FIT_SPREAD * areas.min() or values.min() <= 0:
        return None
    design = np.column_stack([np.ones(len(areas)), areas]) / values[:, None]
    (per_slide, per_mm2), _ = nnls(design, np.ones(len(areas)))
    return Cost(per_slide=float(per_slide), per_mm2=float(per_mm2))


def speed_of_run(folder: Path, *others: Path, warm_up: str = "", source: str = "") -> MachineSpeed:
    """Take the costs from a finished run.

    Slides of all its processes are fitted together, so that a run made in shards says what one
    process on one of its machines takes.

    Parameters
    ----------
    folder
        The run folder.
    *others
        Further ones, where the parts of a run have folders of their own.
    warm_up
        Id of a slide that paid for what is done once: left out, and its time counts as start.
    source
        In words; empty names the folder.

    Raises
    ------
    OutputError
        If the folder holds no finished run, one that has timed no slide, or one whose parts ran on
        different kinds of device.
    """
    times = read_run_times((folder, *others))
    timings = times.slides
    steady = {name: item for name, item in timings.items() if name != warm_up} or timings
    seconds, fitted = _seconds(list(steady.values()))
    written = _written(times)
    return MachineSpeed(
        source=source or times.source,
        host=times.host,
        device=times.device,
        model=times.model,
        slides=len(steady),
        tissue_mm2=sum(item.tissue_mm2 for item in steady.values()),
        fitted=fitted,
        start_s=times.outside_s + _warm_up_seconds(timings.get(warm_up), seconds),
        slide_s=seconds.per_slide,
        mm2_s=seconds.per_mm2,
        slide_bytes=written.per_slide,
        mm2_bytes=written.per_mm2,
        peak_bytes=max(item.peak_bytes for item in timings.values()),
    )


def _seconds(timings: Sequence[SlideTiming]) -> tuple[Cost, bool]:
    found = fit_cost([item.tissue_mm2 for item in timings], [item.wall_s for item in timings])
    if found is not None:
        return found, True
    wall = sum(item.wall_s for item in timings)
    fixed = sum(item.seconds.get(stage, 0.0) for item in timings for stage in _FIXED_STAGES)
    fixed = min(fixed, wall)
    area = sum(item.tissue_mm2 for item in timings)
    return Cost(per_slide=fixed / len(timings), per_mm2=(wall - fixed) / area), False


def _written(times: RunTimes) -> Cost:
    """Return the bytes of slides; tables and logs of the run are shared among all its slides.

    Tables grow with the tissue. Pictures do not, once a slide is large enough for one of full size.
    """
    timings = times.slides
    fixed: dict[str, int] = {}
    grown = 0
    for slide_id, folder in times.homes.items():
        files = [path for path in (folder / SLIDES / slide_id).rglob("*") if path.is_file()]
        sizes = {path: path.stat().st_size for path in files}
        rows = sum(size for path, size in sizes.items() if path.suffix == ".parquet")
        grown += rows
        fixed[slide_id] = sum(sizes.values()) - rows
    shared = sum(_shared_bytes(folder) for folder in times.folders)
    slides = sum(
        1 for folder in times.folders for path in (folder / SLIDES).iterdir() if path.is_dir()
    )
    large = [key for key in fixed if timings[key].tissue_mm2 >= _FULL_PICTURE_MM2] or list(fixed)
    pictures = sum(fixed[key] for key in large) / len(large)
    area = sum(item.tissue_mm2 for item in timings.values())
    return Cost(per_slide=pictures + shared / slides, per_mm2=grown / area)


def _shared_bytes(folder: Path) -> int:
    """Return the bytes of a run's tables and logs."""
    files = [*folder.iterdir(), *folder.glob(shard_log("*"))]
    return sum(path.stat().st_size for path in files if path.is_file())


def _warm_up_seconds(warm_up: SlideTiming | None, seconds: Cost) -> float:
    """Return what a slide took beyond what is usual for its tissue; never below 0."""
    if warm_up is None:
        return 0.0
    return max(0.0, warm_up.wall_s - seconds.of(slides=1, tissue_mm2=warm_up.tissue_mm2))


def measure_speed(config: Config, factory: ReaderFactory) -> MachineSpeed:
    """Score four small synthetic slides in a temporary folder, and take the costs from that run.

    Takes about a minute on two CPU cores. Starts worker processes: from a script, call it below
    ``if __name__ == "__main__":``.

    Parameters
    ----------
    config
        As for the slides that are planned.
    factory
        Loads the model.

    Raises
    ------
    UsageError
        If the model or the device cannot be used.
    """
    from pathology.batch.run import score_folder
    from pathology.synthesis.mosaic import MosaicSpec, write_mosaic

    with tempfile.TemporaryDirectory(prefix="her2-measure-") as name:
        slides, out = Path(name) / "slides", Path(name) / "out"
        slides.mkdir()
        for index, area in enumerate(_MEASURED_MM2):
            # Tables of repeated fields are packed smaller than those of tissue.
            spec = MosaicSpec(tissue_mm2=area, fields=_MEASURED_FIELDS)
            write_mosaic(spec, slides / f"{index}.tif", seed=index)
        results = score_folder([slides], out, config=config, model=factory)
        first = min(results, key=lambda item: item.path).slide_id
        made = f"measured on {platform.node()} with small synthetic slides, {now()[:10]}"
        return speed_of_run(out, warm_up=first, source=made)


def total_seconds(speed: MachineSpeed, tissue_mm2: Iterable[float], *, processes: int = 1) -> float:
    """Predict the seconds of a run.

    Parameters
    ----------
    speed
        Of this machine.
    tissue_mm2
        Tissue of each slide that is read.
    processes
        Slides that are read side by side. One slide is never split over two.

    Examples
    --------
    >>> speed = MachineSpeed(source="", host="", device="cpu", model="", slides=3,
    ...     tissue_mm2=9, fitted=True, start_s=5, slide_s=1, mm2_s=2, slide_bytes=0, mm2_bytes=0,
    ...     peak_bytes=0)
    >>> total_seconds(speed, [10.0, 4.0]), total_seconds(speed, [10.0, 4.0], processes=2)
    (35.0, 26.0)
    """
    each = [speed.seconds.of(slides=1, tissue_mm2=area) for area in tissue_mm2]
    return speed.start_s + max(sum(each) / processes, max(each, default=0.0))
