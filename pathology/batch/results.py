"""Rows for slides that never got as far as a result of their own."""

from __future__ import annotations

from typing import Protocol

from pathology.batch.messages import Job
from pathology.errors import ReasonCode, SlideError
from pathology.runs import SlideResult, result_from_error
from pathology.scoring import load_guideline, provenance_flags

__all__ = ["ModelIdentity", "failed_result"]


class ModelIdentity(Protocol):
    """Name a model: a loaded reader, or what will load it."""

    @property
    def name(self) -> str:
        """Name and version."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the weights."""
        ...


def failed_result(
    job: Job, model: ModelIdentity, reason: ReasonCode, message: str, *, fix: str = ""
) -> SlideResult:
    """Make the result of a slide that the machine, not the slide, has failed.

    Parameters
    ----------
    job
        What was asked for.
    model
        What it was to be read with.
    reason
        Why there is no result.
    message, fix
        The cause, naming the file, and the remedy.

    Returns
    -------
    SlideResult
        With status ``failed`` and what is known of the slide beside its pixels. It has no identity,
        so that the next run tries the slide again.
    """
    request = job.request
    result = result_from_error(
        SlideError(message, reason=reason, fix=fix),
        slide_id=job.slide_id,
        path=request.name,
        **request.stated,
        guideline=job.config.scoring.guideline,
        flags=provenance_flags(
            load_guideline(job.config.scoring.guideline), ihc_score=None, assay=request.assay
        ),
        config_hash=job.config.hash,
        calibration=job.config.calibration.title if job.config.calibration else None,
        model=model.name,
        model_sha256=model.sha256,
    )
    return result if request.hidden is None else request.hidden.result(result)
