"""What runs on a node of a Ray cluster: one process with the model loaded, one slide at a time."""

from __future__ import annotations

import os
import platform
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pathology.batch.messages import Broke, Finished, Job, Refused
from pathology.batch.readers import ReaderFactory
from pathology.batch.worker import score_job
from pathology.cells.reader import AnyReader
from pathology.config import Config
from pathology.errors import PathologyError
from pathology.pipeline import Progress
from pathology.provenance import PACKAGES, versions
from pathology.timing import SlideTiming

__all__ = ["Absent", "Opened", "RayWorker"]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Say that the model is loaded, where, and with which packages."""

    node: str
    device: str
    packages: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Absent:
    """Report a file that is there on the machine of the command, but not on this node."""

    node: str
    path: str


class RayWorker:
    """Hold a loaded model in a process that Ray started; used through an actor handle only.

    Parameters
    ----------
    factory
        What loads the model.
    config
        The whole configuration.
    device
        ``cpu`` or ``cuda``: Ray shows this process its own GPU and no other.
    folder
        The folder that relative paths start from.
    """

    def __init__(self, factory: ReaderFactory, config: Config, device: str, folder: str) -> None:
        self._factory = factory
        self._config = config
        self._device = device
        self._folder = folder
        self._reader: AnyReader | None = None
        self._progress: Progress | None = None
        self._timing: SlideTiming | None = None

    def open(self) -> Opened | Refused | Broke:
        """Load the model; errors come back as messages, so that they keep their words."""
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        node = platform.node()
        try:
            with suppress(OSError):  # without it relative paths are absent, which is then said
                os.chdir(self._folder)
            device = self._factory.devices(self._device)[0]
            self._reader = self._factory.open(device, self._config)
        except PathologyError as error:
            return Refused(kind=type(error), message=f"{node}: {error.message}", fix=error.fix)
        except Exception as error:  # noqa: BLE001 - reported with its traceback, not swallowed
            return Broke(kind=type(error).__name__, traceback=traceback.format_exc())
        known = versions()
        return Opened(node=node, device=device, packages={name: known[name] for name in PACKAGES})

    def score(self, job: Job, needed: tuple[Path, ...]) -> Finished | Absent | Broke:
        """Score one slide.

        Parameters
        ----------
        job
            The slide.
        needed
            What the machine of the command sees, and this node must see too.
        """
        reader = self._reader
        if reader is None:
            raise RuntimeError("no model is loaded")
        for path in needed:
            if not path.exists():
                return Absent(node=platform.node(), path=str(path))
        try:
            result = score_job(job, reader, self._note)
            return Finished(result=result, timing=self._timing)
        except Exception as error:  # noqa: BLE001 - reported with its traceback, not swallowed
            return Broke(kind=type(error).__name__, traceback=traceback.format_exc())
        finally:
            self._progress = None

    def progress(self) -> Progress | None:
        """Say how far the present slide is; called while ``score`` runs in another thread."""
        return self._progress

    def _note(self, progress: Progress) -> None:
        self._progress, self._timing = progress, progress.timing
