"""A model without a network whose faults are told by the width of the slide that it reads.

Workers import this module by its bare name: tests put its folder on ``sys.path``, which a spawned
process inherits.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from pathology.cells.reader import TileReader
from pathology.cells.table import CellTable
from pathology.config import Config
from pathology.errors import UsageError
from pathology.pipeline import ahead
from pathology.testing.fake_model import FakeModel
from pathology.tiling import InputSpec, TileBatch
from pathology.tissue import TissueFinding, find_tissue
from pathology.wsi import Slide


@dataclass(frozen=True, kw_only=True)
class FakeFactory:
    """Load the fake model; ``faults`` maps widths of slides (level-0 px) to what happens there.

    ``ahead_faults`` happen where a slide is opened beside the one before it.
    """

    faults: tuple[tuple[int, str], ...] = ()
    ahead_faults: tuple[tuple[int, str], ...] = ()
    journal: Path | None = None
    workers: int = 1
    start_fault: str = ""

    @property
    def name(self) -> str:
        return FakeModel().name

    @property
    def sha256(self) -> str:
        return FakeModel().sha256

    @property
    def spec(self) -> InputSpec:
        return FakeModel().spec

    def devices(self, device: str) -> tuple[str, ...]:
        if device.startswith("cuda"):
            raise UsageError(f"--device {device}: no CUDA GPU was found", fix="Use --device cpu.")
        return ("cpu",) * self.workers

    def open(self, device: str, config: Config) -> TileReader:
        self.note(f"open {device}")
        _fault(self.start_fault, self)
        ahead.find_tissue = self._find_tissue_ahead  # in the worker's own process
        return FaultyReader(config, self)

    def _find_tissue_ahead(self, slide: Slide, config: Config) -> TissueFinding:
        width = slide.info.size.width
        self.note(f"ahead {width}")
        for marked, what in self.ahead_faults:
            if marked == width:
                _fault(what, self)
        return find_tissue(slide, config)

    def note(self, text: str) -> None:
        if self.journal is not None:
            with self.journal.open("a") as file:
                file.write(f"{text} {os.getpid()}\n")


class FaultyReader(FakeModel):
    def __init__(self, config: Config, factory: FakeFactory) -> None:
        super().__init__(config)
        self._factory = factory

    def read(self, batch: TileBatch) -> list[CellTable]:
        width = batch.grid.box.width
        self._factory.note(f"read {width}")
        for marked, what in self._factory.faults:
            if marked == width:
                _fault(what, self._factory)
        return super().read(batch)


def _fault(what: str, factory: FakeFactory) -> None:
    match what.split(" ", maxsplit=1):
        case ["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["exit"]:
            os._exit(3)
        case ["raise"]:
            raise ZeroDivisionError("a defect of the program")
        case ["raise", text]:
            raise ZeroDivisionError(text)
        case ["memory"]:
            raise MemoryError
        case ["refuse"]:
            raise UsageError("the model does not start", fix="Mend it.")
        case ["once"]:
            # A machine that has no room for a second worker.
            if factory.journal is not None and factory.journal.read_text().count("open") > 1:
                os._exit(4)
        case ["wait"]:
            factory.note("waiting")
            time.sleep(600)
        case ["slow"]:
            time.sleep(0.05)
        case ["fill", folder]:
            _fill(Path(folder))
        case _:
            pass


def _fill(folder: Path) -> None:
    """Write until the disk that holds ``folder`` is full."""
    with (folder / "ballast").open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            block = bytes(size)
            while True:
                try:
                    file.write(block)
                except OSError:
                    break
