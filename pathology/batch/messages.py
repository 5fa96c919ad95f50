"""What the parent and its workers say to each other: small frozen values that pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pathology.config import Config
from pathology.errors import PathologyError
from pathology.pipeline import Progress, SlideRequest
from pathology.runs import SlideResult
from pathology.timing import SlideTiming

__all__ = [
    "Advanced",
    "Assignment",
    "Broke",
    "Finished",
    "FromWorker",
    "Job",
    "Preparing",
    "Ready",
    "Refused",
]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Ask for one slide.

    Parameters
    ----------
    slide_id
        Name of the slide in the run folder.
    request
        What to read and what is known about it.
    out_dir
        Folder of the slide's own files.
    config
        The whole configuration.
    """

    slide_id: str
    request: SlideRequest
    out_dir: Path
    config: Config


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Give a worker a slide.

    Parameters
    ----------
    job
        The slide to score now.
    upcoming
        The slide that is probably next: it may be opened already. None: nothing may be done beside
        ``job``.
    """

    job: Job
    upcoming: Job | None = None


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """Say that the upcoming slide is being opened beside the present one, or no longer is."""

    busy: bool


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Say that the model is loaded; ``devices`` are all devices that the run may use."""

    devices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Advanced:
    """Pass on how far the present slide is."""

    progress: Progress


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Hand over the result of one slide, whatever happened to it, and where its time went."""

    result: SlideResult
    timing: SlideTiming | None = None


@dataclass(frozen=True, kw_only=True)
class Broke:
    """Report an unforeseen exception; the worker ends after it and is replaced by a fresh one."""

    kind: str
    traceback: str


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Report that the worker cannot start, as the parts of a :class:`PathologyError`.

    The parts travel instead of the error itself, whose keyword-only argument does not pickle.
    """

    kind: type[PathologyError]
    message: str
    fix: str

    def error(self) -> PathologyError:
        """Return the error to raise in the parent."""
        return self.kind(self.message, fix=self.fix)


FromWorker = Ready | Advanced | Preparing | Finished | Broke | Refused
