"""From a training configuration to a model bundle with its card."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version as package_version
from pathlib import Path

import numpy as np
from rich.progress import Progress

from pathology.config import load_config
from pathology.inference.bundle import GoldenInput, write_bundle
from pathology.inference.engine import Engine
from pathology.inference.manifest import ModelInput, ModelManifest, NetworkSpec, StainVectors
from pathology.nn.cellnet import CellNet
from pathology.synthesis import random_field_spec, render_field
from pathology.training.card import render_card
from pathology.training.config import TrainingConfig
from pathology.training.loop import TrainingState, train_network
from pathology.training.measure import Metric, measure_model, read_field
from pathology.training.samples import render_samples

__all__ = ["HOLDOUT_SEED", "evaluate_reader", "train_bundle"]

#: Fields of training have the seeds 0, 1, 2, ...; those of measurement begin here, far beyond.
HOLDOUT_SEED = 1_000_000
INTENDED_USE = (
    "Research use only. Finds cells and their outlines on bright-field scans of breast tissue "
    "stained with HER2 (DAB) and haematoxylin, for quantification under a pathologist's eyes. Not "
    "for diagnosis, not for treatment decisions, not for other stains."
)


def evaluate_reader(
    reader: Engine, *, fields: int, size_px: int, first_seed: int = HOLDOUT_SEED
) -> dict[str, Metric]:
    """Measure a model on synthetic fields with seeds that training never uses.

    Parameters
    ----------
    reader
        The model.
    fields
        Number of fields.
    size_px
        Side of a field in pixels of 0.5 µm.
    first_seed
        Seed of the first field.
    """
    seeds = range(first_seed, first_seed + fields)
    return measure_model([read_field(reader, seed, size_px) for seed in seeds])


def train_bundle(
    config: TrainingConfig,
    out: Path,
    *,
    cache: Path | None = None,
    log: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Render fields, train the network, measure it, and write the bundle.

    Parameters
    ----------
    config
        Settings.
    out
        Folder of bundles; the bundle lands in ``out/<name>/<version>``.
    cache
        Folder that keeps rendered fields between runs.
    log
        JSON-lines file for the losses.
    progress
        Shows how far rendering and training are.

    Returns
    -------
    pathlib.Path
        The bundle's folder.
    """
    shown = progress if progress is not None else Progress(disable=True)
    rendering = shown.add_task("render fields", total=config.fields)
    samples = render_samples(
        range(config.fields),
        config.field_px,
        workers=config.workers,
        folder=cache,
        done=lambda: shown.advance(rendering),
    )
    training = shown.add_task("train", total=config.steps)

    def report(state: TrainingState) -> None:
        loss = f"train (loss {state.losses['total']:.2f})"
        shown.update(training, completed=state.step, description=loss)

    network = train_network(config, samples, log=log, report=report)
    manifest = _manifest(config, network)
    reader = Engine(network, manifest, load_config(), device="cpu")
    metrics = evaluate_reader(reader, fields=config.holdout_fields, size_px=config.field_px)
    directory = out / config.name / config.version
    write_bundle(
        directory,
        network,
        manifest,
        _golden(manifest, config.field_px),
        card=render_card(config, manifest, metrics),
    )
    return directory


def _manifest(config: TrainingConfig, network: CellNet) -> ModelManifest:
    stain = load_config().stain
    text = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return ModelManifest(
        name=config.name,
        version=config.version,
        network=NetworkSpec(name="cellnet", args=config.network),
        input=ModelInput(
            mpp=0.5,
            halo_px=network.halo_px,
            context_factor=network.context_factor,
            context_halo_px=network.context_halo_px,
        ),
        stain=StainVectors(haematoxylin=stain.haematoxylin, dab=stain.dab),
        licence="Apache-2.0",
        intended_use=INTENDED_USE,
        training={
            "data": "procedural tissue (pathology.synthesis); no slide of a patient",
            "settings": config.model_dump(mode="json"),
            "settings_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "torch": package_version("torch"),
            "parameters": sum(part.numel() for part in network.parameters()),
        },
        weights_sha256="0" * 64,  # filled in when the weights are written
    )


def _golden(manifest: ModelManifest, size_px: int) -> GoldenInput:
    seed = HOLDOUT_SEED - 1
    spec = random_field_spec(np.random.default_rng(seed), size_px=size_px, mpp=manifest.input.mpp)
    field = render_field(spec, seed)
    red, green, blue = (float(value) for value in field.white)
    return GoldenInput.from_field(field.rgb, (red, green, blue), manifest.input.spec)
