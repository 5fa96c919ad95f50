"""``her2 status``: how far a run is, and who works on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathology.runs import RunState

__all__ = ["status"]

#: Missing slides named without --missing.
_SHOWN = 5


def status(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Output folder of `her2 score`, at any time.", show_default=False
        ),
    ],
    missing: Annotated[
        bool, typer.Option("--missing", help="List every slide that has no result yet.")
    ] = False,
) -> None:
    """Say how far a run is: slides with a result, shards at work, finished, stopped or dead.

    Nothing is written and no lock is taken; exit status 0 whatever the state.
    """
    from pathology.runs import read_state

    state = read_state(folder)
    if state.info is None:
        word = "has not begun"
    else:
        word = "has finished" if state.info.finished else "has not finished"
    print(f"{folder}: {word}; {state.with_result} of {state.expected} slides have a result")
    print(f"model   {state.model}")
    if state.shards:
        _print_shards(state)
    names = sorted(state.missing.values())
    for name in names if missing else names[:_SHOWN]:
        print(f"missing {name}")
    if len(names) > _SHOWN and not missing:
        print(f"and {len(names) - _SHOWN} more (--missing lists them)")


def _print_shards(state: RunState) -> None:
    """Print one line per shard."""
    from rich.table import Table
    from rich.text import Text

    from pathology.cli.tables import stdout_console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("shard", "state", "host", "process", "began", "slides"):
        table.add_column(column, overflow="fold")
    for shard in state.shards:
        record = shard.record
        counts = ", ".join(f"{count} {name}" for name, count in record.counts.items())
        table.add_row(
            f"{record.index}/{record.count}",
            shard.word,
            Text(record.host),
            str(record.pid),
            record.started,
            counts,
        )
    stdout_console().print(table)
