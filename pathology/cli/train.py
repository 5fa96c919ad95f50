"""``her2 train``: from a training configuration to a model bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["train"]


def train(
    config_file: Annotated[
        Path,
        typer.Option(
            "--config",
            metavar="FILE",
            help="YAML file with the settings, such as configs/training/tiny.yaml, which also "
            "shows the keys.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder of bundles: the bundle lands in DIR/<name>/<version>, checkpoint and log "
            "in DIR/<name>/<version>.training.",
        ),
    ] = Path("trained"),
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="DIR",
            help="Folder that keeps rendered fields between runs. Default: cache in --out.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            help="Go on from the checkpoint in DIR, where there is one; or remove it and start "
            "anew.",
        ),
    ] = True,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            "--max-minutes",
            metavar="M",
            min=0.0,
            help="Stop with a checkpoint and exit status 0 after M minutes; the same command goes "
            "on.",
            show_default=False,
        ),
    ] = None,
    prepare_only: Annotated[
        bool,
        typer.Option(
            "--prepare-only", help="Render all synthetic fields into the cache, and do not train."
        ),
    ] = False,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="auto, cpu, cuda or cuda:N. Several GPUs: start the command with torchrun.",
        ),
    ] = "auto",
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set one key of the file, e.g. steps=4000 or augment.jpeg=0.3. May be given "
            "several times.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a model, measure it, and write it as a bundle that `her2 score --model` takes.

    Learns from computer-made tissue, from your own annotations, or from folders of scored patches;
    the file says from which. Stopped, whatever the reason, the same command goes on from the last
    checkpoint. Prints the bundle's folder; progress goes to stderr. On two GPUs:
    torchrun --nproc-per-node 2 --no-python her2 train --config FILE.
    """
    from pathology.training.config import load_training_config
    from pathology.training.run import prepare_data, train_bundle

    config = load_training_config(config_file, sets or [])
    kept = cache if cache is not None else out / "cache"
    if prepare_only:
        prepare_data(config, cache=kept, max_minutes=max_minutes)
        return
    bundle = train_bundle(
        config, out, cache=kept, resume=resume, max_minutes=max_minutes, device=device
    )
    if bundle is not None:
        print(bundle)
