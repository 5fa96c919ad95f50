"""``her2 plan``: what a run would cost, from headers and overviews alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pathology.cli.options import (
    ConfigOption,
    DeviceOption,
    InputsArgument,
    ModelOption,
    MppOption,
    SetOption,
    overrides_with,
)

if TYPE_CHECKING:
    from pathology.batch import PlannedSlide

__all__ = ["plan"]


def plan(
    inputs: InputsArgument,
    config_file: ConfigOption = None,
    sets: SetOption = None,
    model: ModelOption = "her2-cells",
    device: DeviceOption = None,
    mpp: MppOption = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            metavar="MM2_PER_MIN",
            min=1e-6,
            help="Tissue read per minute on this machine, as a finished run's table prints it; "
            "without it a stated default is used.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say what `her2 score` would do, without scoring.

    Opens headers and overviews only: tissue in mm², tiles, expected minutes, GB written, and the
    slides that would be refused.
    """
    from pathology.batch import plan_slides, speed
    from pathology.config import load_config

    overrides = overrides_with(sets, runtime__device=device)
    config = load_config(config_file, overrides)
    planned, skipped = plan_slides(inputs, config=config, model=model, mpp=mpp)
    _print_slides(planned)
    chosen = speed(config.runtime.device, rate)
    tissue = sum(item.tissue_mm2 for item in planned)
    written = sum(item.bytes_written for item in planned)
    refused = [item for item in planned if item.refusal]
    print(
        f"\n{len(planned)} slides, {len(refused)} refused, {skipped} other files skipped\n"
        f"tissue          {tissue:,.1f} mm²\n"
        f"tiles           {sum(item.tiles for item in planned):,}\n"
        f"expected        {tissue / chosen.mm2_per_minute:,.1f} minutes "
        f"at {chosen.mm2_per_minute:g} mm²/min ({chosen.source})\n"
        f"written         {written / 1e9:,.3f} GB (an estimate: cells differ in number)"
    )


def _print_slides(planned: list[PlannedSlide]) -> None:
    """Print one line per slide."""
    from rich.table import Table
    from rich.text import Text

    from pathology.cli.tables import stdout_console

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("slide", overflow="fold")
    table.add_column("mm²", justify="right")
    table.add_column("tiles", justify="right")
    table.add_column("µm/px", justify="right")
    table.add_column("read by")
    table.add_column("refused", overflow="fold")
    for item in planned:
        table.add_row(
            Text(item.path),
            f"{item.tissue_mm2:,.2f}",
            f"{item.tiles:,}",
            "" if item.mpp is None else f"{item.mpp:.4f}",
            item.reader,
            Text(item.refusal),
        )
    stdout_console().print(table)
