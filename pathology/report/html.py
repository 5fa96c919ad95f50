"""One self-contained HTML page per slide, and an index of the run.

A page needs no network, no script and no other file: pictures are embedded, styles are inline, and
a content security policy forbids everything else. It prints on A4.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from pathology import __version__
from pathology.report.examples import ExampleField, example_fields
from pathology.report.facts import Facts, attention_rank, percent
from pathology.report.folders import export_folder, slide_ids
from pathology.report.palette import PATTERN_COLOURS, PATTERN_LABELS, STATUS_COLOURS, css
from pathology.report.provenance import provenance_rows, quality_rows
from pathology.report.words import (
    RESEARCH_USE_ONLY,
    RESEARCH_USE_ONLY_LONG,
    STATUS_WORDS,
    flag_words,
    reason_words,
)
from pathology.runs.atomic import atomic_write_bytes
from pathology.runs.layout import HEATMAP, OVERVIEW, slide_folder
from pathology.runs.result import SlideResult
from pathology.runs.results import read_results

__all__ = ["Picture", "export_html", "page_environment", "render_index", "render_slide"]

INDEX: Final = "index.html"
_PICTURES: Final = (
    (HEATMAP, "Tile by tile", "The tumour by membrane pattern, tile by tile."),
    (OVERVIEW, "What was read", "The slide, the tissue found in it, and what was left out."),
)
_GROUPS: Final = ("Failed", "Not scorable", "Borderline or unresolved", "Scored")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Hold a picture of a page.

    Parameters
    ----------
    title, caption
        Texts.
    png
        Content of a PNG file.
    """

    title: str
    caption: str
    png: bytes

    @property
    def data(self) -> str:
        """The picture in base64."""
        return base64.b64encode(self.png).decode("ascii")


def export_html(
    run_dir: Path | str,
    out: Path | str | None = None,
    *,
    fields: bool = False,
    slide_root: Path | str | None = None,
    slides: Sequence[str] | None = None,
) -> list[Path]:
    """Write ``<slide_id>.html`` for every slide of a run, and ``index.html``.

    Parameters
    ----------
    run_dir
        The folder given as ``--out`` to ``her2 score``.
    out
        Folder for the pages; default ``run_dir/exports/html``.
    fields
        Also open the slide files and show example fields; slides that cannot be opened go without.
    slide_root
        Folder that the paths in ``results.csv`` are relative to; needed for ``fields`` where that
        is not the current folder.
    slides
        Only these slide ids; the index then names only them.

    Returns
    -------
    list of pathlib.Path
        The pages, in the order of ``results.csv``, and the index last.

    Raises
    ------
    UsageError
        If there is no run, a slide id is not in it, or the folder cannot be made.
    SlideError
        If a page cannot be written.
    """
    root = Path(run_dir)
    results = read_results(root)
    wanted = slide_ids(results, slides)
    results = [result for result in results if result.slide_id in wanted]
    folder = export_folder(root, out, "html")
    place = None if slide_root is None else Path(slide_root)
    written = []
    for result in results:
        examples = example_fields(root, result, place) if fields else []
        page = render_slide(result, _stored_pictures(root, result), examples)
        path = folder / f"{result.slide_id}.html"
        atomic_write_bytes(path, page.encode())
        written.append(path)
    index = folder / INDEX
    atomic_write_bytes(index, render_index(results, name=root.resolve().name).encode())
    return [*written, index]


def render_slide(
    result: SlideResult,
    pictures: Sequence[Picture] = (),
    fields: Sequence[ExampleField] = (),
) -> str:
    """Return the page of a slide.

    Parameters
    ----------
    result
        The slide.
    pictures
        Pictures of the whole slide, in order.
    fields
        Example fields.

    Returns
    -------
    str
        HTML that stands alone.
    """
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            result=result,
            facts=Facts(result=result),
            status=STATUS_WORDS[result.status],
            colour=css(STATUS_COLOURS[result.status]),
            reasons=[reason_words(code) for code in result.reasons],
            flags=[(flag, flag_words(flag)) for flag in result.flags],
            pattern_css=[css(colour) for colour in PATTERN_COLOURS],
            pattern_labels=PATTERN_LABELS,
            pictures=pictures,
            fields=[
                Picture(title=field.caption, caption=field.caption, png=field.png)
                for field in fields
            ],
            quality=quality_rows(result),
            provenance=provenance_rows(result),
        )
    )


def render_index(results: Sequence[SlideResult], *, name: str) -> str:
    """Return the index of a run, ordered by who needs a look first.

    Parameters
    ----------
    results
        The slides, in the order of the table.
    name
        Name of the run.
    """
    groups = []
    for rank, title in enumerate(_GROUPS):
        rows = [_index_row(result) for result in results if attention_rank(result) == rank]
        if rows:
            groups.append({"title": title, "rows": rows})
    tally = [(label, _count(results, score)) for label, score in _SCORES]
    tally.append(("Not scorable", sum(row.status == "not_scorable" for row in results)))
    tally.append(("Failed", sum(row.status == "failed" for row in results)))
    return (
        page_environment()
        .get_template("index.html.j2")
        .render(name=name, total=len(results), tally=tally, groups=groups)
    )


_SCORES: Final = (("IHC 0", "0"), ("IHC 1+", "1+"), ("IHC 2+", "2+"), ("IHC 3+", "3+"))


def _count(results: Sequence[SlideResult], score: str) -> int:
    return sum(result.ihc_score == score for result in results)


def _index_row(result: SlideResult) -> dict[str, Any]:
    facts = Facts(result=result)
    why = facts.clause or ", ".join(reason_words(code).title for code in result.reasons)
    return {
        "result": result,
        "facts": facts,
        "link": quote(f"{result.slide_id}.html"),
        "colour": css(STATUS_COLOURS[result.status]),
        "why": why,
        "flags": ", ".join(flag_words(flag).title for flag in result.flags),
    }


def _stored_pictures(root: Path, result: SlideResult) -> list[Picture]:
    """Read the pictures that lie beside the result; a slide may have none."""
    folder = slide_folder(root, result.slide_id)
    found = []
    for name, title, caption in _PICTURES:
        path = folder / name
        if path.is_file():
            found.append(Picture(title=title, caption=caption, png=path.read_bytes()))
    return found


@cache
def page_environment() -> Environment:
    """Return the templates of all pages, with the style sheet and the words on every one."""
    environment = Environment(
        loader=PackageLoader("pathology.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["code"] = _code
    source = (
        environment.loader.get_source(environment, "style.css")[0] if environment.loader else ""
    )
    # The style sheet is part of this package; everything else is escaped.
    environment.globals["style"] = Markup(source)  # noqa: S704
    environment.globals["version"] = __version__
    environment.globals["ruo"] = RESEARCH_USE_ONLY
    environment.globals["ruo_long"] = RESEARCH_USE_ONLY_LONG
    return environment


def _code(text: str) -> Markup:
    """Escape a text and set what stands between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    marked = [
        Markup("<code>{}</code>").format(part) if number % 2 else part
        for number, part in enumerate(parts)
    ]
    return Markup("").join(marked)
