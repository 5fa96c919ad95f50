"""Score a folder: check what was asked for, then leave it to one process or to shards."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path

from pathology.batch.execution import ExecutorKind, make_executor
from pathology.batch.folder_run import score_whole
from pathology.batch.inputs import Inputs, Shard, collect_inputs
from pathology.batch.observer import Observer, SilentObserver
from pathology.batch.pseudonymise import HiddenInputs, hide_inputs, refuse_list_without_hiding
from pathology.batch.readers import ReaderFactory, make_factory
from pathology.batch.shard_run import score_shard
from pathology.config import Config, load_config
from pathology.errors import UsageError
from pathology.pipeline import check_guideline, check_specimens
from pathology.runs import RunKey, SlideResult
from pathology.stain.calibrating import check_model

__all__ = ["score_folder"]


def score_folder(  # noqa: PLR0913 - the words of the command line
    inputs: Inputs | Sequence[str | Path],
    out: Path | str,
    *,
    config: Config | None = None,
    model: str | Path | ReaderFactory = "her2-cells",
    device: str | None = None,
    mpp: float | None = None,
    regions: Path | None = None,
    force: bool = False,
    shard: Shard | None = None,
    executor: ExecutorKind = "local",
    ray_address: str | None = None,
    observer: Observer | None = None,
    pseudonymise: bool = False,
    pseudonyms: Path | None = None,
) -> list[SlideResult]:
    """Score slides into a run folder, or go on where an earlier run of the same kind stopped.

    One worker process per device reads the slides. A slide that fails, or even ends its worker,
    costs nobody else's result. Slides that are done are not read again; if all are, no worker is
    started. From a script, call it below ``if __name__ == "__main__":``.

    Parameters
    ----------
    inputs
        Slide files, folders and CSV manifests, or what :func:`collect_inputs` returned.
    out
        The run folder; made where there is none.
    config
        The configuration; None takes the default.
    model
        Name of a bundled model, the folder of one, or what loads one.
    device
        ``auto``, ``cpu``, ``cuda`` or a list such as ``cuda:0,cuda:1``; None takes the
        configuration's.
    mpp, regions
        As for :func:`collect_inputs`; only where ``inputs`` are paths.
    force
        Move an earlier run's results to ``previous/`` and start anew.
    shard
        Score only one of several disjoint parts; other processes may work on theirs in the same
        folder. Slides of parts whose processes have died are taken over.
    executor, ray_address
        ``local``: worker processes of this machine; ``ray``: those of a Ray cluster.
    observer
        Who is told about progress; None for nobody.
    pseudonymise
        Write pseudonyms in place of the names of files, cases, blocks, sites and stain runs, and
        no name or path to any file of the run folder.
    pseudonyms
        The list that says what the pseudonyms stand for; None: ``<out>.pseudonyms.json``, beside
        the run folder. Runs with one list have one pseudonym for one name.

    Returns
    -------
    list of SlideResult
        One for every input slide (of the part, and what was taken over), in the order of
        ``results.csv``.

    Raises
    ------
    UsageError
        Before any work: wrong inputs, configuration, model, device or output folder
        (``ConfigError``, ``ModelError``, ``OutputError``). After it: the tables cannot be written
        (``TablesError``, which holds the results).
    KeyboardInterrupt
        On Ctrl-C, after the tables of the finished slides were written; ``run.json`` then says that
        the run has not finished.
    """
    _refuse_unguarded_script()
    out = Path(out)
    config = config or load_config()
    device = device or config.runtime.device
    factory = make_factory(model)
    # A wrong name must not bind the folder.
    check_guideline(config, tiles=getattr(factory, "kind", "cells") == "tiles")
    check_model(config.calibration, name=factory.name, sha256=factory.sha256)
    inputs = _collected(inputs, out, mpp=mpp, regions=regions)
    check_specimens(config, inputs.requests)
    observer = observer or SilentObserver()
    secret = None
    if pseudonymise:
        secret = _hidden(inputs, out, config, file=pseudonyms, observer=observer)
        inputs = secret.inputs
    else:
        refuse_list_without_hiding(pseudonyms)
    key = RunKey.of(
        config,
        model=factory.name,
        model_sha256=factory.sha256,
        pseudonyms=None if secret is None else secret.names.fingerprint,
    )
    workers = make_executor(
        executor,
        factory=factory,
        config=config,
        device=device,
        observer=observer,
        ray_address=ray_address,
    )
    try:
        if executor == "ray" or device not in ("auto", "cpu"):
            # Whether there is such a device, or cluster, is known only to a worker: ask before the
            # output folder is touched.
            workers.start()
        if shard is None:
            return score_whole(inputs, out, key, force=force, executor=workers, secret=secret)
        return score_shard(
            inputs, out, key, shard=shard, force=force, executor=workers, secret=secret
        )
    finally:
        workers.stop(kill=True)


def _collected(
    inputs: Inputs | Sequence[str | Path], out: Path, *, mpp: float | None, regions: Path | None
) -> Inputs:
    if not isinstance(inputs, Inputs):
        return collect_inputs(inputs, mpp=mpp, regions=regions, exclude=(out,))
    if mpp is not None or regions is not None:
        raise UsageError("mpp and regions are given to collect_inputs, not to score_folder")
    return inputs


def _hidden(
    inputs: Inputs, out: Path, config: Config, *, file: Path | None, observer: Observer
) -> HiddenInputs:
    for note in inputs.notes:
        observer.note(note)  # to a person, and not to the log: it names files
    return hide_inputs(inputs, out, config, file=file)


def _refuse_unguarded_script() -> None:
    """Say what is wrong where a worker imports a script that itself scores a folder."""
    if getattr(multiprocessing.process.current_process(), "_inheriting", False):
        raise UsageError(
            "score_folder was called while a worker process was importing the calling script",
            fix='Put the call below `if __name__ == "__main__":`.',
        )
