"""What models without a network have in common."""

from __future__ import annotations

from pathology.config import Config, load_config
from pathology.tiling.windows import SINGLE_TILES, WindowPlan
from pathology.timing import ReaderUsage

__all__ = ["FakeReader"]


class FakeReader:
    """Say how a model without a network takes tiles: one batch at a time, on the CPU.

    Parameters
    ----------
    config
        Configuration; the default one if None.
    """

    def __init__(self, config: Config | None = None) -> None:
        self._config = load_config() if config is None else config

    @property
    def device(self) -> str:
        """Device: always ``cpu``."""
        return "cpu"

    @property
    def batch_size(self) -> int:
        """Tiles taken at once, as configured for the CPU."""
        return self._config.inference.cpu_batch

    @property
    def windows(self) -> WindowPlan:
        """Every tile is read alone."""
        return SINGLE_TILES

    @property
    def streams(self) -> int:
        """One batch at a time."""
        return 1

    @property
    def usage(self) -> ReaderUsage:
        """Nothing: there is no network to time."""
        return ReaderUsage()
