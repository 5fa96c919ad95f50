"""The manifest of a model bundle; works without torch.

A bundle is a folder: ``model.yaml`` (this manifest), ``weights.safetensors``, ``golden.npz`` (an
input with the output it must give) and ``MODEL_CARD.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from pathology.cells.table import CELL_CLASSES
from pathology.config import list_problems
from pathology.errors import ModelError
from pathology.scoring.tiles import TILE_CLASSES, TileOutputs
from pathology.tiling.grid import InputSpec
from pathology.yamltext import parse_yaml

__all__ = [
    "CARD_FILE",
    "GOLDEN_FILE",
    "MANIFEST_FILE",
    "WEIGHTS_FILE",
    "AnyManifest",
    "ModelInput",
    "ModelManifest",
    "NetworkSpec",
    "StainVectors",
    "TileInput",
    "TileManifest",
    "read_manifest",
]

MANIFEST_FILE = "model.yaml"
WEIGHTS_FILE = "weights.safetensors"
GOLDEN_FILE = "golden.npz"
CARD_FILE = "MODEL_CARD.md"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkSpec(_Part):
    """Name the network that the weights belong to.

    Parameters
    ----------
    name
        A key of ``pathology.nn.registry.NETWORKS``.
    args
        Its keyword arguments.
    """

    name: str
    args: dict[str, Any] = {}


class ModelInput(_Part):
    """Say what the network sees.

    Parameters
    ----------
    mpp
        Pixel size of the detail image in µm/px.
    halo_px
        Detail pixels around a tile's core.
    context_factor
        Size of a context pixel in detail pixels.
    context_halo_px
        Context pixels around a tile's core.
    channels, context_channels
        What the channels hold, in order.
    """

    mpp: float
    halo_px: int
    context_factor: int
    context_halo_px: int
    channels: tuple[str, ...] = ("haematoxylin_od", "dab_od")
    context_channels: tuple[str, ...] = ("haematoxylin_od",)

    @property
    def spec(self) -> InputSpec:
        """The same as a tiling specification.

        Raises
        ------
        ValueError
            If a value does not fit the tile grid.
        """
        return InputSpec(
            mpp=self.mpp,
            halo_px=self.halo_px,
            context_factor=self.context_factor,
            context_halo_px=self.context_halo_px,
        )


class TileInput(_Part):
    """Say what a tile classifier sees: one tile without anything around it.

    Parameters
    ----------
    mpp
        Pixel size of a tile in µm/px.
    tile_px
        Side of a tile in pixels, a multiple of 64.
    channels
        What the channels hold, in order: optical densities of the two stains, or colours.

    Examples
    --------
    >>> TileInput(mpp=0.5, tile_px=256).spec.tile_px
    256
    """

    mpp: float
    tile_px: int
    channels: (
        tuple[Literal["haematoxylin_od"], Literal["dab_od"]]
        | tuple[Literal["red"], Literal["green"], Literal["blue"]]
    ) = ("haematoxylin_od", "dab_od")

    @property
    def spec(self) -> InputSpec:
        """The same as a tiling specification.

        Raises
        ------
        ValueError
            If a value does not fit the tile grid.
        """
        return InputSpec(
            mpp=self.mpp, halo_px=0, context_factor=1, context_halo_px=0, tile_px=self.tile_px
        )


class StainVectors(_Part):
    """Hold the stain vectors that the network was trained with (decadic OD in R, G, B)."""

    haematoxylin: tuple[float, float, float]
    dab: tuple[float, float, float]


class _Manifest(_Part):
    """Hold what bundles of every kind say of themselves."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    network: NetworkSpec
    stain: StainVectors
    licence: str
    intended_use: str
    training: dict[str, Any] = {}
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def title(self) -> str:
        """Name and version, such as ``her2-cells/0.1.0``."""
        return f"{self.name}/{self.version}"

    def to_yaml(self) -> str:
        """Write the manifest as YAML."""
        return yaml.safe_dump(
            self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100
        )


class ModelManifest(_Manifest):
    """Describe the bundle of a cell model.

    Parameters
    ----------
    schema_version
        Version of this layout.
    name, version
        Such as ``her2-cells`` and ``0.1.0``.
    kind
        ``cells``: the network finds and describes cells.
    network
        Which network the weights belong to.
    input
        What the network sees.
    stain
        Stain vectors used in training.
    classes
        Cell classes in the order of the network's output.
    licence
        SPDX name of the licence of the weights.
    intended_use
        What the model is for, and what it is not for.
    training
        Where the weights come from: data, seeds, steps, measured quality.
    weights_sha256
        SHA-256 (hex) of ``weights.safetensors``.

    Examples
    --------
    >>> manifest = ModelManifest(
    ...     name="tiny", version="0.0.1", network=NetworkSpec(name="cellnet"),
    ...     input=ModelInput(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64),
    ...     stain=StainVectors(haematoxylin=(0.65, 0.7, 0.29), dab=(0.27, 0.57, 0.78)),
    ...     licence="Apache-2.0", intended_use="Tests.", weights_sha256="0" * 64)
    >>> manifest.title
    'tiny/0.0.1'
    """

    kind: Literal["cells"] = "cells"
    input: ModelInput
    classes: tuple[str, ...] = CELL_CLASSES

    @field_validator("classes")
    @classmethod
    def _known_classes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value != CELL_CLASSES:
            raise ValueError(f"classes must be {', '.join(CELL_CLASSES)}, in this order")
        return value

    @field_validator("input")
    @classmethod
    def _fits_grid(cls, value: ModelInput) -> ModelInput:
        _ = value.spec  # raises where the grid cannot serve it
        if value.context_halo_px < 1:
            raise ValueError("a cell model needs a context image (context_halo_px above 0)")
        return value


class TileManifest(_Manifest):
    """Describe the bundle of a tile classifier.

    Parameters
    ----------
    schema_version, name, version, network, stain, licence, intended_use, training, weights_sha256
        As in :class:`ModelManifest`.
    kind
        ``tiles``: the network classifies whole tiles.
    outputs
        What it says of a tile that holds tumour: one of the five membrane ``patterns``, or one of
        the four ``scores``.
    input
        What the network sees.
    classes
        Classes in the order of the network's output, ``no_tumour`` first; they follow from
        ``outputs``.

    Examples
    --------
    >>> manifest = TileManifest(
    ...     name="patches", version="0.0.1", outputs="scores", network=NetworkSpec(name="tilenet"),
    ...     input=TileInput(mpp=0.5, tile_px=256),
    ...     stain=StainVectors(haematoxylin=(0.65, 0.7, 0.29), dab=(0.27, 0.57, 0.78)),
    ...     licence="Apache-2.0", intended_use="Tests.", weights_sha256="0" * 64)
    >>> manifest.classes
    ('no_tumour', '0', '1+', '2+', '3+')
    """

    kind: Literal["tiles"] = "tiles"
    outputs: TileOutputs
    input: TileInput
    classes: tuple[str, ...] = ()

    @field_validator("input")
    @classmethod
    def _fits_grid(cls, value: TileInput) -> TileInput:
        _ = value.spec  # raises where the grid cannot serve it
        return value

    @model_validator(mode="before")
    @classmethod
    def _name_classes(cls, content: Any) -> Any:
        """Fill in the classes that follow from the outputs."""
        if isinstance(content, dict) and not content.get("classes"):
            known: dict[Any, tuple[str, ...]] = dict(TILE_CLASSES)
            return {**content, "classes": known.get(content.get("outputs"), ())}
        return content

    @model_validator(mode="after")
    def _known_classes(self) -> TileManifest:
        if self.classes != TILE_CLASSES[self.outputs]:
            wanted = ", ".join(TILE_CLASSES[self.outputs])
            raise ValueError(f"classes of outputs {self.outputs!r} must be {wanted}, in this order")
        return self


#: The manifest of either kind of model.
AnyManifest = ModelManifest | TileManifest
_READER: TypeAdapter[AnyManifest] = TypeAdapter(Annotated[AnyManifest, Field(discriminator="kind")])


def read_manifest(directory: Path) -> AnyManifest:
    """Read the manifest of a bundle.

    Parameters
    ----------
    directory
        The bundle's folder.

    Returns
    -------
    ModelManifest or TileManifest
        By the key ``kind``; without it, a cell model.

    Raises
    ------
    ModelError
        If the file is missing, cannot be read, or a value is not valid; names the file and the key.
    """
    path = directory / MANIFEST_FILE
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            content.setdefault("kind", "cells")
        return _READER.validate_python(content)
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror})",
            fix="A model is a folder with model.yaml, weights.safetensors and golden.npz.",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: not valid YAML ({error})") from error
    except ValidationError as error:
        raise ModelError(f"{path}: {list_problems(error)}") from error
