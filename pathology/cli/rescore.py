"""``her2 rescore``: other rules, cut-offs, calibration or regions, from the stored cells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pathology.cli.options import ConfigOption, SetOption, overrides_with

__all__ = ["rescore"]


def rescore(
    run_dir: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Output folder of `her2 score`, finished. It is only read.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR2", help="Folder for the results.", show_default=False),
    ],
    config_file: ConfigOption = None,
    sets: SetOption = None,
    guideline: Annotated[
        str | None, typer.Option("--guideline", metavar="NAME", help="Default: the run's.")
    ] = None,
    gap_policy: Annotated[
        str | None,
        typer.Option(
            "--gap-policy",
            metavar="P",
            help="score_1_borderline, score_2 or unresolved. Default: the run's.",
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            metavar="FILE",
            help="Cut-offs of your laboratory, as `her2 calibrate` wrote them; none: the default "
            "cut-offs. Default: the run's.",
            show_default=False,
        ),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            "--regions",
            metavar="DIR",
            help="Folder with QuPath GeoJSON files named like the slides, in the place of those "
            "that the run used; a slide without a file keeps its own.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Move another run's results to DIR2/previous/ first."),
    ] = False,
) -> None:
    """Score a finished run again from its stored cells; no slide is read, no model is loaded.

    Settings are those of the run, with --config, --set and the options below on top. Keys that act
    on pixels are refused. What has changed stands in DIR2/run.json and in every result.json. With
    the same settings the results, cells and tiles have the same bytes.
    """
    from pathology.batch.rescore import rescore_run
    from pathology.cli.display import make_display
    from pathology.cli.score import exit_status
    from pathology.cli.tables import print_changes, print_results
    from pathology.runs import read_run_info

    overrides = overrides_with(sets, scoring__guideline=guideline, scoring__gap_policy=gap_policy)
    plain = calibration == "none"
    with make_display() as display:
        results = rescore_run(
            run_dir,
            out,
            file=config_file,
            overrides=overrides,
            calibration=None if calibration is None or plain else Path(calibration),
            uncalibrated=plain,
            regions=regions,
            force=force,
            observer=display,
        )
    print_results(results)
    _, info = read_run_info(out)
    if info is not None and info.rescored is not None:
        print_changes(info.rescored)
    print(f"results in {out}")
    raise typer.Exit(exit_status(results))
