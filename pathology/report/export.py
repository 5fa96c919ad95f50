"""``her2 export``: from the name of a kind to the function that writes it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pathology.errors import UsageError
from pathology.report.folders import export_folder
from pathology.report.job import ExportJob, ExportOptions, gather_job, import_extra
from pathology.runs.pseudonyms import GivenPseudonyms, Pseudonyms
from pathology.runs.run_info import is_pseudonymised

__all__ = ["EXPORT_KINDS", "ExportKind", "check_kinds", "export"]


@dataclass(frozen=True, kw_only=True)
class ExportKind:
    """Name the function that writes a kind of export, and what it needs.

    Parameters
    ----------
    says
        What it is, in a few words.
    module, function
        Where the function lies; imported only when the kind is asked for. It is given the job and
        the folder, and returns the files.
    endings
        Of the files that a slide may have.
    names
        Of the files that all slides share.
    library, extra
        A library that not every installation has, and the extra that brings it.
    """

    says: str
    module: str
    function: str
    endings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    library: str = ""
    extra: str = ""

    def check(self) -> None:
        """Raise :class:`UsageError` where the library is not installed."""
        if self.library:
            import_extra(self.library, self.extra)

    def files(self, job: ExportJob) -> Iterator[str]:
        """Yield the names of all files that may be written."""
        yield from self.names
        for slide in job.slides:
            yield from (f"{slide.result.slide_id}{ending}" for ending in self.endings)

    def write(self) -> Callable[..., list[Path]]:
        """Return the function."""
        found: Any = getattr(
            importlib.import_module(f"pathology.report.{self.module}"), self.function
        )
        return found  # type: ignore[no-any-return]


_TABLES: Final = tuple(
    f"{table}.{ending}"
    for table in ("cases", "slides", "columns", "provenance")
    for ending in ("csv", "parquet")
)
#: Every kind of export, by the name that ``--to`` and ``--export`` take.
EXPORT_KINDS: Final[Mapping[str, ExportKind]] = MappingProxyType(
    {
        "geojson": ExportKind(
            says="cells for QuPath, gzipped, a summary, and a script that imports them",
            module="geojson", function="write_geojson",
            endings=(".geojson.gz", ".summary.geojson"), names=("import_her2.groovy",),
        ),
        "html": ExportKind(
            says="one page per slide, and an index", module="html", function="write_html",
            endings=(".html",), names=("index.html",),
        ),
        "pdf": ExportKind(
            says="a printed report per slide",
            module="pdf", function="export_pdf", endings=(".pdf",),
            library="reportlab", extra="pdf",
        ),
        "tables": ExportKind(
            says="slides, cases, meaning of the columns and provenance, as CSV and Parquet",
            module="workbook", function="write_tables", names=_TABLES,
        ),
        "xlsx": ExportKind(
            says="the same tables, and one Excel workbook",
            module="workbook", function="write_workbook", names=("cohort.xlsx", *_TABLES),
            library="xlsxwriter", extra="xlsx",
        ),
        "dicom-sr": ExportKind(
            says="the score as a structured report (TID 1500)",
            module="dicom_sr",
            function="export_dicom_sr",
            endings=(".sr.dcm",),
            library="highdicom",
            extra="dicom",
        ),
        "dicom-ann": ExportKind(
            says="the cells as bulk annotations",
            module="dicom_ann",
            function="export_dicom_ann",
            endings=(".ann.dcm",),
            library="highdicom",
            extra="dicom",
        ),
        "fhir": ExportKind(
            says="the score as FHIR R4 resources", module="fhir", function="export_fhir",
            endings=(".fhir.json",),
        ),
        "ome-tiff": ExportKind(
            says="the heat map as numbers, aligned to the slide",
            module="ome_tiff", function="export_ome_tiff", endings=(".ome.tiff",),
        ),
    }
)  # fmt: skip


def check_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds without repetition, before any work is done.

    Parameters
    ----------
    kinds
        Names of kinds of export.

    Raises
    ------
    UsageError
        If one is not known, there is none, or a library that one needs is not installed.

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
    for kind in wanted:
        EXPORT_KINDS[kind].check()
    return wanted


def export(
    run_dir: Path | str,
    kinds: Iterable[str],
    out: Path | str | None = None,
    *,
    options: ExportOptions | None = None,
    begin: Callable[[str, int], Callable[[str], None]] | None = None,
) -> dict[str, list[Path]]:
    """Write exports of a run; those of before are written over, other files never.

    Parameters
    ----------
    run_dir
        The folder given as ``--out`` to ``her2 score``.
    kinds
        Keys of :data:`EXPORT_KINDS`.
    out
        Folder for the files; default ``run_dir/exports/<kind>``. With several kinds, each gets a
        folder of its name in it.
    options
        Which slides, and under which names; default: all, under pseudonyms.
    begin
        Called with a kind and the number of its slides; returns what is called with the name of
        each slide that is done.

    Returns
    -------
    dict of str to list of pathlib.Path
        The files written, by kind.

    Raises
    ------
    UsageError
        If a kind is not known, a library is missing, there is no run, or a file is in the way that
        no export wrote.
    SlideError
        If a stored table is damaged, or a file cannot be written.
    """
    wanted, choice, root = check_kinds(kinds), options or ExportOptions(), Path(run_dir)
    keeper = None if choice.names else _keeper(root, choice.pseudonyms)
    job = gather_job(root, choice, names=keeper)
    folders = {}
    for kind in wanted:
        target = None if out is None else Path(out) / (kind if len(wanted) > 1 else "")
        folders[kind] = export_folder(root, target, kind)
        folders[kind].check(EXPORT_KINDS[kind].files(job))
    if keeper is not None:
        # Before the first export: nothing goes out under a name that nobody can trace back.
        keeper.save(root, choice.pseudonyms)
    written = {}
    for kind, folder in folders.items():
        step = begin(kind, len(job.slides)) if begin is not None else lambda _name: None
        written[kind] = EXPORT_KINDS[kind].write()(job.with_step(step), folder)
    return written


def _keeper(root: Path, file: Path | None) -> Pseudonyms:
    """Return who names the slides; a run that was scored under pseudonyms keeps those."""
    if not is_pseudonymised(root):
        return Pseudonyms.load(root, file)
    if file is not None:
        raise UsageError(
            f"{root}: was scored with --pseudonymise, and its names are not replaced twice",
            fix="Leave out --pseudonyms; the list beside the run folder says who is who.",
        )
    return GivenPseudonyms()
