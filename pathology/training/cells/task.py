"""The task of the cell network: fields in, centres, outlines, classes and regions learnt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pathology.config import load_config
from pathology.errors import ConfigError
from pathology.inference.bundle import GoldenInput, load_bundle, write_bundle
from pathology.inference.engine import Engine
from pathology.inference.manifest import ModelInput, ModelManifest, NetworkSpec, StainVectors
from pathology.nn.cellnet import CellNet
from pathology.synthesis import Field, random_field_spec, render_field
from pathology.training.cells.blend import blend
from pathology.training.cells.held_out import annotated_figures
from pathology.training.cells.losses import FieldTargets, cell_losses, join, make_targets
from pathology.training.config import TRAINING_SEEDS, TrainingConfig
from pathology.training.data.augment import (
    check_augmentation,
    network_input,
    optical_view,
    turned_view,
)
from pathology.training.data.loading import AnnotatedFields, load_annotated_source
from pathology.training.data.rendering import render_all
from pathology.training.data.samples import Sample
from pathology.training.data.sources import FieldSource, Mixture, SyntheticFields
from pathology.training.data.split import check_apart
from pathology.training.data.states import data_state
from pathology.training.engine.task import ENDLESS, Batch, Export, LossTerm, random_of
from pathology.training.evidence.card import render_card
from pathology.training.evidence.measure import (
    HOLDOUT_SEED,
    evaluate_reader,
    figures,
    read_rendered_field,
)
from pathology.training.problems import Problems, TrainingDataError
from pathology.training.specs import SourceSpec
from pathology.types import FloatArray

__all__ = ["VALIDATION_SEED", "CellExample", "CellTask"]

#: Fields by which the best step is chosen: beyond those of training, before those of the card.
VALIDATION_SEED = TRAINING_SEEDS
INTENDED_USE = (
    "Research use only. Finds cells and their outlines on bright-field scans of breast tissue "
    "stained with HER2 (DAB) and haematoxylin, for quantification under a pathologist's eyes. Not "
    "for diagnosis, not for treatment decisions, not for other stains."
)


@dataclass(frozen=True, kw_only=True)
class CellExample:
    """Hold one view of a field.

    Parameters
    ----------
    detail
        (2, H, W) float32 haematoxylin and DAB optical density.
    context
        (1, H/4, W/4) float32 haematoxylin optical density.
    targets
        What the network shall say of it.
    """

    detail: FloatArray
    context: FloatArray
    targets: FieldTargets


class CellTask:
    """Teach the cell network from any mix of synthetic and annotated fields.

    Parameters
    ----------
    config
        Settings.
    cache
        Folder that keeps rendered fields between runs; None keeps nothing.
    """

    kind = "cells"
    best_metric = "quality"
    higher_is_better = True

    def __init__(self, config: TrainingConfig, *, cache: Path | None = None) -> None:
        self._config = config
        self._stain = load_config().stain
        self._cache = cache
        self._mixture: Mixture | None = None
        self._held_out: list[Field] = []
        self._annotated: list[AnnotatedFields] = []
        #: Sources, and the patients that they name.
        self._taught: list[tuple[Path, str]] = []
        self._kept_out: list[tuple[Path, str]] = []
        self._network_args = dict(config.network)

    @property
    def data(self) -> str:
        """What examples are made from: the generator and the user's folders, with their hashes."""
        return data_state(self._config.sources)

    def check(self) -> None:
        """Read what must be valid before the first step.

        Raises
        ------
        PathologyError
            If a source is missing or not valid, or what augmentation needs is not installed.
        """
        check_augmentation(self._config.augment)
        self.build_network()
        self._mix()

    def prepare(self, *, workers: int, tell: Callable[[int, int], None], until: float) -> bool:
        """Render the synthetic fields that are not kept yet."""
        jobs = [
            (source, index)
            for source in self._mix().sources
            if isinstance(source, SyntheticFields)
            for index in source.missing()
        ]
        return render_all(_render_one, jobs, workers=workers, tell=tell, until=until)

    def build_network(self) -> CellNet:
        """Build the network, with the weights that the training starts from.

        Raises
        ------
        ConfigError
            If the settings do not fit it.
        ModelError
            If the bundle to start from cannot be read.
        """
        start = self._config.start
        if start is None:
            try:
                return CellNet(**self._config.network)
            except (TypeError, ValueError) as error:
                raise ConfigError(f"network: {error}") from error
        bundle = load_bundle(start.model)
        given, network = self._config.network, bundle.network
        if not isinstance(network, CellNet):
            raise ConfigError(f"start: {bundle.manifest.title} is not a cell network")
        self._network_args = bundle.manifest.network.args | given
        grown = _grow(network, self._network_args, bundle.manifest.title)
        grown.learn(frozenset(start.learn))
        return grown

    def _mix(self) -> Mixture:
        """Open and check all sources, once."""
        if self._mixture is None:
            specs, problems, sources = self._config.sources, Problems(), []
            for spec in specs:
                try:
                    sources.append(self._open(spec))
                except TrainingDataError as error:
                    problems.take(error)
            check_apart(self._taught, self._kept_out, problems)
            problems.raise_any()
            self._mixture = Mixture(sources, [spec.weight for spec in specs], self._config.seed)
        return self._mixture

    def _open(self, spec: SourceSpec) -> FieldSource:
        size_px = self._config.field_px
        if spec.kind == "synthetic":
            drawn = SyntheticFields(
                fields=spec.fields, first=spec.seed, size_px=size_px, only=spec.only,
                cache=self._cache,
            )  # fmt: skip
            drawn.check()
            return drawn
        if spec.kind == "patches":
            raise ConfigError("sources: patches are for kind: tiles")
        if spec.holdout_share > 0:
            kept = load_annotated_source(spec, part="holdout")
            self._annotated.append(kept.fields(size_px, views=1))
            self._kept_out += [(spec.path, name) for name in kept.groups]
        taught = load_annotated_source(spec, part="train")
        self._taught += [(spec.path, name) for name in taught.groups]
        fields = taught.fields(size_px, seed=self._config.seed)
        if not len(fields):
            raise ConfigError(f"{spec.path}: holds no annotations to train on")
        return fields

    def __len__(self) -> int:
        return ENDLESS

    def example(self, index: int, view_seed: tuple[int, int]) -> CellExample:
        """Make one view of the field at a place of the training."""
        rng = random_of(*view_seed)
        view = turned_view(self._mix().sample(index), rng)
        settings = self._config.augment
        rgb, white = optical_view(view.rgb, view.white, settings, int(rng.integers(2**31)))
        detail, context = network_input(rgb, white, self._stain, rng, settings)
        return CellExample(detail=detail, context=context, targets=make_targets(view, rng))

    def collate(self, examples: list[CellExample]) -> Batch:
        """Put views together."""
        tensors = join([example.targets for example in examples])
        tensors["detail"] = torch.from_numpy(np.stack([item.detail for item in examples]))
        tensors["context"] = torch.from_numpy(np.stack([item.context for item in examples]))
        return Batch(tensors=tensors)

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, LossTerm]:
        """Run the network under autocast, and compute the losses in float32."""
        maps = network(batch["detail"], batch["context"])
        with torch.autocast(batch["detail"].device.type, enabled=False):
            return cell_losses(network, maps.float(), batch.tensors)  # type: ignore[arg-type]

    def measure(self, network: nn.Module) -> dict[str, float]:
        """Read held-out synthetic fields as slides are read.

        Returns
        -------
        dict of str to float
            The figures of the card; those of :func:`annotated_figures`, where sources hold slides
            out; and ``quality``: detection F1 × tumour AUROC × macro-F1 of the five patterns, ×
            detection F1 on the slides held out. A network that is bad at one of them is bad.
        """
        config = self._config
        if not self._held_out:
            self._held_out = [
                _field(VALIDATION_SEED + k, config.field_px) for k in range(config.measure_fields)
            ]
        device = next(network.parameters()).device
        reader = Engine(network, self._manifest(network), load_config(), device=str(device))
        found = figures([read_rendered_field(reader, field) for field in self._held_out])
        parts = [found[name] for name in ("detection_f1", "tumour_auroc", "pattern_macro_f1")]
        if self._annotated:
            found |= annotated_figures(reader, self._annotated_samples())
            f1 = found["annotated_detection_f1"]
            parts += [] if math.isnan(f1) else [f1]
        quality = math.prod(0.0 if math.isnan(part) else part for part in parts)
        return {"quality": quality, **found}

    def _annotated_samples(self) -> Iterator[Sample]:
        """Spread ``measure_fields`` fields evenly over each source's slides held out."""
        for fields in self._annotated:
            count = min(len(fields), self._config.measure_fields)
            for k in range(count):
                yield fields.sample(k * len(fields) // count)

    def export(self, network: nn.Module, out: Path, export: Export) -> Path:
        """Measure the network for the card, and write the bundle."""
        config = self._config
        if config.start is not None and config.start.share > 0:
            network = blend(network, load_bundle(config.start.model).network, config.start.share)
        manifest = self._manifest(network, export)
        reader = Engine(network, manifest, load_config(), device="cpu")
        metrics = evaluate_reader(reader, fields=config.holdout_fields, size_px=config.field_px)
        directory = out / config.name / config.version
        write_bundle(
            directory,
            network,
            manifest,
            _golden(manifest, config.field_px),
            card=lambda final: render_card(config, final, metrics),
        )
        return directory

    def _manifest(self, network: nn.Module, export: Export | None = None) -> ModelManifest:
        config, stain = self._config, self._stain
        training = {} if export is None else _history(network, export)
        return ModelManifest(
            name=config.name,
            version=config.version,
            network=NetworkSpec(name="cellnet", args=self._network_args),
            input=ModelInput(
                mpp=0.5,
                halo_px=CellNet.halo_px,
                context_factor=CellNet.context_factor,
                context_halo_px=CellNet.context_halo_px,
            ),
            stain=StainVectors(haematoxylin=stain.haematoxylin, dab=stain.dab),
            licence="Apache-2.0",
            intended_use=INTENDED_USE,
            training=training,
            weights_sha256="0" * 64,  # filled in when the weights are written
        )


def _history(network: nn.Module, export: Export) -> dict[str, object]:
    kinds = {source["kind"] for source in export.settings["sources"]}
    words = {"synthetic": "procedural tissue (pathology.synthesis); no slide of a patient"}
    return {
        "data": words["synthetic"] if kinds == {"synthetic"} else ", ".join(sorted(kinds)),
        "settings": dict(export.settings),
        "settings_sha256": export.settings_sha256,
        "torch": package_version("torch"),
        "parameters": sum(part.numel() for part in network.parameters()),
        "weights_of_step": export.step,
        "chosen": export.chosen,
        "hardware": export.hardware,
    }


def _field(seed: int, size_px: int) -> Field:
    spec = random_field_spec(np.random.default_rng(seed), size_px=size_px, mpp=0.5)
    return render_field(spec, seed)


def _golden(manifest: ModelManifest, size_px: int) -> GoldenInput:
    field = _field(HOLDOUT_SEED - 1, size_px)
    red, green, blue = (float(value) for value in field.white)
    return GoldenInput.from_field(field.rgb, (red, green, blue), manifest.input.spec)


def _render_one(job: tuple[SyntheticFields, int]) -> None:
    source, index = job
    source.sample(index)


def _grow(network: CellNet, args: dict[str, Any], title: str) -> CellNet:
    """Return a network of other arguments with the weights of one that is part of it.

    Raises
    ------
    ConfigError
        If the arguments do not fit, or the weights do not find their place.
    """
    try:
        grown = CellNet(**args)
        # New parts keep their first weights; all of the old ones must find their place.
        grown.load_state_dict(grown.state_dict() | network.state_dict())
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"network: {args} does not take the weights of {title}, to start from",
            fix="Give only what its network has not (edge_width, redraws), or leave network out.",
        ) from error
    return grown
