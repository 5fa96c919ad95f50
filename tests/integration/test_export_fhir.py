"""FHIR resources against the models of fhir.resources (R4B), and against the result."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from pathology.report import Decision, ExportOptions, export
from pathology.report.job import gather_job
from pathology.runs.outputs import WRITTEN

sys.path.insert(0, str(Path(__file__).parent))

from exporting import FAILED, FINISHED, REFUSED, SCORED, write_run

SIGNED = Decision(
    reviewer="A. Reader", state="signed", agrees=False, ihc_score="3+",
    reason="tumour missed", at="2026-01-06T10:00:00+00:00",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fhir") / "run"
    write_run(root)
    return root


def bundles(run: Path, out: Path, **choices: Any) -> dict[str, dict[str, Any]]:
    found = export(run, ["fhir"], out, options=ExportOptions(**choices))["fhir"]
    assert set(out.iterdir()) == {*found, out / WRITTEN}
    return {path.name.split(".")[0]: json.loads(path.read_text()) for path in found}


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [entry["resource"] for entry in bundle["entry"]]
    return [resource for resource in found if resource["resourceType"] == kind]


@pytest.mark.parametrize("decisions", [{}, {SCORED: SIGNED}])
def test_bundles_are_valid_and_hold_together(
    run: Path, tmp_path: Path, decisions: dict[str, Decision]
) -> None:
    found = bundles(run, tmp_path, names=True, decisions=decisions)
    assert set(found) == {SCORED, REFUSED, FAILED}
    for bundle in found.values():
        Bundle.model_validate(bundle)
        urls = {entry["fullUrl"] for entry in bundle["entry"]}
        assert len(urls) == len(bundle["entry"])
        text = json.dumps(bundle)
        references = [part.split('"')[0] for part in text.split('"reference": "')[1:]]
        assert set(references) <= urls
        statuses = [e["resource"].get("status") for e in bundle["entry"]]
        assert "final" not in statuses
        assert "preliminary" in statuses
        assert text.count("Research use only") >= 2


def test_a_broken_bundle_is_not_valid(run: Path, tmp_path: Path) -> None:
    bundle = bundles(run, tmp_path)
    one = next(iter(bundle.values()))
    one["entry"][3]["resource"]["status"] = None
    with pytest.raises(ValueError, match="status"):
        Bundle.model_validate(one)


def test_the_observation_says_what_the_result_says(run: Path, tmp_path: Path) -> None:
    bundle = bundles(run, tmp_path, names=True)[SCORED]
    result = gather_job(run).slides[0].result
    (score,) = resources(bundle, "Observation")
    assert score["code"]["coding"][0]["code"] == "85319-2"
    assert score["valueCodeableConcept"]["coding"][0]["code"] == "LA11842-4"
    assert score["effectiveDateTime"] == FINISHED
    parts = {part["code"]["coding"][0]["code"]: part for part in score["component"]}
    assert parts["n_tumour_cells"]["valueQuantity"]["value"] == result.n_tumour_cells
    quantity = parts["pct_complete_weak_moderate"]["valueQuantity"]
    assert quantity["value"] == pytest.approx(result.pct_complete_weak_moderate)
    assert (quantity["system"], quantity["code"]) == ("http://unitsofmeasure.org", "%")
    interval = parts["deciding_interval"]["valueRange"]
    assert (interval["low"]["value"], interval["high"]["value"]) == (18.0, 24.0)
    (device,) = resources(bundle, "Device")
    assert {"type": {"text": "model"}, "value": "her2-cells/0.2.2"} in device["version"]
    (report,) = resources(bundle, "DiagnosticReport")
    assert "Not reviewed by a pathologist" in report["conclusion"]


def test_no_score_is_never_a_low_one(run: Path, tmp_path: Path) -> None:
    found = bundles(run, tmp_path, names=True)
    (refused,) = resources(found[REFUSED], "Observation")
    assert refused["valueCodeableConcept"]["coding"][0]["code"] == "LA11884-6"
    (failed,) = resources(found[FAILED], "Observation")
    assert "valueCodeableConcept" not in failed
    assert failed["dataAbsentReason"]["coding"][0]["code"] == "error"


def test_a_signed_decision_stands_beside_the_score_and_stays_preliminary(
    run: Path, tmp_path: Path
) -> None:
    bundle = bundles(run, tmp_path, names=True, decisions={SCORED: SIGNED})[SCORED]
    score, reviewed = resources(bundle, "Observation")
    assert score["valueCodeableConcept"]["text"] == "2+"
    assert reviewed["valueCodeableConcept"]["text"] == "3+"
    assert reviewed["status"] == "preliminary"
    assert "tumour missed" in reviewed["note"][0]["text"]


def component(resource: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for part in resource["component"]:
        (value,) = (part[key] for key in part if key.startswith("value"))
        found[part["code"]["coding"][0]["code"]] = value
    return found


@pytest.mark.parametrize("state", ["open", "signed", "superseded"])
def test_the_state_of_a_review_can_be_read_by_a_program(
    run: Path, tmp_path: Path, state: Any
) -> None:
    decision = replace(SIGNED, state=state, her2_tier="her2_positive", run_score="0")
    bundle = bundles(run, tmp_path, names=True, decisions={SCORED: decision})[SCORED]
    Bundle.model_validate(bundle)
    _, reviewed = resources(bundle, "Observation")
    said = component(reviewed)
    assert (said["review_state"], said["reviewer_agrees"]) == (state, False)
    assert (said["reviewer_reason"], said["run_ihc_score"]) == ("tumour missed", "0")
    assert reviewed["interpretation"][0]["coding"][0]["code"] == "her2_positive"
    assert {r["status"] for r in (reviewed, *resources(bundle, "DiagnosticReport"))} == {
        "preliminary"
    }
    conclusion = resources(bundle, "DiagnosticReport")[0]["conclusion"]
    assert decision.headline in conclusion
    assert ("Not signed any more" in conclusion) == (state == "superseded")


def test_signed_as_not_scorable_is_indeterminate(run: Path, tmp_path: Path) -> None:
    decision = replace(SIGNED, ihc_score=None, not_scorable=True)
    bundle = bundles(run, tmp_path, names=True, decisions={SCORED: decision})[SCORED]
    _, reviewed = resources(bundle, "Observation")
    assert reviewed["valueCodeableConcept"]["text"] == "Indeterminate"
    silent = replace(SIGNED, ihc_score=None)
    bundle = bundles(run, tmp_path, names=True, decisions={SCORED: silent})[SCORED]
    _, reviewed = resources(bundle, "Observation")
    assert "valueCodeableConcept" not in reviewed


def test_other_tissue_has_another_code(tmp_path: Path) -> None:
    write_run(tmp_path / "run", guideline="gastric-inclusive", her2_tier="her2_equivocal")
    bundle = bundles(tmp_path / "run", tmp_path / "out", names=True)[SCORED]
    assert resources(bundle, "Observation")[0]["code"]["coding"][0]["code"] == "18474-7"


def test_pseudonymised_bundles_name_nobody(run: Path, tmp_path: Path) -> None:
    first = bundles(run, tmp_path / "1")
    assert first == bundles(run, tmp_path / "2")
    for name, bundle in first.items():
        text = name + json.dumps(bundle)
        for secret in ("Smith", "gone", "blank", "calc"):
            assert secret not in text
