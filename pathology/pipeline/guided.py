"""What a guideline asks of a run before any slide is read."""

from __future__ import annotations

from collections.abc import Sequence

from pathology.config import Config
from pathology.errors import ConfigError, UsageError
from pathology.pipeline.request import SlideRequest
from pathology.scoring import load_guideline

__all__ = ["check_guideline", "check_specimens"]


def check_guideline(config: Config, *, tiles: bool) -> None:
    """Refuse a guideline that is not known, or that a kind of model cannot feed.

    Parameters
    ----------
    config
        Names the guideline.
    tiles
        Whether the model classifies tiles.

    Raises
    ------
    ConfigError
        If there is no such guideline, or it counts cells by intensity, and the model counts tiles.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> check_guideline(load_config(), tiles=True)
    """
    guideline = load_guideline(config.scoring.guideline)
    if tiles and guideline.specimens:
        raise ConfigError(
            f"guideline {guideline.id} counts cells by intensity, which no tile model measures",
            fix="Use a cell model, or a breast guideline.",
        )


def check_specimens(config: Config, requests: Sequence[SlideRequest]) -> None:
    """Refuse a run in which no slide states what its guideline has to know.

    Where some slides state their specimen type, those that do not get no score, each with its
    reason, and the others go on. Where none does, the run could give no score at all, after hours
    of reading: that is a mistake of the command, and said before.

    Parameters
    ----------
    config
        Names the guideline.
    requests
        All slides of the run.

    Raises
    ------
    UsageError
        If the guideline's rules differ by specimen type and no slide states one of them.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pathology.config import load_config
    >>> check_specimens(load_config(), [SlideRequest(path=Path("a.svs"))])
    """
    guideline = load_guideline(config.scoring.guideline)
    if not requests or any(guideline.for_specimen(item.specimen_type) for item in requests):
        return
    stated = sorted({item.specimen_type for item in requests if item.specimen_type})
    found = f" (it says {', '.join(map(repr, stated[:3]))})" if stated else ""
    kinds = " or ".join(guideline.specimens)
    raise UsageError(
        f"guideline {guideline.id} needs the specimen type of each slide, and no slide states "
        f"{kinds}{found}",
        fix=f"Give a manifest with the column specimen_type: {kinds}.",
    )
