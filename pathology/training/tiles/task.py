"""The task of the tile classifier: labelled tiles in, one class per tile learnt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from pathology.config import list_problems, load_config
from pathology.errors import ConfigError
from pathology.inference.bundle import write_bundle
from pathology.inference.manifest import NetworkSpec, StainVectors, TileInput, TileManifest
from pathology.inference.tile_engine import TileEngine, TileInputs
from pathology.nn.tilenet import CHANNELS, TileNet
from pathology.scoring.tiles import NO_TUMOUR, TILE_CLASSES
from pathology.stain import StainMatrix
from pathology.training.config import TRAINING_SEEDS, TrainingConfig
from pathology.training.data.augment import check_augmentation, network_input, optical_view
from pathology.training.data.patches import Patch
from pathology.training.data.sources import Mixture
from pathology.training.data.split import Part, check_apart
from pathology.training.data.states import data_state
from pathology.training.engine.task import ENDLESS, Batch, Export, LossTerm, random_of
from pathology.training.evidence.measure import HOLDOUT_SEED
from pathology.training.problems import Problems
from pathology.training.specs import PatchesSpec
from pathology.training.tiles.bundle import golden_tiles, history_of
from pathology.training.tiles.card import TileReading, measure_tiles, render_tile_card, tile_figures
from pathology.training.tiles.options import TileOptions, cropped, turned
from pathology.training.tiles.patches import PatchTiles, spec_outputs
from pathology.training.tiles.sources import SyntheticTiles, TileSource, render_missing
from pathology.types import FloatArray, U8Array

__all__ = ["TileExample", "TileTask"]

#: No class weighs more than this many times as much as it would without balance: a handful of
#: examples must not drive the training.
MAX_CLASS_WEIGHT = 10.0
INTENDED_USE = (
    "Research use only. Classifies tiles of bright-field scans of breast tissue stained with HER2 "
    "(DAB) and haematoxylin. It finds no cells and measures no density: it counts tiles. Not for "
    "diagnosis, not for treatment decisions, not for other stains."
)


@dataclass(frozen=True, kw_only=True)
class TileExample:
    """Hold one view of a tile.

    Parameters
    ----------
    image
        (channels, H, W) float32: what the network sees.
    label
        Index into the classes.
    """

    image: FloatArray
    label: int


class TileTask:
    """Teach a tile classifier from any mix of synthetic tiles and labelled patches.

    Parameters
    ----------
    config
        Settings.
    cache
        Folder that keeps rendered fields between runs; None keeps them in memory.

    Raises
    ------
    ConfigError
        If the options are not valid.
    """

    kind = "tiles"
    best_metric = "macro_f1"
    higher_is_better = True

    def __init__(self, config: TrainingConfig, *, cache: Path | None = None) -> None:
        self._config = config
        self._cache = cache
        self._stain = load_config().stain
        try:
            self.options = TileOptions.model_validate(config.options)
        except ValidationError as error:
            raise ConfigError(f"options: {list_problems(error)}") from error
        self._mixture: Mixture | None = None
        self._weights = np.ones(len(self.classes), dtype=np.float32)
        self._held_out: list[tuple[str, Patch]] = []

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their codes."""
        return TILE_CLASSES[self.options.outputs]

    @property
    def data(self) -> str:
        """What examples are made from: the generator and the user's folders, with their hashes."""
        return data_state(self._config.sources)

    def check(self) -> None:
        """Find all tiles, and what must be valid before the first step.

        Raises
        ------
        PathologyError
            If a source is missing or not valid, classes are missing that a model cannot do
            without, or what augmentation needs is not installed.
        """
        check_augmentation(self._config.augment)
        self._check_sources()
        self.build_network()
        sources = self._sources("train")
        weights = [spec.weight for spec in self._config.sources]
        self._weights = self._class_weights(sources, weights)
        self._mixture = Mixture(sources, weights, self._config.seed)  # type: ignore[arg-type]
        self._held_out = self._holdout(TRAINING_SEEDS, self._config.measure_fields)

    def prepare(self, *, workers: int, tell: Callable[[int, int], None], until: float) -> bool:
        """Render the synthetic fields that are not kept yet."""
        return render_missing(
            self._synthetic(training=True), workers=workers, tell=tell, until=until
        )

    def build_network(self) -> TileNet:
        """Build the network, from the weights of a backbone where a file is named.

        Raises
        ------
        ConfigError
            If the settings do not fit it.
        ModelError
            If the file is not one of this backbone.
        """
        try:
            network = TileNet(**self._network_args)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"network: {error}") from error
        if self.options.backbone_weights is not None:
            network.load_backbone(self.options.backbone_weights)
        return network

    def __len__(self) -> int:
        return ENDLESS

    def example(self, index: int, view_seed: tuple[int, int]) -> TileExample:
        """Make one view of the tile at a place of the training."""
        if self._mixture is None:
            raise RuntimeError("check() comes before examples")
        source, number = self._mixture.at(index)
        patch = self._mixture.sources[source].patch(number)  # type: ignore[attr-defined]
        rng = random_of(*view_seed)
        rgb = turned(cropped(patch.rgb, self.options.tile_px, rng), rng)
        white = np.asarray(patch.white, dtype=np.float32)
        rgb, white = optical_view(rgb, white, self._config.augment, int(rng.integers(2**31)))
        return TileExample(image=self._image(rgb, white, rng), label=patch.label)

    def collate(self, examples: list[TileExample]) -> Batch:
        """Put views together."""
        images = torch.from_numpy(np.stack([item.image for item in examples]))
        labels = torch.tensor([item.label for item in examples], dtype=torch.int64)
        return Batch(tensors={"image": images, "label": labels})

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, LossTerm]:
        """Return the cross-entropy, with classes weighed by how rare they are."""
        logits: Tensor = network(batch["image"])
        labels = batch["label"]
        with torch.autocast(labels.device.type, enabled=False):
            known = torch.from_numpy(self._weights).to(labels.device, non_blocking=True)
            weights = known[labels]
            each = functional.cross_entropy(logits.float(), labels, reduction="none")
            return {"cross_entropy": LossTerm(sum=(weights * each).sum(), count=weights.sum())}

    def measure(self, network: nn.Module) -> dict[str, float]:
        """Classify held-out tiles as slides are read.

        Returns
        -------
        dict of str to float
            ``macro_f1`` over the classes, ``accuracy``, and ``tumour_f1``: tumour against none.
        """
        device = str(next(network.parameters()).device)
        return tile_figures(self._read(network, self._held_out, device=device))

    def export(self, network: nn.Module, out: Path, export: Export) -> Path:
        """Measure the network for the card, and write the bundle."""
        config = self._config
        manifest = self._manifest(history_of(network, export))
        tiles = self._holdout(HOLDOUT_SEED, config.holdout_fields)
        metrics = measure_tiles(self._read(network, tiles, device="cpu"))
        directory = out / config.name / config.version
        write_bundle(
            directory,
            network,
            manifest,
            golden_tiles(manifest, config.field_px),
            card=lambda final: render_tile_card(final, metrics, n_tiles=len(tiles)),
        )
        return directory

    def _read(
        self, network: nn.Module, tiles: list[tuple[str, Patch]], *, device: str
    ) -> TileReading:
        engine = TileEngine(network, self._manifest({}), load_config(), device=device)
        side = self.options.tile_px
        calls = [
            engine.codes(cropped(patch.rgb, side, None)[None], patch.white)[0] for _, patch in tiles
        ]
        return TileReading(
            classes=self.classes,
            groups=tuple(group for group, _ in tiles),
            truth=np.array([patch.label for _, patch in tiles], dtype=np.int64),
            found=np.array(calls, dtype=np.int64),
        )

    @property
    def _network_args(self) -> dict[str, Any]:
        return {
            **self._config.network,
            "channels": self.options.channels,
            "classes": len(self.classes),
        }

    def _manifest(self, history: dict[str, Any]) -> TileManifest:
        config, options = self._config, self.options
        return TileManifest(
            name=config.name,
            version=config.version,
            outputs=options.outputs,
            network=NetworkSpec(name="tilenet", args=self._network_args),
            input=TileInput(
                mpp=options.mpp,
                tile_px=options.tile_px,
                channels=CHANNELS[options.channels],
            ),
            stain=StainVectors(haematoxylin=self._stain.haematoxylin, dab=self._stain.dab),
            licence="Apache-2.0",
            intended_use=INTENDED_USE,
            training=history,
            weights_sha256="0" * 64,  # filled in when the weights are written
        )

    def _image(self, rgb: U8Array, white: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Compute what the network sees, with white point and stains a little off."""
        settings = self._config.augment
        if self.options.channels == "stains":
            return network_input(rgb, white, self._stain, rng, settings)[0]
        glass = np.clip(white * rng.normal(1.0, settings.white_sd, size=3), 1, 255)
        stains = StainMatrix(haematoxylin=self._stain.haematoxylin, dab=self._stain.dab)
        inputs = TileInputs(CHANNELS["rgb"], glass.tolist(), stains, torch.device("cpu"))
        found: FloatArray = inputs(torch.from_numpy(rgb[None].copy()))[0].contiguous().numpy()
        return found

    def _check_sources(self) -> None:
        """Refuse sources that do not fit the options; nothing is read yet."""
        options, config = self.options, self._config
        for spec in config.sources:
            if isinstance(spec, PatchesSpec) and spec_outputs(spec) != options.outputs:
                raise ConfigError(
                    f"{spec.path}: its labels are of task {spec.task!r}, and options.outputs is "
                    f"{options.outputs!r}",
                    fix="Give all sources and options.outputs the same: score or pattern.",
                )
            if spec.kind == "synthetic" and spec.fields is None:
                raise ConfigError(
                    "sources: synthetic tiles need a number of fields, to balance their classes",
                    fix="Give fields, such as 400.",
                )
        if config.field_px % options.tile_px:
            raise ConfigError(
                f"field_px {config.field_px} is not a multiple of options.tile_px {options.tile_px}"
            )

    def _sources(self, part: Part) -> list[TileSource]:
        options = self.options
        synthetic = iter(self._synthetic(training=True))
        found: list[TileSource] = []
        for spec in self._config.sources:
            if isinstance(spec, PatchesSpec):
                found.append(PatchTiles(spec, part, mpp=options.mpp, tile_px=options.tile_px))
            else:
                tiles = next(synthetic)
                tiles.load()
                found.append(tiles)
        return found

    def _synthetic(self, *, training: bool) -> list[SyntheticTiles]:
        """Return the sources of synthetic tiles, not loaded."""
        return [
            SyntheticTiles(
                fields=spec.fields or 0,
                first=spec.seed,
                size_px=self._config.field_px,
                tile_px=self.options.tile_px,
                mpp=self.options.mpp,
                outputs=self.options.outputs,
                cache=self._cache if training else None,
            )
            for spec in self._config.sources
            if spec.kind == "synthetic"
        ]

    def _class_weights(self, sources: list[TileSource], weights: list[float]) -> FloatArray:
        """Weigh classes by how rarely the mixture shows them.

        Raises
        ------
        ConfigError
            If there is no example without tumour, or only one class.
        """
        shares = np.zeros(len(self.classes))
        for source, weight in zip(sources, weights, strict=True):
            for code, n in Counter(source.labels).items():
                shares[code] += weight / sum(weights) * n / len(source)
        if shares[NO_TUMOUR] == 0:
            raise ConfigError(
                "sources: no tile without tumour: a model trained on these would call all tissue "
                "tumour",
                fix="Add patches labelled no_tumour, or a source {kind: synthetic, fields: 400}.",
            )
        present = shares > 0
        if np.count_nonzero(present) < 2:
            raise ConfigError("sources: no tile with tumour")
        balanced = np.divide(1.0, present.sum() * shares, out=np.zeros_like(shares), where=present)
        return np.asarray(np.minimum(balanced, MAX_CLASS_WEIGHT), dtype=np.float32)

    def _check_apart(
        self, specs: list[PatchesSpec], kept: list[tuple[PatchesSpec, PatchTiles]]
    ) -> None:
        """Refuse patients that one source trains on and another holds out."""
        if self._mixture is None or not kept:
            return
        taught = [tiles for tiles in self._mixture.sources if isinstance(tiles, PatchTiles)]
        problems = Problems()
        check_apart(
            [
                (spec.path, name)
                for spec, tiles in zip(specs, taught, strict=True)
                if spec.group is not None
                for name in tiles.groups
            ],
            [(s.path, name) for s, t in kept if s.group is not None for name in t.groups],
            problems,
        )
        problems.raise_any()

    def _holdout(self, seed: int, fields: int) -> list[tuple[str, Patch]]:
        """Return the held-out tiles with their groups: patches, or else synthetic ones.

        Raises
        ------
        ConfigError
            If patches are the only source, and none of them is held out.
        """
        options = self.options
        specs = [spec for spec in self._config.sources if isinstance(spec, PatchesSpec)]
        kept = [
            (spec, PatchTiles(spec, "holdout", mpp=options.mpp, tile_px=options.tile_px))
            for spec in specs
            if spec.holdout_share > 0
        ]
        self._check_apart(specs, kept)
        found: list[TileSource] = [tiles for _, tiles in kept]
        for source in self._synthetic(training=False)[:1]:
            tiles = replace(source, fields=fields, first=seed, _tiles=[], _kept={})
            tiles.load()
            found.append(tiles)
        if not found:
            raise ConfigError(
                "sources: no patches are held out to measure on",
                fix="Give a source of patches a holdout_share, such as 0.2.",
            )
        return [
            (source.groups[number], source.patch(number))
            for source in found
            for number in range(len(source))
        ]
