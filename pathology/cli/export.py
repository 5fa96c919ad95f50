"""``her2 export``: files for other programs, from a finished run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pathology.cli.options import RunArgument

if TYPE_CHECKING:
    from pathology.report import ExportOptions
    from pathology.review.recorded import Recorded

__all__ = ["export", "export_run", "parse_kinds"]

#: Kinds that hold cells, or are made of them alone.
_WITH_CELLS: Final = frozenset({"geojson", "dicom-ann", "ome-tiff"})


def export(
    run_dir: RunArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="KIND,...",
            help="html, pdf (a report per slide); geojson (cells for QuPath); tables (CSV and "
            "Parquet), xlsx (these and a workbook); dicom-sr, dicom-ann; fhir; ome-tiff (heat "
            "map).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR2",
            help="Where to write; default DIR/exports/KIND. Several kinds get a folder each. "
            "Earlier exports there are written over, other files never.",
            show_default=False,
        ),
    ] = None,
    slides: Annotated[
        list[str] | None,
        typer.Option(
            "--slide",
            metavar="ID",
            help="Only this slide, by its slide_id in results.csv. May be given several times.",
            show_default=False,
        ),
    ] = None,
    names: Annotated[
        str,
        typer.Option(
            "--names",
            metavar="WHICH",
            help="pseudonyms: slides, cases, blocks and sites under names that only "
            "DIR/pseudonyms.json (mode 600) can trace back. original: as in results.csv.",
        ),
    ] = "pseudonyms",
    pseudonyms: Annotated[
        Path | None,
        typer.Option(
            "--pseudonyms",
            metavar="FILE",
            help="Key and list of the pseudonyms, in place of DIR/pseudonyms.json: name the same "
            "file for all runs of a study.",
            show_default=False,
        ),
    ] = None,
    slide_root: Annotated[
        Path | None,
        typer.Option(
            "--slide-root",
            metavar="DIR3",
            help="Folder that the paths in results.csv are relative to, for pictures of fields.",
            show_default=False,
        ),
    ] = None,
    origin: Annotated[
        str,
        typer.Option(
            "--origin",
            metavar="WHERE",
            help="Where coordinates in GeoJSON and DICOM begin: bounds (the scanned part that the "
            "header of MIRAX and other slides names, as QuPath counts) or level0.",
        ),
    ] = "bounds",
    organization: Annotated[
        str,
        typer.Option(
            "--organization",
            metavar="NAME",
            help="Where the reviewers work. A signed DICOM report needs it to be VERIFIED.",
        ),
    ] = "",
    no_review: Annotated[
        bool, typer.Option("--no-review", help="Leave out what reviewers decided and signed.")
    ] = False,
) -> None:
    """Write the results of a run for other programs and for print; nothing is scored again.

    Decisions and signatures of `her2 review` go with it: of a signed slide, the result in the
    reviewer's regions. Names of files, cases, blocks and sites are replaced by pseudonyms unless
    --names original; reviewers are named.

    Example: her2 export out --to pdf,dicom-sr --organization "St. Elsewhere"
    """
    from pathology.errors import UsageError
    from pathology.report import ExportOptions

    kinds = parse_kinds(to)
    if names not in ("pseudonyms", "original"):
        raise UsageError(f"--names {names!r} is not known", fix="Known: pseudonyms, original.")
    if origin not in ("bounds", "level0"):
        raise UsageError(f"--origin {origin!r} is not known", fix="Known: bounds, level0.")
    _note_unfinished(run_dir)
    recorded = None if no_review else _recorded(run_dir, organization.strip(), kinds)
    options = ExportOptions(
        names=names == "original",
        pseudonyms=pseudonyms,
        slides=slides or None,
        slide_root=slide_root,
        origin="level0" if origin == "level0" else "bounds",
        decisions={} if recorded is None else recorded.decisions,
        reviewed={} if recorded is None else recorded.reviewed,
    )
    with TemporaryDirectory(prefix="her2-export-") as scratch:
        if recorded is not None and not _WITH_CELLS.isdisjoint(kinds):
            chosen = recorded if not slides else recorded.only(slides)
            options = replace(options, counted=_signed_cells(run_dir, chosen, Path(scratch)))
        export_run(run_dir, kinds, out, options)


def _signed_cells(run_dir: Path, recorded: Recorded, scratch: Path) -> dict[str, Path]:
    """Write the cells of slides that were signed in a reviewer's regions, as they count there."""
    if not recorded.regions:
        return {}
    from pathology.review.signed_cells import write_signed_cells

    return write_signed_cells(run_dir, recorded, scratch)


def _recorded(run_dir: Path, organization: str, kinds: tuple[str, ...]) -> Recorded:
    """Read the record of the review, and say what of it goes out."""
    from pathology.review.recorded import read_recorded

    found = read_recorded(run_dir, organization=organization)
    states = [decision.state for decision in found.decisions.values()]
    if states:
        counted = ", ".join(
            f"{states.count(state)} {state}" for state in ("signed", "open", "superseded")
        )
        print(f"decisions of the review: {counted}")
    if "signed" in states and "dicom-sr" in kinds and not organization:
        print(
            "her2: signed DICOM reports stay UNVERIFIED: DICOM wants the organization of who "
            "verifies; name it with --organization",
            file=sys.stderr,
        )
    return found


def parse_kinds(text: str) -> tuple[str, ...]:
    """Split ``a,b`` and check the kinds before any work.

    Raises
    ------
    UsageError
        If a kind is not known, or none is named.
    """
    from pathology.report import check_kinds

    return check_kinds(part.strip() for part in text.split(",") if part.strip())


def _note_unfinished(run_dir: Path) -> None:
    from pathology.errors import OutputError
    from pathology.runs import read_run_info

    # The tables alone decide what can be exported: they may lie elsewhere without their run.json.
    with suppress(OutputError):
        _, info = read_run_info(run_dir)
        if info is None or info.finished is None:
            print(
                f"her2: {run_dir}: this run has not finished; only the slides in its results.csv "
                "are exported (the same `her2 score` command goes on with the rest)",
                file=sys.stderr,
            )


def export_run(
    run_dir: Path,
    kinds: tuple[str, ...],
    out: Path | None = None,
    options: ExportOptions | None = None,
) -> None:
    """Write exports with a bar each, and say where they are."""
    from pathology.report import export as write_exports
    from pathology.runs import is_pseudonymised

    written = write_exports(run_dir, kinds, out, options=options, begin=begin_bar)
    for kind, paths in written.items():
        if paths:
            print(f"{kind}: {len(paths)} files in {paths[0].parent}")
        else:
            print(f"{kind}: nothing to write")
    if is_pseudonymised(run_dir):
        print("names are the pseudonyms that the run was scored under")
    elif options is None or not options.names:
        path = (options.pseudonyms if options else None) or run_dir / "pseudonyms.json"
        print(f"names are pseudonyms; {path} says what they stand for: keep it apart")


def begin_bar(kind: str, total: int) -> Callable[[str], None]:
    """Show how many slides of an export are done: a bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda _name: None
    from rich.console import Console
    from rich.progress import Progress

    bars = Progress(console=Console(stderr=True), transient=True)
    task = bars.add_task(kind, total=total)
    done = 0

    def step(_name: str) -> None:
        nonlocal done
        done += 1
        bars.advance(task)
        if done == 1:
            bars.start()
        if done >= total:
            bars.stop()

    return step
