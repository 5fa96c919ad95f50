"""``her2 export``: from the name of a kind to the function that writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pathology.errors import UsageError
from pathology.report.geojson import export_geojson
from pathology.report.html import export_html

__all__ = ["EXPORT_KINDS", "check_kinds", "export"]

Exporter = Callable[[Path, "Path | None"], "list[Path]"]

#: Every kind of export, by the name that ``--to`` and ``--export`` take.
EXPORT_KINDS: Final[Mapping[str, Exporter]] = MappingProxyType(
    {
        "geojson": lambda run_dir, out: export_geojson(run_dir, out),
        "html": lambda run_dir, out: export_html(run_dir, out),
    }
)


def check_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds without repetition, before any work is done.

    Parameters
    ----------
    kinds
        Names of kinds of export.

    Raises
    ------
    UsageError
        If one is not known, or there is none; lists those that are.

    Examples
    --------
    >>> check_kinds(["html", "geojson", "html"])
    ('html', 'geojson')
    """
    wanted = tuple(dict.fromkeys(kinds))
    if not wanted:
        raise UsageError(
            "no kind of export is named", fix=f"Known kinds: {', '.join(EXPORT_KINDS)}."
        )
    unknown = [kind for kind in wanted if kind not in EXPORT_KINDS]
    if unknown:
        raise UsageError(
            f"unknown kind of export: {', '.join(unknown)}",
            fix=f"Known kinds: {', '.join(EXPORT_KINDS)}.",
        )
    return wanted


def export(
    run_dir: Path | str, kinds: Iterable[str], out: Path | str | None = None
) -> dict[str, list[Path]]:
    """Write exports of a finished run.

    Parameters
    ----------
    run_dir
        The folder given as ``--out`` to ``her2 score``.
    kinds
        Names of kinds of export: ``geojson``, ``html``.
    out
        Folder for the files; default ``run_dir/exports/<kind>``. With several kinds, each gets a
        folder of its name in it.

    Returns
    -------
    dict of str to list of pathlib.Path
        The files written, by kind.

    Raises
    ------
    UsageError
        If a kind is not known or there is no run.
    SlideError
        If a stored table is damaged, or a file cannot be written.
    """
    wanted = check_kinds(kinds)
    written = {}
    for kind in wanted:
        target = None if out is None else Path(out) / (kind if len(wanted) > 1 else "")
        written[kind] = EXPORT_KINDS[kind](Path(run_dir), target)
    return written
