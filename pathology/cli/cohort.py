"""``her2 cohort``: selection, strata, randomisation lists, survival and cut-offs of a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from pathology.cli.options import ReplaceFileOption

if TYPE_CHECKING:
    from pathology.cohort import CutoffOptions

__all__ = ["cohort_app"]


class _ReportByDefault(TyperGroup):
    """Take ``her2 cohort TABLE`` for ``her2 cohort report TABLE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["report", *args]
        return super().parse_args(ctx, args)


cohort_app = typer.Typer(
    cls=_ReportByDefault,
    no_args_is_help=True,
    help="Study a cohort: selection, strata, randomisation lists, survival, cut-offs.\n\n"
    "`her2 cohort TABLE --out DIR` is `her2 cohort report TABLE --out DIR`. Research use only.",
    epilog="Example: her2 cohort patients.csv --out study --results results --control TPC",
)

TableArgument = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE",
        help="CSV with one row per patient screened; docs/cohort.md lists the columns.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for cohort.html, cohort.json and one CSV per table. An earlier study there is "
        "written over, other files never.",
        show_default=False,
    ),
]
ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results",
        metavar="RUN",
        help="Output folder of `her2 score`: IHC scores (and ISH) come from its cases.csv, joined "
        "by case_id.",
        show_default=False,
    ),
]
ControlOption = Annotated[
    str | None,
    typer.Option(
        "--control", metavar="ARM", help="The control arm, as in column arm.", show_default=False
    ),
]
BasisOption = Annotated[
    str | None,
    typer.Option(
        "--strata",
        metavar="BASIS",
        help="Strata and hormone receptors of the tests: as_randomised or corrected. Default: as "
        "randomised, where the table has them.",
        show_default=False,
    ),
]
AlphaOption = Annotated[
    float, typer.Option("--alpha", help="Two-sided error of the sequence of tests.")
]
InformationOption = Annotated[
    float,
    typer.Option(
        "--os-information",
        metavar="FRACTION",
        help="Deaths at this look over deaths at the final one; below 1 overall survival is "
        "tested against an interim boundary.",
    ),
]
MarkerOption = Annotated[
    str | None,
    typer.Option(
        "--biomarker",
        metavar="COLUMN",
        help="Column of numbers to study for a cut-off; with --results also one of results.csv, "
        "such as h_score. Empty fields are patients who cannot be evaluated.",
        show_default=False,
    ),
]
EndpointOption = Annotated[str, typer.Option("--endpoint", help="pfs or os.")]
PopulationOption = Annotated[
    str, typer.Option("--population", help="all, HR-positive or HR-negative.")
]
ReplicatesOption = Annotated[
    int, typer.Option("--replicates", help="Bootstrap samples, and permutations, of the search.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the resampling.")]
LeastOption = Annotated[
    float, typer.Option("--least-share", help="Smallest share of patients on a side of a cut-off.")
]
WindowOption = Annotated[
    int | None,
    typer.Option("--window", help="Patients per sliding window. Default: a quarter, 40 at least."),
]
StepOption = Annotated[
    int | None,
    typer.Option("--step", help="Patients from one window to the next. Default: window / 4."),
]


@cohort_app.command(
    epilog="Example: her2 cohort report patients.csv --out study --control TPC --biomarker h_score"
)
def report(
    table: TableArgument,
    out: OutOption,
    results: ResultsOption = None,
    control: ControlOption = None,
    strata: BasisOption = None,
    alpha: AlphaOption = 0.05,
    os_information: InformationOption = 1.0,
    biomarker: MarkerOption = None,
    endpoint: EndpointOption = "pfs",
    population: PopulationOption = "all",
    least_share: LeastOption = 0.1,
    window: WindowOption = None,
    step: StepOption = None,
    replicates: ReplicatesOption = 200,
    seed: SeedOption = 0,
) -> None:
    """Make everything that the columns of the table allow, on one page."""
    cutoff = None
    if biomarker is not None:
        cutoff = _cutoff(
            biomarker, endpoint, population, least_share, window, step, replicates, seed
        )
    _study(
        table,
        out,
        results,
        control,
        strata,
        parts=("select", "survival", "cutoff"),
        alpha=alpha,
        os_information=os_information,
        cutoff=cutoff,
    )


@cohort_app.command(epilog="Example: her2 cohort select patients.csv --out study --results results")
def select(
    table: TableArgument,
    out: OutOption,
    results: ResultsOption = None,
    control: ControlOption = None,
) -> None:
    """Count who was selected: flow, HER2 distribution, selection table, strata, mis-strata."""
    _study(table, out, results, control, None, parts=("select",))


@cohort_app.command(epilog="Example: her2 cohort survival patients.csv --out study --control TPC")
def survival(
    table: TableArgument,
    out: OutOption,
    results: ResultsOption = None,
    control: ControlOption = None,
    strata: BasisOption = None,
    alpha: AlphaOption = 0.05,
    os_information: InformationOption = 1.0,
) -> None:
    """Compare the arms: Kaplan-Meier, log-rank, Cox, tests in their order, response."""
    _study(
        table,
        out,
        results,
        control,
        strata,
        parts=("survival",),
        alpha=alpha,
        os_information=os_information,
    )


@cohort_app.command(
    epilog="Example: her2 cohort cutoff patients.csv --out study --control TPC --biomarker h_score"
)
def cutoff(
    table: TableArgument,
    out: OutOption,
    biomarker: MarkerOption = None,
    results: ResultsOption = None,
    control: ControlOption = None,
    strata: BasisOption = None,
    endpoint: EndpointOption = "pfs",
    population: PopulationOption = "all",
    least_share: LeastOption = 0.1,
    window: WindowOption = None,
    step: StepOption = None,
    replicates: ReplicatesOption = 200,
    seed: SeedOption = 0,
) -> None:
    """Study a biomarker: treatment by biomarker interaction, windows, cut-offs, optimism."""
    from pathology.errors import UsageError

    if biomarker is None:
        raise UsageError("no biomarker is named", fix="Name its column with --biomarker.")
    chosen = _cutoff(biomarker, endpoint, population, least_share, window, step, replicates, seed)
    _study(table, out, results, control, strata, parts=("cutoff",), cutoff=chosen)


@cohort_app.command(
    epilog="Example: her2 cohort randomise --out list.csv --ratio T-DXd=2,TPC=1 --blocks 3,6 "
    "--length 90 --seed 20180511"
)
def randomise(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="CSV to write.", show_default=False)
    ],
    ratio: Annotated[
        str,
        typer.Option(
            "--ratio", metavar="ARM=N,ARM=N", help="Patients per arm.", show_default=False
        ),
    ],
    blocks: Annotated[
        str,
        typer.Option(
            "--blocks",
            metavar="N,...",
            help="Block sizes, multiples of the ratio's sum; several are mixed at random.",
            show_default=False,
        ),
    ],
    length: Annotated[
        int,
        typer.Option("--length", help="Patients per stratum at least.", show_default=False),
    ],
    seed: Annotated[
        int,
        typer.Option("--seed", help="Gives the same lists again; keep it.", show_default=False),
    ],
    force: ReplaceFileOption = False,
) -> None:
    """Draw permuted-block lists for the twelve strata (HER2, lines, hormone receptor and CDK4/6).

    The same seed gives the same lists on every machine. Keep lists and seed from those who enrol.
    """
    from pathology.cohort import STRATA, BlockDesign, assignments_table, draw_lists
    from pathology.errors import OutputError, UsageError
    from pathology.report.cohort_files import write_table

    if out.exists() and not force:
        raise OutputError(
            f"{out}: exists, and a list in use must not change",
            fix="Name another file, or give --force to replace it.",
        )
    try:
        design = BlockDesign(ratio=_ratio(ratio), block_sizes=_numbers(blocks))
        lines = draw_lists(
            design, strata=[str(stratum) for stratum in STRATA], length=length, seed=seed
        )
    except ValueError as error:
        raise UsageError(f"no list can be drawn: {error}", fix="See --help.") from error
    write_table(out, assignments_table(lines))
    print(f"{len(lines)} assignments in {len(STRATA)} strata, seed {seed}: {out}")


@cohort_app.command(epilog="Example: her2 cohort power --hazard-ratio 0.7 --ratio 2,1 --power 0.9")
def power(
    hazard_ratio: Annotated[
        float, typer.Option("--hazard-ratio", help="To be detected.", show_default=False)
    ],
    power: Annotated[float, typer.Option("--power", help="Chance to detect it.")] = 0.9,
    alpha: Annotated[float, typer.Option("--alpha", help="Two-sided error.")] = 0.05,
    ratio: Annotated[
        str, typer.Option("--ratio", metavar="N,N", help="Treatment to control.")
    ] = "1,1",
    looks: Annotated[
        str | None,
        typer.Option(
            "--looks",
            metavar="FRACTION,...",
            help="Information fractions of the looks, up to 1: prints their boundaries.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say how many events a log-rank test needs (Schoenfeld), and the boundaries of its looks."""
    import math

    from pathology.cohort import boundaries, required_events
    from pathology.errors import UsageError

    try:
        parts = _numbers(ratio)
        if len(parts) != 2:
            raise ValueError(f"ratio {ratio!r} is not two numbers")
        events = required_events(hazard_ratio, power=power, alpha=alpha, ratio=parts)
        found = boundaries([float(text) for text in looks.split(",")], alpha=alpha) if looks else ()
    except ValueError as error:
        raise UsageError(str(error), fix="See `her2 cohort power --help`.") from error
    print(f"{math.ceil(events)} events (Schoenfeld: {events:.2f})")
    for look in found:
        print(
            f"look at information {look.fraction:g} ({math.ceil(look.fraction * events)} events): "
            f"z {look.z:.4f}, two-sided p {look.p:.6f}"
        )


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text!r} is not a list of whole numbers")
    return tuple(int(part) for part in parts)


def _ratio(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in text.split(","):
        arm, mark, count = (piece.strip() for piece in part.rpartition("="))
        if not mark or not arm or arm in found:
            raise ValueError(f"{text!r} is not ARM=N,ARM=N with each arm once")
        found[arm] = _numbers(count)[0]
    return found


def _cutoff(
    marker: str,
    endpoint: str,
    population: str,
    least_share: float,
    window: int | None,
    step: int | None,
    replicates: int,
    seed: int,
) -> CutoffOptions:
    from pathology.cohort import CutoffOptions

    return CutoffOptions(
        marker=marker,
        endpoint=endpoint,
        population=population,
        least_share=least_share,
        window=window,
        step=step,
        replicates=replicates,
        seed=seed,
    )


def _study(
    table: Path,
    out: Path,
    results: Path | None,
    control: str | None,
    basis: str | None,
    *,
    parts: tuple[str, ...],
    alpha: float = 0.05,
    os_information: float = 1.0,
    cutoff: CutoffOptions | None = None,
) -> None:
    from typing import cast

    from pathology.cohort import StudyOptions
    from pathology.report.cohort_files import study_cohort

    options = StudyOptions(
        parts=parts,
        control=control,
        basis=cast("Literal['as_randomised', 'corrected'] | None", basis),
        alpha=alpha,
        os_information=os_information,
        cutoff=cutoff,
    )
    files = study_cohort(table, out, options, results=results)
    for found in files.study.tables:
        print(f"{found.name}: {found.account.sentence}")
    warnings = files.study.cutoffs.warnings if files.study.cutoffs else ()
    for note in (*files.study.notes, *warnings):
        print(note)
    print(f"page {files.page}, {len(files.paths)} files in {out}")
