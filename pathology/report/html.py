"""One self-contained HTML page per slide, and an index of the run.

A page needs no network, no script and no other file: pictures are embedded, styles are inline, and
a content security policy forbids everything else. It prints on A4.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from pathology import __version__
from pathology.report.decision import Decision
from pathology.report.distribution import Distribution, slide_distribution
from pathology.report.examples import ExampleField, example_fields
from pathology.report.facts import Facts, attention_rank, percent
from pathology.report.folders import export_folder
from pathology.report.job import ExportJob, ExportOptions, ExportSlide, gather_job
from pathology.report.palette import PATTERN_COLOURS, PATTERN_LABELS, STATUS_COLOURS, css
from pathology.report.pictures import Figure
from pathology.report.provenance import limits, provenance_rows, quality_rows
from pathology.report.stored import read_scene_or_reason
from pathology.report.words import (
    RESEARCH_USE_ONLY,
    RESEARCH_USE_ONLY_LONG,
    STATUS_WORDS,
    flag_words,
    reason_words,
)
from pathology.runs.layout import HEATMAP, OVERVIEW
from pathology.runs.outputs import OutputFolder
from pathology.runs.result import SlideResult

__all__ = [
    "Picture",
    "export_html",
    "page_environment",
    "render_index",
    "render_slide",
    "write_html",
]

INDEX: Final = "index.html"
#: Width and height that a picture may take, in px, with a scale bar that can be read.
_ROOM: Final = (1000, 700)
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
    legend
        Name and CSS colour of each mark.
    narrow
        Whether two such pictures stand side by side.
    """

    title: str
    caption: str
    png: bytes
    legend: tuple[tuple[str, str], ...] = ()
    narrow: bool = False

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
    """Write ``<slide_id>.html`` for every slide and ``index.html``, under the names of the run.

    Parameters
    ----------
    run_dir
        The folder given as ``--out`` to ``her2 score``.
    out
        Folder for the pages; default ``run_dir/exports/html``.
    fields
        Also read the slides again and show example fields with their cells drawn in. Slides whose
        file has moved get a page without them.
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
    place = None if slide_root is None else Path(slide_root)
    job = gather_job(run_dir, ExportOptions(slides=slides, slide_root=place))
    return write_html(job, export_folder(job.root, out, "html"), fields=fields)


def write_html(job: ExportJob, folder: OutputFolder, *, fields: bool = True) -> list[Path]:
    """Write the pages of an export.

    Parameters
    ----------
    job
        The slides. Their pictures are drawn again: the stored ones say the name and the run's own
        score.
    folder
        Where to write.
    fields
        As in :func:`export_html`.

    Returns
    -------
    list of pathlib.Path
        The pages, and the index last.
    """
    written = []
    for slide in job.slides:
        examples = example_fields(job.root, slide.source, job.slide_root) if fields else []
        spread, _ = slide_distribution(slide)
        pictures, lack = _pictures(slide, job)
        page = render_slide(
            slide.result, pictures, examples, slide.decision, spread, lack_of_pictures=lack
        )
        written.append(folder.write(f"{slide.result.slide_id}.html", page.encode()))
        job.step(slide.result.slide_id)
    index = render_index(job.slides, name=job.run_name)
    return [*written, folder.write(INDEX, index.encode())]


def render_slide(
    result: SlideResult,
    pictures: Sequence[Picture] = (),
    fields: Sequence[ExampleField] = (),
    decision: Decision | None = None,
    spread: Distribution | None = None,
    *,
    lack_of_pictures: str = "",
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
    decision
        What a reviewer decided; None where nobody has looked.
    spread
        Membrane OD of the tumour cells; None where there are none.
    lack_of_pictures
        Why there are none.

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
            beside=len(pictures) > 1 and all(picture.narrow for picture in pictures),
            lack_of_pictures=lack_of_pictures,
            fields=[
                Picture(title=title, caption=field.caption, png=png)
                for field in fields
                for title, png in (("As scanned", field.plain), ("Cells", field.png))
            ],
            said=decision,
            decision=decision.rows() if decision else [],
            spread=spread,
            quality=quality_rows(result),
            provenance=provenance_rows(result),
            limits=limits(result),
        )
    )


def render_index(slides: Sequence[ExportSlide], *, name: str) -> str:
    """Return the index of a run, ordered by who needs a look first.

    Parameters
    ----------
    slides
        The slides, in the order of the table.
    name
        Name of the run.
    """
    groups, results = [], [slide.result for slide in slides]
    for rank, title in enumerate(_GROUPS):
        rows = [_index_row(slide) for slide in slides if attention_rank(slide.result) == rank]
        if rows:
            groups.append({"title": title, "rows": rows})
    tally = [(label, _count(results, score)) for label, score in _SCORES]
    tally.append(("Not scorable", sum(row.status == "not_scorable" for row in results)))
    tally.append(("Failed", sum(row.status == "failed" for row in results)))
    return (
        page_environment()
        .get_template("index.html.j2")
        .render(
            name=name,
            total=len(results),
            tally=tally,
            groups=groups,
            reviewed=any(slide.decision for slide in slides),
        )
    )


_SCORES: Final = (("IHC 0", "0"), ("IHC 1+", "1+"), ("IHC 2+", "2+"), ("IHC 3+", "3+"))


def _count(results: Sequence[SlideResult], score: str) -> int:
    return sum(result.ihc_score == score for result in results)


def _index_row(slide: ExportSlide) -> dict[str, Any]:
    result = slide.result
    facts = Facts(result=result)
    why = facts.clause or ", ".join(reason_words(code).title for code in result.reasons)
    return {
        "result": result,
        "said": slide.decision,
        "facts": facts,
        "link": quote(f"{result.slide_id}.html"),
        "colour": css(STATUS_COLOURS[result.status]),
        "why": why,
        "flags": ", ".join(flag_words(flag).title for flag in result.flags),
    }


def _pictures(slide: ExportSlide, job: ExportJob) -> tuple[list[Picture], str]:
    """Return the pictures of a slide; where there are none, why."""
    scene, reason = read_scene_or_reason(slide)
    if scene is not None:
        figures = zip(_PICTURES, (scene.heatmap(_ROOM), scene.overview(_ROOM)), strict=True)
        return [_drawn(title, words, made) for (_, title, words), made in figures if made], ""
    if job.names is not None:
        return [], reason
    # An older version of the program stored no more than the finished pictures.
    stored = [
        Picture(title=title, caption=caption, png=path.read_bytes())
        for name, title, caption in _PICTURES
        if (path := slide.folder / name).is_file()
    ]
    return stored, "" if stored else reason


def _drawn(title: str, caption: str, figure: Figure) -> Picture:
    stream = io.BytesIO()
    figure.image.save(stream, format="PNG", optimize=True)
    rows = list(figure.rows)
    if figure.notes:
        rows = [
            *((n, c, False) for n, c in zip(PATTERN_LABELS, PATTERN_COLOURS, strict=True)),
            *rows,
        ]
    return Picture(
        title=title,
        caption=" ".join((caption, *figure.notes)),
        png=stream.getvalue(),
        legend=tuple((label, css(rgb)) for label, rgb, _hatched in rows),
        narrow=figure.image.width <= 1.2 * figure.image.height,
    )


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
