"""From a training configuration to a model bundle with its card."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from pathology.training.cells.task import CellTask
from pathology.training.config import TrainingConfig
from pathology.training.engine.distributed import Ranks, join_ranks
from pathology.training.engine.journal import Journal, say
from pathology.training.engine.loop import Loop
from pathology.training.engine.state import TrainingState, precision_of
from pathology.training.engine.task import Export, Task
from pathology.training.folder import (
    CHECKPOINT_FILE,
    bundle_folder,
    check_bundle_folder,
    hold_folder,
    is_trained,
    run_folder,
)
from pathology.training.tiles.task import TileTask

__all__ = ["prepare_data", "train_bundle"]


def make_task(config: TrainingConfig, cache: Path | None) -> Task:
    """Build the task that a configuration asks for; nothing is read yet."""
    if config.kind == "tiles":
        return TileTask(config, cache=cache)
    return CellTask(config, cache=cache)


def prepare_data(config: TrainingConfig, *, cache: Path, max_minutes: float | None = None) -> bool:
    """Render and keep what a training needs, without training.

    Parameters
    ----------
    config
        Settings.
    cache
        Folder that keeps it.
    max_minutes
        Stop after so many minutes; the next call goes on.

    Returns
    -------
    bool
        Whether all is there.
    """
    until = _deadline(max_minutes)
    task = make_task(config, cache)
    task.check()
    with Journal(None, step=0, shown=True) as journal:
        return task.prepare(
            workers=config.workers,
            tell=lambda done, total: journal.show("prepare", done, total),
            until=until,
        )


def train_bundle(
    config: TrainingConfig,
    out: Path,
    *,
    cache: Path | None = None,
    resume: bool = True,
    max_minutes: float | None = None,
    device: str = "auto",
) -> Path | None:
    """Train, measure, and write the bundle; under ``torchrun``, together with other processes.

    Parameters
    ----------
    config
        Settings.
    out
        Folder of bundles; the bundle lands in ``out/<name>/<version>``, checkpoint and log in
        ``out/<name>/<version>.training``.
    cache
        Folder that keeps rendered fields between runs; None keeps nothing.
    resume
        Go on from the checkpoint, where there is one; False starts anew.
    max_minutes
        End this leg with a checkpoint after so many minutes; the next call goes on.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns
    -------
    pathlib.Path or None
        The bundle's folder; None where the time was up before the last step.

    Raises
    ------
    PathologyError
        If settings, data, device, checkpoint or output folder are not valid.
    """
    until = _deadline(max_minutes)
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        with join_ranks(device) as ranks:
            return _train(config, ranks, out, cache=cache, resume=resume, until=until)
    finally:
        torch.set_num_threads(threads)


def _train(
    config: TrainingConfig,
    ranks: Ranks,
    out: Path,
    *,
    cache: Path | None,
    resume: bool,
    until: float,
) -> Path | None:
    ranks.share(config.batch)
    task = make_task(config, cache)
    task.check()
    check_bundle_folder(config, out)
    folder = run_folder(config, out)
    with hold_folder(folder, anew=not resume) if ranks.first else nullcontext():
        ranks.wait()
        return _run_to_bundle(config, task, ranks, out, until=until)


def _run_to_bundle(
    config: TrainingConfig, task: Task, ranks: Ranks, out: Path, *, until: float
) -> Path | None:
    folder = run_folder(config, out)
    checkpoint = folder / CHECKPOINT_FILE
    state = TrainingState(config, task, ranks, data=task.data)
    if checkpoint.is_file():
        before = state.load(checkpoint, config)
        if ranks.first:
            say(f"going on from step {state.step} of {config.steps} ({checkpoint})")
        if ranks.first and before != state.data:
            say("warning: the data has changed since the checkpoint")
            say(f"  until now: {before}")
            say(f"  from here: {state.data}")
        if state.step >= config.steps and is_trained(config, out):
            # What may have been written into it since, such as a card with more figures, stays.
            if ranks.first:
                say("the model is there; --no-resume trains it anew")
            return bundle_folder(config, out)
    with Journal(folder if ranks.first else None, step=state.step, shown=ranks.first) as journal:
        loop = Loop(
            config=config,
            task=task,
            ranks=ranks,
            state=state,
            journal=journal,
            checkpoint=checkpoint,
        )
        finished = loop.run(until)
    if not finished:
        if ranks.first:
            say(f"stopped at step {state.step} of {config.steps}; the same command goes on")
        return None
    bundle = bundle_folder(config, out)
    if ranks.first:
        bundle = _export(config, task, ranks, state, out)
    ranks.wait()
    return bundle


def _export(
    config: TrainingConfig, task: Task, ranks: Ranks, state: TrainingState, out: Path
) -> Path:
    best = config.keep == "best"
    dtype = str(precision_of(config, ranks.device)).removeprefix("torch.")
    export = Export(
        step=state.best_step if best else state.step,
        steps=config.steps,
        chosen=config.keep,
        metrics=state.best_metrics if best else {},
        settings=config.plain,
        settings_sha256=config.sha256,
        hardware=f"{ranks.world} × {_device_name(ranks.device)}, {dtype}, "
        f"{state.minutes:.0f} minutes",
    )
    return task.export(state.chosen(config.keep), out, export)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _deadline(max_minutes: float | None) -> float:
    return math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
