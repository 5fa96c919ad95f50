from __future__ import annotations

import pytest

from pathology.scoring import guideline_names, load_guideline, names_clone, provenance_flags


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("4B5", True),
        ("VENTANA anti-HER-2/neu (4B5) Rabbit Monoclonal", True),
        ("pathway_4b5_ultra", True),
        ("PATHWAY anti-HER-2/neu", False),  # the maker's name is not the clone's
        ("HercepTest", False),
        ("SP3", False),
        ("4B5 or SP3", False),
        ("non-4B5", False),
        ("not 4B5", False),
        ("14B5", False),
        ("4B52", False),
        ("unknown", False),
        ("", False),
        (None, False),
    ],
)
def test_the_clone_of_an_assay(text, named) -> None:
    assert names_clone(text, "4B5") is named


@pytest.mark.parametrize("score", ["0", "1+"])
@pytest.mark.parametrize("assay", [None, "", "CB11", "unknown"])
def test_low_scores_by_another_clone_are_flagged(score, assay) -> None:
    breast = load_guideline("asco-cap-breast-2018")
    assert provenance_flags(breast, ihc_score=score, assay=assay) == {"assay_not_4B5"}
    assert provenance_flags(breast, ihc_score=score, assay="4B5") == set()


@pytest.mark.parametrize("score", ["2+", "3+", None])
def test_the_other_scores_of_the_breast_guideline_are_not(score) -> None:
    breast = load_guideline("asco-cap-breast-2018")
    assert provenance_flags(breast, ihc_score=score, assay=None) == set()


def test_the_trial_read_one_clone_only() -> None:
    trial = load_guideline("db04-approx")
    for score in ("0", "1+", "2+", "3+"):
        assert "assay_not_4B5" in provenance_flags(trial, ihc_score=score, assay="SP3")
        assert "assay_not_4B5" not in provenance_flags(trial, ihc_score=score, assay="4B5")


@pytest.mark.parametrize("name", guideline_names())
def test_what_was_not_verified_is_said_of_every_result(name) -> None:
    guideline = load_guideline(name)
    for score in ("0", "3+", None):
        flags = provenance_flags(guideline, ihc_score=score, assay="4B5")
        assert ("guideline_unverified" in flags) is not guideline.verified
    assert guideline.label.endswith("(not verified)") is not guideline.verified
