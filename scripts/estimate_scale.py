"""Estimate what many slides cost: hours, machines, disk, network and money, from measured figures.

    seconds = slides × (S + A × M)          bytes = slides × (B + A × C)

with A mm² of tissue a slide; S and M seconds a slide and a mm², B and C bytes a slide and a mm²
are measured, with `her2 score` (``--from RUN``) or `her2 plan --measure` (``--speed FILE``), or
given by you (``--slide-s``, ``--mm2-s``, ``--slide-bytes``, ``--mm2-bytes``): so a site with a GPU
enters its own. Everything else is an assumption that you have to judge; all are printed.

Run it so: python scripts/estimate_scale.py --from results --slides 1000000 --mm2 150
           python scripts/estimate_scale.py --speed ~/.cache/her2-ihc/speed-KEY.json --table
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pathology.batch.machine_speed import Cost, MachineSpeed, speed_of_run
from pathology.errors import PathologyError

#: Tissue and numbers of slides of the table of growth.
AREAS_MM2 = (1.0, 10.0, 100.0, 1000.0)
NUMBERS = (1, 100, 10_000, 1_000_000)
#: Assumptions, none measured and none a quotation: (option, default, what it is).
ASSUMPTIONS = (
    ("mm2", 150.0, "mm² of tissue a slide: a resection; a biopsy has far less"),
    ("input-gb", 1.0, "GB of a slide's file"),
    ("read-share", 1.0, "share of a file's bytes that crosses the network; 0 for a local disk"),
    ("processes", 1.0, "processes, as measured, that one machine runs side by side"),
    ("efficiency", 0.8, "share of the hours in which a machine works, 0 to 1"),
    ("deadline-days", 30.0, "days until all is done"),
    ("months", 1.0, "months for which inputs and outputs are kept"),
    ("machine-hour", 0.10, "price of one machine for an hour"),
    ("gb-month", 0.02, "price of a GB kept for a month"),
    ("gb-network", 0.01, "price of a GB over the network"),
)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Say what shall be scored, and on what terms; names as in ``ASSUMPTIONS``."""

    slides: int
    mm2: float
    input_gb: float
    read_share: float
    processes: float
    efficiency: float
    deadline_days: float
    months: float
    machine_hour: float
    gb_month: float
    gb_network: float

    def __post_init__(self) -> None:
        above = (self.mm2, self.processes, self.efficiency, self.deadline_days)
        rest = (self.input_gb, self.read_share, self.months, self.machine_hour, self.gb_month)
        numbers = (*above, *rest, self.gb_network)
        if self.slides < 1 or self.efficiency > 1 or not all(map(math.isfinite, numbers)):
            raise ValueError("slides must be 1 or more, efficiency at most 1, all numbers finite")
        if min(above) <= 0 or min(numbers) < 0:
            raise ValueError(
                "mm2, processes, efficiency and deadline-days must be above 0, nothing below 0"
            )


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Hold what a scale comes to."""

    process_hours: float
    machine_hours: float
    machines: int
    input_gb: float
    output_gb: float
    network_gb: float
    gbit_per_s: float
    money_machines: float
    money_disk: float
    money_network: float

    @property
    def money(self) -> float:
        """All of it."""
        return self.money_machines + self.money_disk + self.money_network


def estimate(scale: Scale, seconds: Cost, written: Cost) -> Estimate:
    """Work out hours, disks, network and money."""
    tissue = scale.slides * scale.mm2
    process_h = seconds.of(slides=scale.slides, tissue_mm2=tissue) / 3600
    machine_h = process_h / scale.processes / scale.efficiency
    inputs = scale.slides * scale.input_gb
    outputs = written.of(slides=scale.slides, tissue_mm2=tissue) / 1e9
    network = inputs * scale.read_share + outputs
    return Estimate(
        process_hours=process_h,
        machine_hours=machine_h,
        machines=math.ceil(machine_h / (24 * scale.deadline_days)),
        input_gb=inputs,
        output_gb=outputs,
        network_gb=network,
        gbit_per_s=network * 8 / (86_400 * scale.deadline_days),
        money_machines=machine_h * scale.machine_hour,
        money_disk=(inputs + outputs) * scale.months * scale.gb_month,
        money_network=network * scale.gb_network,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--from",
        dest="run",
        action="append",
        type=Path,
        metavar="DIR",
        help="a finished run; where its shards have folders of their own, once for each",
    )
    source.add_argument("--speed", type=Path, metavar="FILE", help="kept by `her2 plan --measure`")
    for name in ("slide-s", "mm2-s", "slide-bytes", "mm2-bytes"):
        parser.add_argument(f"--{name}", type=float, help="in place of the measured figure")
    parser.add_argument("--slides", type=int, default=1_000_000, help="(%(default)s)")
    for name, value, words in ASSUMPTIONS:
        parser.add_argument(
            f"--{name}", type=float, default=value, help=f"assumption: {words} (%(default)s)"
        )
    parser.add_argument("--currency", default="EUR", help="of your prices (%(default)s)")
    parser.add_argument("--table", action="store_true", help="print how cost grows as well")
    args = parser.parse_args()
    try:
        seconds, written, words = figures(args)
        scale = scale_of(args, slides=args.slides, mm2=args.mm2)
        print_estimate(args, scale, estimate(scale, seconds, written), words)
        if args.table:
            print_table(args, seconds, written)
    except (OSError, ValueError, PathologyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def figures(args: argparse.Namespace) -> tuple[Cost, Cost, list[str]]:
    """Return seconds and bytes, and where they are from, in words."""
    names = ("slide_s", "mm2_s", "slide_bytes", "mm2_bytes")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    if any(not 0 <= value < math.inf for value in given.values()):
        raise ValueError("--slide-s, --mm2-s, --slide-bytes and --mm2-bytes must be 0 or more")
    found: dict[str, float] = {}
    source = "nothing measured"
    if args.run is not None or args.speed is not None:
        speed = speed_of_run(*args.run) if args.run is not None else read_speed(args.speed)
        found = {name: getattr(speed, name) for name in names}
        source = (
            f"{speed.source}: {speed.slides} slides, {speed.tissue_mm2:.1f} mm², {speed.model} "
            f"on {speed.device}{'' if speed.fitted else '; too few slides for a fit'}"
        )
    values = {**found, **given}
    if values.keys() != set(names):
        raise ValueError("give --from, --speed, or all of --slide-s ... --mm2-bytes")
    words = [
        f"{name:<16}{values[name]:,.3f}  {'as given' if name in given else source}"
        for name in names
    ]
    return (
        Cost(per_slide=values["slide_s"], per_mm2=values["mm2_s"]),
        Cost(per_slide=values["slide_bytes"], per_mm2=values["mm2_bytes"]),
        words,
    )


def read_speed(path: Path) -> MachineSpeed:
    """Read a file that `her2 plan --measure` has kept."""
    try:
        return MachineSpeed.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path} is no measured speed ({error.errors()[0]['msg']})") from error


def scale_of(args: argparse.Namespace, *, slides: int, mm2: float) -> Scale:
    """Return the terms, with another number of slides and mm²."""
    values = {name.replace("-", "_"): getattr(args, name.replace("-", "_"))
              for name, _, _ in ASSUMPTIONS}  # fmt: skip
    return Scale(**{**values, "slides": slides, "mm2": mm2})


def print_estimate(
    args: argparse.Namespace, scale: Scale, found: Estimate, words: list[str]
) -> None:
    """Print figures, assumptions and what they come to."""
    print("measured or given")
    print("".join(f"  {line}\n" for line in words), end="")
    print("assumed; judge each")
    for name, _, meaning in ASSUMPTIONS:
        print(f"  --{name:<14}{getattr(args, name.replace('-', '_')):>8g}  {meaning}")
    print(f"  --{'currency':<14}{args.currency:>8}\n")
    print(f"{scale.slides:,} slides of {scale.mm2:g} mm²")
    rows = (
        ("process hours", f"{found.process_hours:,.0f}"),
        ("machine hours", f"{found.machine_hours:,.0f}"),
        ("machines", f"{found.machines:,} for {scale.deadline_days:g} days"),
        ("inputs", f"{found.input_gb / 1e3:,.1f} TB"),
        ("outputs", f"{found.output_gb / 1e3:,.1f} TB"),
        ("network", f"{found.network_gb / 1e3:,.1f} TB, {found.gbit_per_s:,.2f} Gbit/s on average"),
        ("machines cost", f"{found.money_machines:,.0f} {args.currency}"),
        ("disks cost", f"{found.money_disk:,.0f} {args.currency}"),
        ("network costs", f"{found.money_network:,.0f} {args.currency}"),
        ("together", f"{found.money:,.0f} {args.currency}"),
    )
    print("".join(f"  {name:<16}{text}\n" for name, text in rows), end="")


def print_table(args: argparse.Namespace, seconds: Cost, written: Cost) -> None:
    """Print how process hours and written GB grow, as a Markdown table."""
    print("\n| slides | " + " | ".join(f"{area:g} mm²" for area in AREAS_MM2) + " |")
    print("|---:|" + "---:|" * len(AREAS_MM2))
    for number in NUMBERS:
        found = [estimate(scale_of(args, slides=number, mm2=area), seconds, written)
                 for area in AREAS_MM2]  # fmt: skip
        cells = [f"{short(item.process_hours)} h, {short(item.output_gb)} GB" for item in found]
        print(f"| {number:,} | " + " | ".join(cells) + " |")


def short(number: float) -> str:
    """Return three digits that count, and all before the point."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


if __name__ == "__main__":
    sys.exit(main())
