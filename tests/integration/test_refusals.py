"""Synthetic slides that must not be scored, through the whole program with the bundled model."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathology.pipeline import score_slide
from pathology.synthesis import SLIDE_KINDS, SlideSpec, render_slide, write_slide

pytestmark = pytest.mark.slow

#: What each kind is refused for; fat may be too thin for tissue at all. A piece of 0.5 mm² of
#: muscle or stroma has so few nuclei that some false calls leave open whether there is tumour.
REASONS = {
    "muscle": {"no_tumour", "too_few_cells"},
    "stroma_only": {"no_tumour", "too_few_cells"},
    "fat": {"no_tumour", "no_tissue"},
    "lymph_node": {"no_tumour"},
    "blank": {"no_tissue"},
    "he": {"not_ihc"},
    "aec": {"not_ihc"},
    "unstained": {"not_ihc"},
    "fluorescence": {"not_ihc"},
    "out_of_focus": {"out_of_focus"},
}


def test_every_kind_has_its_reason() -> None:
    assert set(REASONS) == set(SLIDE_KINDS) - {"ihc"}


@pytest.mark.parametrize("kind", sorted(REASONS))
def test_each_kind_is_refused_for_its_own_reason(kind: str, tmp_path: Path) -> None:
    score = "2+" if kind in ("out_of_focus", "fluorescence") else "0"
    path = tmp_path / f"{kind}.tif"
    write_slide(render_slide(SlideSpec(kind=kind, score=score, piece_mm=0.8), 3), path)
    result = score_slide(path, out_dir=tmp_path)
    assert result.status == "not_scorable", result.ihc_score
    assert set(map(str, result.reasons)) <= REASONS[kind], result.deciding_clause
    assert result.ihc_score is None
    assert any(figure.isdigit() for figure in result.deciding_clause or "")
