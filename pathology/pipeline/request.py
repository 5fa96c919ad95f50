"""What is asked of one slide, and how far it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pathology.errors import ReasonCode, SlideError
from pathology.geometry import Spacing
from pathology.provenance import SlideIdentity, file_identity, sha256_file
from pathology.runs import HiddenNames
from pathology.timing import SlideTiming
from pathology.wsi.slide import MppSource

__all__ = ["STATED_FIELDS", "Progress", "SlideRequest", "slide_identity"]

#: What a manifest says of a slide beside its role; carried into every result of the slide.
STATED_FIELDS = (
    "case_id",
    "block_id",
    "specimen_type",
    "site",
    "assay",
    "stain_run",
    "expected_score",
    "index_block",
)


@dataclass(frozen=True, kw_only=True)
class SlideRequest:
    """Ask for one slide to be scored, with what is known about it beside its pixels.

    Parameters
    ----------
    path
        The slide file.
    display_path
        The path as results name it (as given, or relative to the folder that was searched).
    mpp
        Pixel size in µm/px that replaces the header's; None takes the header's.
    mpp_source
        Where ``mpp`` came from, if given.
    regions
        GeoJSON file with annotated regions, or None.
    case_id, block_id, specimen_type, site, assay, stain_run, expected_score
        As in the manifest; empty where unknown.
    role
        ``test`` or ``control``: a control slide is measured, and flagged ``control_slide``.
    index_block
        Whether the slide's block was declared the one that decides its case.
    companions
        Other files of the same slide, such as the rest of a DICOM series; a change of one of them
        is a change of the slide.
    key
        What the slide's id is made from, so that it does not depend on how a folder was typed;
        empty takes the path.
    hidden
        The names of the slide that nothing written may hold, in a pseudonymised run; the other
        fields then hold pseudonyms, but for ``path``, ``regions`` and ``companions``.

    Examples
    --------
    >>> SlideRequest(path=Path("a.svs")).name
    'a.svs'
    """

    path: Path
    display_path: str = ""
    mpp: float | Spacing | None = None
    mpp_source: MppSource = "argument"
    regions: Path | None = None
    case_id: str = ""
    block_id: str = ""
    specimen_type: str = ""
    site: str = ""
    assay: str = ""
    stain_run: str = ""
    role: Literal["test", "control"] = "test"
    expected_score: str = ""
    index_block: bool = False
    companions: tuple[Path, ...] = ()
    key: str = ""
    hidden: HiddenNames | None = None

    @property
    def name(self) -> str:
        """The path for people: ``display_path``, or the path itself."""
        return self.display_path or str(self.path)

    @property
    def stated(self) -> dict[str, Any]:
        """What was stated of the slide, as its result holds it; None where nothing was."""
        return {name: getattr(self, name) or None for name in STATED_FIELDS} | {"role": self.role}


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Report how far a slide is.

    Parameters
    ----------
    stage
        What is being done: ``open``, ``tissue``, ``read``, ``score``, ``report``; ``done`` at the
        end, whatever became of the slide.
    done_mm2, total_mm2
        Tissue read so far and in all, in mm²; both 0 before the tissue is known.
    timing
        Where the slide's time went; only with ``done``.
    """

    stage: Literal["open", "tissue", "read", "score", "report", "done"]
    done_mm2: float = 0.0
    total_mm2: float = 0.0
    timing: SlideTiming | None = None


def slide_identity(request: SlideRequest) -> SlideIdentity:
    """Take the identity of a slide and of what else its result depends on, without opening it.

    Parameters
    ----------
    request
        The slide, its pixel size, metadata and region file.

    Returns
    -------
    SlideIdentity
        Without ``quickhash``.

    Raises
    ------
    SlideError
        If the slide or its region file is missing or cannot be read.
    """
    spacing = request.mpp
    inputs: dict[str, object] = {
        "mpp": [spacing.x, spacing.y] if isinstance(spacing, Spacing) else spacing,
        "mpp_source": request.mpp_source if spacing is not None else "header",
        "regions": _regions_hash(request.regions),
        "name": request.name,
    }
    for field in ("case_id", "block_id", "specimen_type", "site", "assay", "stain_run"):
        inputs[field] = getattr(request, field)
    inputs |= {"role": request.role, "expected_score": request.expected_score}
    if request.index_block:  # slides read before there was such a column stay done
        inputs["index_block"] = True
    text = json.dumps(inputs, sort_keys=True)
    # A name that is not UTF-8 reaches Python with surrogates; they hash as what they stand for.
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return file_identity(request.path, companions=request.companions, inputs_sha256=digest)


def _regions_hash(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return sha256_file(path)
    except OSError as error:
        raise SlideError(
            f"{path}: the region file cannot be read ({error.strerror})",
            reason=ReasonCode.INVALID_REGIONS,
            fix="Check the path in the manifest, or leave the column empty.",
        ) from error
