"""Take the names out of the inputs of a run, before anything of it is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pathology.batch.inputs import Inputs
from pathology.config import Config
from pathology.errors import OutputError, UsageError
from pathology.pipeline import SlideRequest
from pathology.runs import (
    HiddenNames,
    Pseudonyms,
    is_pseudonymised,
    path_text,
    pseudonyms_file,
    words_of,
)
from pathology.runs.layout import PREVIOUS, RUN

__all__ = ["HiddenInputs", "hide_inputs"]


@dataclass(frozen=True, kw_only=True)
class HiddenInputs:
    """Hold the inputs of a pseudonymised run.

    Parameters
    ----------
    inputs
        With pseudonyms in place of names, in the order of these; without notes, which name files.
    names
        The list of pseudonyms.
    file
        Where the list lies.
    hidden
        The names of all slides, for the log.
    """

    inputs: Inputs
    names: Pseudonyms
    file: Path
    hidden: HiddenNames

    def save(self) -> None:
        """Write the list, before the first result: no pseudonym without its meaning."""
        self.names.save(self.file.parent, self.file)


def hide_inputs(inputs: Inputs, out: Path, config: Config, *, file: Path | None) -> HiddenInputs:
    """Give the slides of a run pseudonyms.

    Parameters
    ----------
    inputs
        As collected.
    out
        The run folder; need not exist.
    config
        Of the run. The site that its calibration names is part of the configuration, and is kept
        where a slide is of it, so that the calibration can be checked.
    file
        The list of pseudonyms; None takes ``<out>.pseudonyms.json``, beside the folder.

    Returns
    -------
    HiddenInputs
        Slides, cases, blocks, sites and stain runs have pseudonyms.

    Raises
    ------
    UsageError
        If the list would lie in the run folder, is damaged or lost, the run there has names, or
        two names would share a pseudonym.
    """
    place = pseudonyms_file(out, file)
    _refuse_unfit(out, place)
    names = Pseudonyms.begin(place)
    site = "" if config.calibration is None else config.calibration.site or ""
    pairs = zip(inputs.ids, inputs.requests, strict=True)
    made = [_hide(slide_id, request, names, out, site) for slide_id, request in pairs]
    requests = sorted(made, key=lambda request: request.name)
    hidden = [request.hidden for request in requests if request.hidden is not None]
    words = frozenset().union(*(item.words for item in hidden))
    words |= words_of(*(entry.path for entry in inputs.skipped))
    return HiddenInputs(
        inputs=replace(inputs, requests=tuple(requests), notes=()),
        names=names,
        file=place,
        hidden=HiddenNames(words=words, pairs=_folder_pairs(out)),
    )


def _refuse_unfit(out: Path, place: Path) -> None:
    """Refuse, before a list is made, a folder that holds names, or whose own list is lost."""
    named = [run for run in (out, *sorted(out.glob(f"{PREVIOUS}/*"))) if _has_names(run)]
    if named:
        # Also with --force, which would keep that run in previous/.
        raise OutputError(
            f"{named[0]}: holds a run with the names of files as they are",
            fix="Name another folder, or leave out --pseudonymise.",
        )
    if (out / RUN).exists() and not place.exists():
        raise OutputError(
            f"{place}: is missing, and the run in {out} has its names from a list of pseudonyms",
            fix="Restore the list, or name it with --pseudonyms FILE.",
        )


def _has_names(run: Path) -> bool:
    return (run / RUN).is_file() and not is_pseudonymised(run)


def _hide(
    slide_id: str, request: SlideRequest, names: Pseudonyms, out: Path, site: str
) -> SlideRequest:
    slide = names.name("slide", slide_id)
    names.place(slide, path_text(request.path.absolute()))
    case = names.name("case", request.case_id) if request.case_id else ""
    block = names.block(request.case_id or None, request.block_id) if request.block_id else ""
    run = names.name("run", request.stain_run) if request.stain_run else ""
    kept = request.site in ("", site)
    files = (request.path, *request.companions, *filter(None, (request.regions,)))
    texts = (request.name, slide_id, request.case_id, request.block_id, request.stain_run)
    pairs = [
        *((form, slide) for form in (*_forms(request.path), request.name, slide_id)),
        (request.case_id, case),
        *((form, "the region file") for form in _forms(request.regions)),
        *((form, "a file of the slide") for file in request.companions for form in _forms(file)),
        *_folder_pairs(out),
    ]
    return replace(
        request,
        display_path=slide,
        key=slide,
        case_id=case,
        block_id=block,
        stain_run=run,
        site=request.site if kept else names.name("site", request.site),
        hidden=HiddenNames(
            slide=slide,
            pairs=tuple((path_text(name), made) for name, made in pairs if name),
            words=words_of(*files, *texts, out, "" if kept else request.site),
        ),
    )


def _forms(path: Path | None) -> tuple[str, ...]:
    """Return how messages name a file."""
    return () if path is None else (str(path), str(path.absolute()), path.name)


def _folder_pairs(out: Path) -> tuple[tuple[str, str], ...]:
    forms = {str(out.absolute()), str(out.resolve())}
    return tuple((path_text(form), "DIR") for form in sorted(forms))


def refuse_list_without_hiding(file: Path | None) -> None:
    """Refuse a list of pseudonyms for a run that would not use it."""
    if file is not None:
        raise UsageError("--pseudonyms is for --pseudonymise", fix="Give both, or neither.")
