"""The command ``her2``: arguments, one call into the package, an exit status."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pathology.cli.status import (
    EXIT_FAILED_SLIDES,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
)
from pathology.errors import PathologyError, UsageError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and end the process.

    Parameters
    ----------
    arguments
        Words of the command line after the program's name; None takes those of the process.

    Raises
    ------
    SystemExit
        Always. 0: all slides scored, or rightly not scorable; 1: some slides failed; 2: usage or
        configuration; 70: internal error; 130: stopped with Ctrl-C.
    """
    from pathology.cli.app import app

    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(words, prog_name="her2")
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except PathologyError as error:
        print(f"her2: {error}", file=sys.stderr)
        status = EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED_SLIDES
        raise SystemExit(status) from None
    except Exception as error:
        print(
            f"her2: internal error: {type(error).__name__}: {error}\n"
            f"her2: this is a defect of the program; please report it with {_write_log(words)}",
            file=sys.stderr,
        )
        raise SystemExit(EXIT_INTERNAL) from error
    raise SystemExit(EXIT_OK)


def _write_log(words: Sequence[str]) -> str:
    """Keep the traceback out of the way of a person, but not lost."""
    text = f"her2 {' '.join(words)}\n{traceback.format_exc()}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="her2-error-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
    except OSError:
        print(text, file=sys.stderr)
        return "the lines above"
    return str(Path(file.name))
