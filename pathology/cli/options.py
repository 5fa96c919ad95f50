"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ConfigOption",
    "DeviceOption",
    "InputsArgument",
    "ModelOption",
    "MppOption",
    "ReplaceFileOption",
    "RunArgument",
    "SetOption",
    "overrides_with",
]

InputsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Slide files, folders (searched with all their subfolders), or CSV manifests with a "
        "column 'path' and any of mpp, regions, case_id, block_id, specimen_type, site, assay, "
        "stain_run, role (test or control), expected_score, index_block (true or false).",
        show_default=False,
    ),
]
RunArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Output folder of `her2 score`.", show_default=False),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="YAML file with any of the keys that `her2 config` prints.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set one key, e.g. scoring.min_tumour_cells=50. May be given several times; comes "
        "after --config.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str,
    typer.Option("--model", metavar="NAME|DIR", help="A bundled model or the folder of one."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="auto, cpu, cuda, or a list such as cuda:0,cuda:1 (one worker each). Default: the "
        "configuration's runtime.device.",
        show_default=False,
    ),
]
MppOption = Annotated[
    float | None,
    typer.Option(
        "--mpp",
        metavar="UM_PER_PX",
        help="Size of a level-0 pixel in µm, for all slides that a manifest does not give one for; "
        "needed where the file does not say.",
        show_default=False,
    ),
]
ReplaceFileOption = Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")]


def overrides_with(sets: list[str] | None, **options: object) -> list[str]:
    """Put options that stand for configuration keys behind the ``--set`` texts.

    Parameters
    ----------
    sets
        What ``--set`` gave.
    **options
        Values by key, with ``__`` for the dot; None where an option was not given.

    Returns
    -------
    list of str
        ``key.path=value`` texts.

    Examples
    --------
    >>> overrides_with(["tiling.tile_px=512"], runtime__device="cpu", scoring__guideline=None)
    ['tiling.tile_px=512', 'runtime.device=cpu']
    """
    given = {key.replace("__", "."): value for key, value in options.items() if value is not None}
    return [*(sets or []), *(f"{key}={value}" for key, value in given.items())]
