"""``her2 demo``: synthetic slides of every score, scored with the bundled model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathology.cli.options import ConfigOption, DeviceOption, ModelOption, SetOption, overrides_with

if TYPE_CHECKING:
    from pathology.runs import SlideResult
    from pathology.synthesis import SlideSpec

__all__ = ["demo", "demo_slides"]

#: Seeds of the demonstration slides; training draws its fields from other generators.
_SEED = 7_100


def demo(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for the slides and their results. Slides of an earlier demonstration are "
            "used again; other files are never written over.",
        ),
    ] = Path("her2-demo"),
    config_file: ConfigOption = None,
    sets: SetOption = None,
    model: ModelOption = "her2-cells",
    device: DeviceOption = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Move earlier results to DIR/results/previous/ first."),
    ] = False,
) -> None:
    """Make five small synthetic slides, score them, and say where to look.

    The slides are computer-made tissue with a known score: 0, 1+, 2+, 3+, and one without tissue,
    which must get no score. The demonstration shows how the program is used; agreement on
    synthetic slides says nothing about agreement with pathologists on real ones.
    """
    from pathology.batch import score_folder
    from pathology.cli.display import make_display
    from pathology.cli.score import exit_status
    from pathology.cli.tables import print_results
    from pathology.config import load_config

    config = load_config(config_file, overrides_with(sets, runtime__device=device))
    paths = _write_slides(out / "slides")
    with make_display() as display:
        results = score_folder(
            paths, out / "results", config=config, model=model, force=force, observer=display
        )
    print_results(results)
    _print_truth(results)
    display.print_speed()
    _print_places(out / "results", results)
    raise typer.Exit(exit_status(results))


def demo_slides() -> dict[str, tuple[SlideSpec, int]]:
    """Return the demonstration slides: specification and seed by file name."""
    from pathology.synthesis import SlideSpec

    specs = {
        "synthetic_0.tif": SlideSpec(score="0", piece_mm=1.0),
        "synthetic_1.tif": SlideSpec(score="1+", piece_mm=1.0),
        "synthetic_2.tif": SlideSpec(score="2+", piece_mm=1.0),
        "synthetic_3.tif": SlideSpec(score="3+", piece_mm=1.0),
        "synthetic_blank.tif": SlideSpec(kind="blank", piece_mm=1.0),
    }
    return {name: (spec, _SEED + number) for number, (name, spec) in enumerate(specs.items())}


def _write_slides(folder: Path) -> list[Path]:
    """Write the slides that an earlier demonstration did not leave there."""
    from functools import partial

    from pathology.runs.outputs import OutputFolder
    from pathology.synthesis import render_slide, write_slide

    place = OutputFolder(folder, command="her2 demo")
    for name, (spec, seed) in demo_slides().items():
        if not place.owns(name):
            print(f"making {folder / name}", file=sys.stderr, flush=True)
            place.put(name, partial(write_slide, render_slide(spec, seed)))
    return [folder / name for name in demo_slides()]


def _print_truth(results: Sequence[SlideResult]) -> None:
    """Compare with the scores that the slides were made for, whatever comes out."""
    expected = {name: spec.expected_score for name, (spec, _) in demo_slides().items()}
    print("\nslide                  made as     scored as")
    agreed = 0
    for result in results:
        name = Path(result.path).name
        truth = expected[name]
        found = result.ihc_score if result.status == "scored" else None
        same = found == truth and result.status != "failed"
        agreed += same
        print(f"{name:<22} {truth or 'no score':<11} {found or 'no score':<11}", end="")
        print("" if same else "  <- differs")
    print(f"{agreed} of {len(results)} as made (synthetic tissue, not evidence for real slides)\n")


def _print_places(out: Path, results: Sequence[SlideResult]) -> None:
    print(f"table     {out / 'results.csv'}")
    print("pictures  heatmap.png says why a slide got its score, overview.png what was read:")
    for result in results:
        folder = out / "slides" / result.slide_id
        shown = [name for name in ("heatmap.png", "overview.png") if (folder / name).exists()]
        if shown:
            print(f"          {folder / shown[0]}")
    print(f"QuPath    her2 export {out} --to geojson,html")
