"""``her2 plan``: what a run would cost, from headers and overviews alone."""

from __future__ import annotations

import sys
from pathlib import Path
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
    from pathology.batch import PlannedSlide, ReaderFactory, Speed
    from pathology.batch.machine_speed import MachineSpeed
    from pathology.config import Config

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
            help="Tissue read per minute on this machine, if you know it.",
            show_default=False,
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Measure this machine first, with the same model, device and configuration, on "
            "four small synthetic slides (about a minute), and keep the figures for later plans.",
        ),
    ] = False,
    from_run: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Take the speed from a finished run of slides like these. Where its shards have "
            "folders of their own, give it once for each.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say what `her2 score` would do, without scoring.

    Opens headers and overviews only: tissue in mm², tiles, expected minutes, GB written and of
    memory, and the slides that would be refused. The minutes come from a run (--from), from --rate,
    from what --measure has kept for this machine, model and configuration, or else from an
    assumption; the plan says which.
    """
    from pathology.batch import plan_slides, planning
    from pathology.config import load_config
    from pathology.errors import UsageError

    if sum((rate is not None, measure, bool(from_run))) > 1:
        raise UsageError(
            "--rate, --measure and --from exclude each other", fix="Give one of them, or none."
        )
    overrides = overrides_with(sets, runtime__device=device)
    config = load_config(config_file, overrides)
    factory = planning.make_factory(model)
    known = None if rate is not None else _known_speed(config, factory, measure, from_run)
    planned, skipped = plan_slides(inputs, config=config, mpp=mpp, factory=factory)
    _print_slides(planned)
    refused = [item for item in planned if item.refusal]
    print(
        f"\n{len(planned)} slides, {len(refused)} refused, {skipped} other files skipped\n"
        f"tissue          {sum(item.tissue_mm2 for item in planned):,.1f} mm²\n"
        f"tiles           {sum(item.tiles for item in planned):,}"
    )
    if known is None:
        print(_from_rate(planned, planning.speed(config.runtime.device, rate)))
    else:
        print(_from_measured(planned, known))


def _known_speed(
    config: Config, factory: ReaderFactory, measure: bool, from_run: list[Path] | None
) -> MachineSpeed | None:
    """Return measured costs, the most particular ones there are; warnings go to stderr."""
    from pathology.batch import machine_speed, speed_store

    if from_run:
        known = machine_speed.speed_of_run(*from_run)
        _note_differences(from_run[0], config, factory)  # parts of one run share their settings
        return known
    device = config.runtime.device
    key = speed_store.speed_key(config, model_sha256=factory.sha256, device=device)
    if not measure:
        speed, warning = speed_store.load_speed(key)
        if warning:
            print(f"warning: {warning}", file=sys.stderr)
        return speed
    measured = machine_speed.measure_speed(config, factory)
    print(f"speed kept in {speed_store.save_speed(key, measured)}", file=sys.stderr)
    return measured


def _note_differences(folder: Path, config: Config, factory: ReaderFactory) -> None:
    from pathology.runs import RunKey, read_run_info

    key, _ = read_run_info(folder)
    planned = RunKey.of(config, model=factory.name, model_sha256=factory.sha256)
    for text in key.differences(planned):
        print(f"warning: {folder} is of another kind of run: {text}", file=sys.stderr)


def _from_rate(planned: list[PlannedSlide], chosen: Speed) -> str:
    tissue = sum(item.tissue_mm2 for item in planned)
    written = sum(item.bytes_written for item in planned)
    return (
        f"expected        {tissue / chosen.mm2_per_minute:,.1f} minutes\n"
        f"written         {written / 1e9:,.3f} GB (an estimate: cells differ in number)\n"
        f"from            {chosen.mm2_per_minute:g} mm²/min, {chosen.source}"
    )


def _from_measured(planned: list[PlannedSlide], known: MachineSpeed) -> str:
    from pathology.batch.machine_speed import total_seconds

    processes = known.device.count(",") + 1
    areas = [item.tissue_mm2 for item in planned if item.tiles]
    seconds = total_seconds(known, areas, processes=processes)
    written = known.written.of(slides=len(areas), tissue_mm2=sum(areas))
    parts = "fitted" if known.fitted else "too few or too similar slides for a fit of the two parts"
    lines = [
        f"expected        {seconds / 60:,.1f} minutes",
        f"written         {written / 1e9:,.3f} GB",
        f"memory          {processes * known.peak_bytes / 1e9:,.1f} GB, in {processes} process"
        f"{'es' if processes > 1 else ''}",
        f"from            {known.source}",
        f"                {known.slides} slides, {known.tissue_mm2:,.1f} mm², on {known.device} of "
        f"{known.host}: {known.start_s:,.1f} s to start, {known.slide_s:,.2f} s a slide, "
        f"{known.mm2_s:,.3f} s/mm² ({parts})",
    ]
    return "\n".join(lines)


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
