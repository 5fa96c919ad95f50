"""What loads a model in a worker: a small value that pickles and needs no torch in the parent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pathology.cells.reader import AnyReader
from pathology.config import Config
from pathology.inference.bundled import find_model, read_weights
from pathology.inference.manifest import read_manifest
from pathology.tiling import InputSpec

__all__ = ["BundleFactory", "ReaderFactory", "make_factory"]


class ReaderFactory(Protocol):
    """Say what a model is, in the parent, and load it, in a worker. Must pickle."""

    @property
    def name(self) -> str:
        """Name and version of the model, such as ``her2-cells/0.1.0``."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the weights, checked."""
        ...

    @property
    def spec(self) -> InputSpec:
        """What the model wants to see."""
        ...

    def devices(self, device: str) -> tuple[str, ...]:
        """Return, in a worker, the devices that the user's words stand for; at least one."""
        ...

    def open(self, device: str, config: Config) -> AnyReader:
        """Load the model, of either kind, in a worker."""
        ...


@dataclass(frozen=True, kw_only=True)
class BundleFactory:
    """Load a model bundle.

    Parameters
    ----------
    directory
        The bundle's folder.
    name
        Name and version.
    sha256
        SHA-256 (hex) of the weights, as checked when this was made.
    spec
        What the model wants to see.
    kind
        ``cells`` or ``tiles``.
    """

    directory: Path
    name: str
    sha256: str
    spec: InputSpec
    kind: str = "cells"

    @classmethod
    def of(cls, model: str | Path) -> BundleFactory:
        """Find a bundle and check its weights; nothing is loaded.

        Parameters
        ----------
        model
            Name of a bundled model, ``name/version``, or a folder.

        Raises
        ------
        ModelError
            If there is no such model, or its weights were changed.
        """
        directory = find_model(model).absolute()
        manifest = read_manifest(directory)
        read_weights(directory, manifest)
        return cls(
            directory=directory,
            name=manifest.title,
            sha256=manifest.weights_sha256,
            spec=manifest.input.spec,
            kind=manifest.kind,
        )

    def devices(self, device: str) -> tuple[str, ...]:
        """Return the devices that the user's words stand for; imports torch."""
        from pathology.inference.devices import resolve_devices

        return tuple(resolve_devices(device))

    def open(self, device: str, config: Config) -> AnyReader:
        """Load the model; imports torch."""
        from pathology.inference.bundle import load_model

        return load_model(self.directory, device=device, config=config)


def make_factory(model: str | Path | ReaderFactory) -> ReaderFactory:
    """Return what loads a model, from its name or folder; a factory is returned as it is.

    Raises
    ------
    ModelError
        If there is no such model, or its weights were changed.
    """
    return BundleFactory.of(model) if isinstance(model, str | Path) else model
