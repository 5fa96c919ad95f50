"""``her2 score``: a folder of slides in, scores out."""

from __future__ import annotations

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
from pathology.cli.status import EXIT_FAILED_SLIDES, EXIT_INTERNAL, EXIT_OK
from pathology.errors import ReasonCode

if TYPE_CHECKING:
    from pathology.runs import SlideResult

__all__ = ["exit_status", "score"]


def score(
    inputs: InputsArgument,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for the results. A run that was stopped goes on where it was.",
            show_default=False,
        ),
    ],
    config_file: ConfigOption = None,
    sets: SetOption = None,
    model: ModelOption = "her2-cells",
    device: DeviceOption = None,
    mpp: MppOption = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            "--regions",
            metavar="DIR",
            help="Folder with QuPath GeoJSON files named like the slides (a.geojson for a.svs); "
            "classes Tumor, Ignore*, Exclude, In situ, Control.",
            show_default=False,
        ),
    ] = None,
    guideline: Annotated[
        str | None,
        typer.Option(
            "--guideline",
            metavar="NAME",
            help="asco-cap-breast-2018, db04-approx (not verified), gastric-inclusive or "
            "gastric-strict (manifest with specimen_type). Default: the configuration's.",
        ),
    ] = None,
    gap_policy: Annotated[
        str | None,
        typer.Option(
            "--gap-policy",
            metavar="P",
            help="What to do where the guideline names no score: score_1_borderline, score_2 or "
            "unresolved. Default: the configuration's.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="FILE",
            help="Cut-offs of your laboratory, as `her2 calibrate` wrote them. Default: the "
            "reference cut-offs of the configuration.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="Threads that read each slide; does not change any result. Default: the "
            "configuration's runtime.workers, by which 2 read for the CPU, and all cores but two "
            "(at most 16) for a GPU.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Score only part I of N disjoint parts of the inputs (by slide id), one process "
            "each, into one shared folder or a folder each (then `her2 merge`).",
        ),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            metavar="local|ray",
            help="Where slides are read: this machine, or the nodes of a Ray cluster that see "
            "the same folders (pip install 'her2-ihc\\[ray]').",
        ),
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="A",
            help="auto (the cluster of this node) or HOST:PORT. Default: RAY_ADDRESS, else Ray is "
            "started on this machine for this run.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Move an earlier run's results to DIR/previous/ first."),
    ] = False,
    pseudonymise: Annotated[
        bool,
        typer.Option(
            "--pseudonymise",
            help="Write pseudonyms in place of the names of files, cases, blocks, sites and stain "
            "runs; DIR then holds no name or path. What they stand for lies beside DIR.",
        ),
    ] = False,
    pseudonyms: Annotated[
        Path | None,
        typer.Option(
            "--pseudonyms",
            metavar="FILE",
            help="The list of what pseudonyms stand for (mode 600), in place of "
            "DIR.pseudonyms.json; with one list for all runs a case has one pseudonym.",
            show_default=False,
        ),
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(
            "--export",
            metavar="KIND,...",
            help="Also write exports, such as geojson,html: the kinds of `her2 export --to`.",
        ),
    ] = None,
) -> None:
    """Score HER2 IHC slides: tissue, tumour cells, membranes, ASCO/CAP score 0 to 3+.

    Writes results.csv, results.parquet and cases.csv, and for each slide its cells, tiles, pictures
    and result.json. Every input gets a row: a slide that cannot be read or rightly has no score
    says why and never stops the others. The same command again does only what is missing.
    """
    from pathology.batch import (
        Shard,
        TablesError,
        collect_inputs,
        parse_executor,
        score_folder,
    )
    from pathology.cli.display import make_display
    from pathology.cli.export import export_run, parse_kinds
    from pathology.cli.tables import print_results
    from pathology.config import load_config
    from pathology.runs import is_finished, pseudonyms_file
    from pathology.stain.calibrating import apply_calibration
    from pathology.stain.calibration_file import load_calibration

    kinds = () if export is None else parse_kinds(export)
    overrides = overrides_with(
        sets,
        runtime__device=device,
        runtime__workers=workers,
        scoring__guideline=guideline,
        scoring__gap_policy=gap_policy,
    )
    config = load_config(config_file, overrides)
    if calibration is not None:
        config = apply_calibration(config, load_calibration(calibration))
    found = collect_inputs(inputs, mpp=mpp, regions=regions, exclude=(out,))
    part = None if shard is None else Shard.parse(shard)
    try:
        with make_display() as display:
            try:
                results = score_folder(
                    found,
                    out,
                    config=config,
                    model=model,
                    force=force,
                    shard=part,
                    executor=parse_executor(executor),
                    ray_address=ray_address,
                    observer=display,
                    pseudonymise=pseudonymise,
                    pseudonyms=pseudonyms,
                )
            except KeyboardInterrupt:
                display.line("stopped; the same command goes on from here")
                raise
    except TablesError as error:
        print_results(error.results)
        raise
    print_results(results)
    display.print_speed()
    print(f"results in {out}")
    if pseudonymise:
        print(f"names are pseudonyms; {pseudonyms_file(out, pseudonyms)} says what they stand for")
    # Last: an export that fails must not hide the scores.
    if kinds and part is not None and not is_finished(out):
        display.line("nothing is exported before the last shard is done; then: her2 export")
    elif kinds:
        export_run(out, kinds)
    raise typer.Exit(exit_status(results))


def exit_status(results: list[SlideResult]) -> int:
    """Return 0 where every slide was scored or rightly was not, 1 for failures, 70 for defects."""
    if any(ReasonCode.INTERNAL_ERROR in result.reasons for result in results):
        return EXIT_INTERNAL
    failed = any(result.status == "failed" for result in results)
    return EXIT_FAILED_SLIDES if failed else EXIT_OK
