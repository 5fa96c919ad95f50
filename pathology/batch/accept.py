"""Accept an installation: make or take slides, score them twice and on every device, and judge."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pathology.acceptance import (
    Acceptance,
    Criteria,
    RunComparison,
    SetEvidence,
    SetName,
    SyntheticTruth,
    Verdict,
    compare_runs,
    gather_facts,
    judge_set,
    make_slides,
)
from pathology.acceptance.facts import Stated
from pathology.batch.inputs import Inputs, collect_inputs
from pathology.batch.manifest import read_stated
from pathology.batch.observer import Observer
from pathology.batch.readers import ReaderFactory, make_factory
from pathology.batch.run import score_folder
from pathology.config import Config
from pathology.errors import PathologyError, UsageError
from pathology.provenance import versions
from pathology.report.acceptance import check_acceptance, write_acceptance
from pathology.runs import now, read_run_info
from pathology.runs.layout import RESULTS_CSV
from pathology.scoring import load_guideline
from pathology.stain.calibrating import drop_calibration

__all__ = ["AcceptRequest", "accept_site"]

SLIDES: Final = "slides"
RUNS: Final = "runs"
_REPEAT: Final = "-repeat"
_SETS: Final[tuple[SetName, ...]] = ("synthetic", "site")

#: Makes an observer for one run, told what the run is.
Watch = Callable[[str], AbstractContextManager[Observer]]


@dataclass(frozen=True, kw_only=True)
class AcceptRequest:
    """Say what is accepted, and how.

    Parameters
    ----------
    out
        Folder for the slides, the runs and the page.
    criteria
        What is asked.
    config
        Of the site's slides. The synthetic slides are read with the default cut-offs in place of a
        calibration, which is of the site's own stain.
    model
        Name of a bundled model, the folder of one, or what loads one.
    devices
        At least one, each as ``her2 score --device`` takes it; a run is made on each.
    manifest
        The site's slides with their truth; None for none.
    synthetic
        Whether synthetic slides are made.
    against
        Folders of earlier acceptances or runs, of this or another machine.
    repeat
        Whether the first device reads everything twice.
    force
        Whether earlier runs in ``out`` are moved away.
    """

    out: Path
    criteria: Criteria
    config: Config
    model: str | Path | ReaderFactory = "her2-cells"
    devices: tuple[str, ...] = ("auto",)
    manifest: Path | None = None
    synthetic: bool = True
    against: tuple[Path, ...] = ()
    repeat: bool = True
    force: bool = False

    def __post_init__(self) -> None:
        if not (self.synthetic or self.manifest):
            raise UsageError(
                "there is nothing to accept on", fix="Name a manifest, or leave out --no-synthetic."
            )
        if len(set(self.devices)) < len(self.devices) or not self.devices:
            raise UsageError(
                f"--device {','.join(self.devices)}: name each device once",
                fix="The repeat run is made anyway; for two devices give cpu,cuda:0.",
            )


@dataclass(frozen=True, kw_only=True)
class _Set:
    """One set of slides, ready to be scored."""

    name: SetName
    inputs: Inputs
    config: Config
    stated: Mapping[str, Stated] = field(default_factory=dict)
    truths: tuple[SyntheticTruth, ...] = ()


def accept_site(
    request: AcceptRequest, *, watch: Watch, tell: Callable[[str], None] = lambda _: None
) -> Acceptance:
    """Score every set of slides, judge, and write ``acceptance.html`` and ``acceptance.json``.

    Runs that are there already go on where they stopped, as with ``her2 score``.

    Parameters
    ----------
    request
        What is asked for.
    watch
        Makes what follows the progress of each run.
    tell
        Called with a line about each slide that is made and each device that is missing.

    Returns
    -------
    Acceptance
        The verdicts, as written.

    Raises
    ------
    UsageError
        If an input, a criterion, the model, the first device or a folder cannot be used.
    """
    factory = make_factory(request.model)
    factory.devices(request.devices[0])  # before minutes of making slides
    _check_against(request)
    check_acceptance(request.out)
    sets = list(_sets(request, tell))
    evidence = tuple(
        _SetReader(request=request, item=item, factory=factory, watch=watch, tell=tell).read()
        for item in sets
    )
    verdicts: list[Verdict] = []
    for found in evidence:
        verdicts += judge_set(found, request.criteria)
    stamp = request.config.calibration
    accepted = Acceptance(
        criteria=request.criteria,
        verdicts=tuple(verdicts),
        evidence=evidence,
        model=factory.name,
        model_sha256=factory.sha256,
        configurations={item.name: item.config.hash for item in sets},
        guideline=request.config.scoring.guideline,
        calibration=None if stamp is None else stamp.title,
        versions=versions(),
        host=platform.node(),
        devices=request.devices,
        time=now(),
    )
    write_acceptance(request.out, accepted)
    return accepted


def _sets(request: AcceptRequest, tell: Callable[[str], None]) -> Iterator[_Set]:
    """Yield the sets of slides; the site's first, so that a wrong manifest costs no time."""
    site = None
    if request.manifest is not None:
        inputs = collect_inputs([request.manifest], truth=True)
        said = read_stated(request.manifest)
        keys = [request.key for request in inputs.requests]
        stated = {name: said[key] for name, key in zip(inputs.ids, keys, strict=True)}
        if not any(item.expected for item in stated.values()):
            raise UsageError(
                f"{request.manifest}: no slide has an expected_score",
                fix="Add a column expected_score, or accept on synthetic slides alone.",
            )
        site = _Set(name="site", inputs=inputs, config=request.config, stated=stated)
    if request.synthetic:
        config = _uncalibrated(request.config)
        folder = request.out / SLIDES
        truths = make_slides(
            request.criteria, folder, config, tell=lambda name: tell(f"making {folder / name}")
        )
        inputs = collect_inputs([truth.path for truth in truths])
        yield _Set(name="synthetic", inputs=inputs, config=config, truths=tuple(truths))
    if site is not None:
        yield site


def _uncalibrated(config: Config) -> Config:
    """Return the configuration without a site's calibration: synthetic stain is of no site."""
    if load_guideline(config.scoring.guideline).organ != "breast":
        raise UsageError(
            f"guideline {config.scoring.guideline}: the synthetic slides show breast tissue",
            fix="Give --no-synthetic and a manifest.",
        )
    return config if config.calibration is None else drop_calibration(config)


@dataclass(frozen=True, kw_only=True)
class _SetReader:
    """Scores one set of slides on every device, and once more on the first."""

    request: AcceptRequest
    item: _Set
    factory: ReaderFactory
    watch: Watch
    tell: Callable[[str], None]

    def read(self) -> SetEvidence:
        request, item, criteria = self.request, self.item, self.request.criteria
        first = request.devices[0]
        main = self._score(first)
        facts = gather_facts(
            main,
            near_pp=criteria.near_cutoff_pp,
            match_um=criteria.match_um,
            stated=item.stated,
            synthetic=item.truths,
        )
        repeat = None
        if request.repeat:
            repeat = self._compare(main, self._score(first, _REPEAT), "repeat")
        others, missing = self._other_devices(main)
        for root in request.against:
            places = _runs_of(root, item.name)
            others += [self._compare(main, place, _label(root, place)) for place in places]
        return SetEvidence(
            name=item.name,
            facts=tuple(facts),
            device=_used_device(main) or first,
            repeat=repeat,
            others=tuple(others),
            missing=missing,
            memory_mib=_worker_memory_mib() if _anything_read(main) else None,
        )

    def _other_devices(self, main: Path) -> tuple[list[RunComparison], dict[str, str]]:
        """Compare the other devices with the first; those that do not work, with their errors."""
        others, missing = [], {}
        for device in self.request.devices[1:]:
            try:
                place = self._score(device)
            except PathologyError as error:
                # The first device worked, so it is this one that does not.
                missing[device] = error.message
                self.tell(f"{device}: not tested ({error})")
                continue
            others.append(self._compare(main, place, device))
        return others, missing

    def _score(self, device: str, suffix: str = "") -> Path:
        place = self.request.out / RUNS / self.item.name / (_plain(device) + suffix)
        title = f"{self.item.name} slides, {device}{suffix.replace('-', ', ')}"
        with self.watch(title) as observer:
            score_folder(
                self.item.inputs, place, config=self.item.config, model=self.factory,
                device=device, force=self.request.force, observer=observer,
            )  # fmt: skip
        return place

    def _compare(self, main: Path, place: Path, name: str) -> RunComparison:
        names = (self.request.devices[0], name)
        same_um = self.request.criteria.same_cell_um
        return compare_runs(main, place, names=names, same_cell_um=same_um)


def _used_device(run_dir: Path) -> str:
    """Return what ``auto`` came to."""
    _, info = read_run_info(run_dir)
    return "" if info is None else info.device


def _anything_read(run_dir: Path) -> bool:
    """Tell whether this command read a slide into a run, or found all of it done."""
    _, info = read_run_info(run_dir)
    return info is not None and info.counts.get("resumed", 0) < info.counts.get("slides", 0)


def _plain(device: str) -> str:
    """Make a device's name fit for a folder."""
    return re.sub(r"[^a-z0-9]+", "", device.casefold()) or "device"


def _check_against(request: AcceptRequest) -> None:
    for root in request.against:
        if not any(_runs_of(root, name) for name in _SETS):
            raise UsageError(
                f"--against {root}: holds no run of `her2 accept` or `her2 score`",
                fix="Name the output folder of an earlier acceptance, or of a run of its slides.",
            )
        if root.resolve() == request.out.resolve():
            raise UsageError(f"--against {root}: is the output folder itself")


def _runs_of(root: Path, name: SetName) -> list[Path]:
    """List the runs of a set in a folder: itself, or those of an acceptance without repeats."""
    if (root / RESULTS_CSV).is_file():
        return [root]
    places = sorted((root / RUNS / name).glob(f"*/{RESULTS_CSV}"))
    return [path.parent for path in places if not path.parent.name.endswith(_REPEAT)]


def _label(root: Path, place: Path) -> str:
    return root.name if place == root else f"{root.name}/{place.name}"


def _worker_memory_mib() -> float | None:
    """Return the largest resident memory of any worker so far; None where nobody knows."""
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # Kibibytes on Linux, bytes on macOS.
    return (peak / (1 << 20) if sys.platform == "darwin" else peak / 1024) or None
