"""``her2 accept``: whether this installation does what it should, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathology.cli.options import ConfigOption, ModelOption, SetOption, overrides_with
from pathology.cli.status import EXIT_FAILED_SLIDES, EXIT_OK

if TYPE_CHECKING:
    from pathology.batch import Observer

__all__ = ["accept"]


def accept(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for acceptance.html, acceptance.json, the slides and the runs. What was "
            "stopped goes on where it was. An earlier page is written over, other files never.",
            show_default=False,
        ),
    ],
    manifest: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MANIFEST]",
            help="The site's own slides: a manifest as for `her2 score`, with expected_score (0, "
            "1+, 2+, 3+, several as 0;1+, or not_scorable:REASON) and, where known, saw_score.",
            show_default=False,
        ),
    ] = None,
    synthetic: Annotated[
        bool,
        typer.Option(
            "--synthetic/--no-synthetic",
            help="Make synthetic slides of every score, and score them.",
        ),
    ] = True,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            help="Seed of the first synthetic slide. Default: the criteria's.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="DEVICE,...",
            help="Each device gets a run of its own, and is compared with the first: cpu,cuda:0. "
            "One that is missing is reported as not tested.",
        ),
    ] = "auto",
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against",
            metavar="DIR",
            help="Also compare with an earlier acceptance or run of the same slides, such as "
            "another machine's. May be given several times.",
            show_default=False,
        ),
    ] = None,
    criteria: Annotated[
        Path | None,
        typer.Option(
            "--criteria",
            metavar="FILE",
            help="YAML file with any of the keys of configs/acceptance/default.yaml: limits, and "
            "which synthetic slides.",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="FILE",
            help="Cut-offs of your laboratory, for the site's slides; those that it was fitted on "
            "are refused as truth.",
            show_default=False,
        ),
    ] = None,
    repeat: Annotated[
        bool, typer.Option("--repeat/--no-repeat", help="Read everything twice and compare.")
    ] = True,
    config_file: ConfigOption = None,
    sets: SetOption = None,
    model: ModelOption = "her2-cells",
    force: Annotated[
        bool, typer.Option("--force", help="Move earlier runs in DIR to previous/ first.")
    ] = False,
) -> None:
    """Accept an installation: synthetic slides, your own slides, a repeat run, a second device.

    Writes one page with pass or fail for each criterion, its limit, what was measured, n and
    interval. Exit status: 0 passed; 1 a criterion failed, or a required one could not be tested; 2
    usage. Passing says that the program computes what it should, not that it may be used for
    patients.
    """
    from pathology.acceptance import load_criteria
    from pathology.batch.accept import AcceptRequest, accept_site
    from pathology.config import load_config
    from pathology.report.acceptance import PAGE_NAME, summary_lines
    from pathology.stain.calibrating import apply_calibration
    from pathology.stain.calibration_file import load_calibration

    config = load_config(config_file, overrides_with(sets))
    if calibration is not None:
        config = apply_calibration(config, load_calibration(calibration))
    request = AcceptRequest(
        out=out,
        criteria=load_criteria(criteria, seed=seed),
        config=config,
        model=model,
        devices=tuple(part.strip() for part in device.split(",")),
        manifest=manifest,
        synthetic=synthetic,
        against=tuple(against or ()),
        repeat=repeat,
        force=force,
    )
    accepted = accept_site(request, watch=_watch, tell=_tell)
    for line in summary_lines(accepted):
        print(line)
    print(f"page {out / PAGE_NAME}")
    raise typer.Exit(EXIT_OK if accepted.overall == "pass" else EXIT_FAILED_SLIDES)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _watch(title: str) -> Iterator[Observer]:
    from pathology.cli.display import make_display

    _tell(title)
    with make_display() as display:
        yield display
