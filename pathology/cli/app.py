"""The commands of ``her2``, put together."""

from __future__ import annotations

from typing import Annotated

import typer

import pathology
from pathology.cli.accept import accept
from pathology.cli.calibrate import calibrate
from pathology.cli.cohort import cohort_app
from pathology.cli.config import config
from pathology.cli.demo import demo
from pathology.cli.doctor import doctor
from pathology.cli.evaluate import evaluate
from pathology.cli.export import export
from pathology.cli.ish import ish
from pathology.cli.merge import merge
from pathology.cli.models import models
from pathology.cli.plan import plan
from pathology.cli.rescore import rescore
from pathology.cli.review import review
from pathology.cli.run_status import status
from pathology.cli.score import score
from pathology.cli.train import train

__all__ = ["app"]

app = typer.Typer(
    name="her2",
    no_args_is_help=True,
    add_completion=False,
    # The program reports its own defects (exit status 70); typer's boxes would hide the file names.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"her2 {pathology.__version__}")
        raise typer.Exit


@app.callback(epilog="Example: her2 score slides/ --out results")
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Score HER2 immunohistochemistry on whole-slide images (IHC 0, 1+, 2+, 3+).

    For research use only; not for diagnosis. Results go to stdout, logs and progress to stderr.
    Exit status: 0 all slides scored, or rightly not scorable; 1 some slides failed; 2 usage or
    configuration; 70 internal error; 130 stopped with Ctrl-C, after which the same command goes on.
    """
    del version


app.command(epilog="Example: her2 score slides/ --out results --export geojson")(score)
app.command(epilog="Example: her2 merge out-1 out-2 out-3 --out out")(merge)
app.command(epilog="Example: her2 status results")(status)
app.command(epilog="Example: her2 demo --out her2-demo")(demo)
app.command(epilog="Example: her2 plan slides/ manifest.csv")(plan)
app.command(epilog="Example: her2 doctor")(doctor)
app.command(epilog="Example: her2 models")(models)
app.command(epilog="Example: her2 config --set scoring.min_tumour_cells=50")(config)
app.command(
    epilog="Example: her2 rescore results --out results-2 --set scoring.min_tumour_cells=50"
)(rescore)
app.command(epilog="Example: her2 export results --to pdf,geojson --out for-others")(export)
app.command(epilog="Example: her2 review results --user 'Ada Reader'")(review)
app.command(epilog="Example: her2 ish results --results ish.csv")(ish)
app.command(
    epilog="Example: her2 calibrate results --labels scores.csv --out site.yaml --site Lab-A"
)(calibrate)
app.command(epilog="Example: her2 evaluate results --readers readers.csv --out evaluation")(
    evaluate
)
app.command(epilog="Example: her2 accept --out acceptance --device cpu,cuda:0")(accept)
app.command(epilog="Example: her2 train --config configs/training/tiny.yaml --out trained")(train)
app.add_typer(cohort_app, name="cohort")
