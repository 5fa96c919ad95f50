"""The score of a slide as FHIR R4 resources: a bundle of a report and its observations.

The status is always ``preliminary``, with or without a reviewer's signature: the program makes no
final report, and results are for research.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Final

import orjson

from pathology import __version__
from pathology.cells.table import PATTERNS
from pathology.report.codes import ANSWERS, score_code
from pathology.report.facts import Facts
from pathology.report.job import ExportJob, ExportSlide
from pathology.report.palette import PATTERN_LABELS
from pathology.report.words import (
    RESEARCH_USE_ONLY,
    RESEARCH_USE_ONLY_LONG,
    flag_words,
    reason_words,
)
from pathology.runs.outputs import OutputFolder
from pathology.runs.result import SlideResult

__all__ = ["export_fhir", "make_bundle"]

_LOINC: Final = "http://loinc.org"
_UCUM: Final = "http://unitsofmeasure.org"
_TERMS: Final = "http://terminology.hl7.org/CodeSystem"
#: Codes that no public system has; explained in docs/exports.md.
_OWN: Final = "urn:her2-ihc:codes"
_NAMES: Final = "urn:her2-ihc:names"
_STATUS: Final = "preliminary"
_TAGS: Final = {
    "security": [
        {"system": f"{_TERMS}/v3-ActReason", "code": "HRESCH", "display": "healthcare research"}
    ]
}


def export_fhir(job: ExportJob, folder: OutputFolder) -> list[Path]:
    """Write ``<slide_id>.fhir.json`` for every slide.

    Parameters
    ----------
    job
        The slides.
    folder
        Where to write.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    SlideError
        If a file cannot be written.
    """
    form = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return job.write_each(
        folder, ".fhir.json", lambda slide: orjson.dumps(make_bundle(slide, job), option=form)
    )


def make_bundle(slide: ExportSlide, job: ExportJob) -> dict[str, Any]:
    """Return the resources of a slide as a FHIR R4 bundle.

    Parameters
    ----------
    slide
        The slide.
    job
        The run.
    """
    result = slide.result
    subject = result.case_id or result.slide_id
    urls = {
        kind: f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{_NAMES}:{kind}:{name}')}"
        for kind, name in (
            ("Patient", subject),
            ("Device", __version__),
            ("Specimen", result.slide_id),
            ("score", result.slide_id),
            ("reviewer", result.slide_id),
            ("DiagnosticReport", result.slide_id),
        )
    }
    resources = {
        "Patient": _patient(subject),
        "Device": _device(result),
        "Specimen": _specimen(result, urls),
        "score": _score(result, urls, job),
    }
    reviewed = _reviewer(slide, urls)
    if reviewed is not None:
        resources["reviewer"] = reviewed
    resources["DiagnosticReport"] = _report(slide, urls, job, reviewed=reviewed is not None)
    return {
        "resourceType": "Bundle",
        "meta": _TAGS,
        "type": "collection",
        **_moment("timestamp", job),
        "entry": [
            {"fullUrl": urls[name], "resource": resource} for name, resource in resources.items()
        ],
    }


def _moment(name: str, job: ExportJob) -> dict[str, str]:
    return {} if job.made_at is None else {name: job.made_at}


def _own(code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": _OWN, "code": code, "display": display}], "text": display}


def _test(result: SlideResult) -> dict[str, Any]:
    code, name = score_code(result)
    return {"coding": [{"system": _LOINC, "code": code, "display": name}], "text": "HER2 by IHC"}


def _answer(score: str | None) -> dict[str, Any]:
    code, name = ANSWERS[score]
    return {"coding": [{"system": _LOINC, "code": code, "display": name}], "text": name}


def _patient(subject: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "meta": _TAGS,
        "identifier": [{"system": f"{_NAMES}:case", "value": subject}],
    }


def _device(result: SlideResult) -> dict[str, Any]:
    versions = [("program", __version__), ("model", result.model)]
    versions += [("model sha256", result.model_sha256), ("configuration", result.config_hash)]
    return {
        "resourceType": "Device",
        "manufacturer": "her2-ihc",
        "deviceName": [{"name": "her2-ihc", "type": "model-name"}],
        "version": [{"type": {"text": name}, "value": value} for name, value in versions if value],
        "note": [{"text": RESEARCH_USE_ONLY_LONG}],
    }


def _specimen(result: SlideResult, urls: dict[str, str]) -> dict[str, Any]:
    names = [{"system": f"{_NAMES}:slide", "value": result.slide_id}]
    if result.block_id:
        names.append({"system": f"{_NAMES}:block", "value": result.block_id})
    specimen: dict[str, Any] = {
        "resourceType": "Specimen",
        "identifier": names,
        "subject": {"reference": urls["Patient"]},
    }
    if result.specimen_type:
        specimen["type"] = {"text": result.specimen_type}
    return specimen


def _observation(result: SlideResult, urls: dict[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "meta": _TAGS,
        "status": _STATUS,
        "category": [
            {"coding": [{"system": f"{_TERMS}/observation-category", "code": "laboratory"}]}
        ],
        "code": _test(result),
        "subject": {"reference": urls["Patient"]},
        "specimen": {"reference": urls["Specimen"]},
    }


def _score(result: SlideResult, urls: dict[str, str], job: ExportJob) -> dict[str, Any]:
    made = _observation(result, urls) | _moment("effectiveDateTime", job)
    made["device"] = {"reference": urls["Device"]}
    made["method"] = {"text": "Digital image analysis of membrane staining, cell by cell"}
    if result.status == "failed":
        made["dataAbsentReason"] = {
            "coding": [{"system": f"{_TERMS}/data-absent-reason", "code": "error"}]
        }
    else:
        made["valueCodeableConcept"] = _answer(result.ihc_score)
    if result.her2_tier is not None:
        made["interpretation"] = [_own(result.her2_tier, Facts(result=result).tier)]
    notes = [
        f"{reason_words(code).title}: {reason_words(code).sentence}" for code in result.reasons
    ]
    notes += [flag_words(flag).sentence for flag in result.flags]
    made["note"] = [{"text": text} for text in (RESEARCH_USE_ONLY, *notes)]
    components = _components(result)
    if components:
        made["component"] = components
    return made


def _components(result: SlideResult) -> list[dict[str, Any]]:
    facts = Facts(result=result)
    cells = f"{{{facts.unit}s}}"
    found = []
    if result.n_tumour_cells is not None:
        name = _own("n_tumour_cells", f"Number of {facts.counted}")
        found.append({"code": name, "valueQuantity": _quantity(result.n_tumour_cells, cells)})
    for row in facts.patterns:
        name = _own(f"pct_{PATTERNS[row.code]}", PATTERN_LABELS[row.code])
        found.append({"code": name, "valueQuantity": _quantity(row.pct, "%")})
    if result.deciding_lo is not None and result.deciding_hi is not None:
        interval = {
            "low": _quantity(result.deciding_lo, "%"),
            "high": _quantity(result.deciding_hi, "%"),
        }
        name = _own("deciding_interval", "Interval of the deciding percentage")
        found.append({"code": name, "valueRange": interval})
    pairs = (
        ("deciding_pct", "Deciding percentage", result.deciding_pct, "%"),
        ("distance_to_cutoff_pp", "Distance to the cut-off", result.distance_to_cutoff_pp, "%"),
        ("nearest_score_pp", "Distance to the nearest other score", result.nearest_score_pp, "%"),
        ("h_score", "H-score", result.h_score, "1"),
        ("mean_membrane_od", "Mean membrane OD", result.mean_membrane_od, "{od}"),
    )
    found += [
        {"code": _own(code, words), "valueQuantity": _quantity(value, unit)}
        for code, words, value, unit in pairs
        if value is not None
    ]
    return found


def _quantity(value: float, unit: str) -> dict[str, Any]:
    shown = value if isinstance(value, int) else round(value, 6)
    return {"value": shown, "unit": unit.strip("{}"), "system": _UCUM, "code": unit}


def _reviewer(slide: ExportSlide, urls: dict[str, str]) -> dict[str, Any] | None:
    decision = slide.decision
    if decision is None:
        return None
    made = _observation(slide.result, urls)
    made["method"] = {"text": "Read by a pathologist"}
    made["performer"] = [{"display": decision.reviewer}]
    if "T" in decision.at:
        made["effectiveDateTime"] = decision.at
    if decision.ihc_score is None and not decision.not_scorable:
        made["dataAbsentReason"] = {
            "coding": [{"system": f"{_TERMS}/data-absent-reason", "code": "not-performed"}]
        }
    else:
        made["valueCodeableConcept"] = _answer(decision.ihc_score)
    if decision.her2_tier is not None:
        made["interpretation"] = [_own(decision.her2_tier, decision.tier)]
    pairs = (
        ("review_state", "State of the review", "valueString", decision.state),
        ("reviewer_agrees", "Agrees with the program", "valueBoolean", decision.agrees),
        ("reviewer_reason", "Reason", "valueString", decision.reason),
        ("run_ihc_score", "Program's score in the run's own regions", "valueString",
         decision.run_score),
    )  # fmt: skip
    made["component"] = [
        {"code": _own(code, words), kind: value}
        for code, words, kind, value in pairs
        if value != ""
    ]
    lines = [f"{name}: {value}" for name, value in decision.rows()]
    made["note"] = [{"text": "; ".join(lines)}]
    made["derivedFrom"] = [{"reference": urls["score"]}]
    return made


def _report(
    slide: ExportSlide, urls: dict[str, str], job: ExportJob, *, reviewed: bool
) -> dict[str, Any]:
    result = slide.result
    facts = Facts(result=result)
    why = facts.clause or "; ".join(reason_words(code).title for code in result.reasons)
    state = (
        f"{slide.decision.headline}."
        if slide.decision is not None
        else "Not reviewed by a pathologist."
    )
    results = [{"reference": urls["score"]}]
    if reviewed:
        results.append({"reference": urls["reviewer"]})
    return {
        "resourceType": "DiagnosticReport",
        "meta": _TAGS,
        "identifier": [{"system": f"{_NAMES}:slide", "value": result.slide_id}],
        "status": _STATUS,
        "category": [
            {"coding": [{"system": f"{_TERMS}/v2-0074", "code": "PAT", "display": "Pathology"}]}
        ],
        "code": _test(result),
        "subject": {"reference": urls["Patient"]},
        **_moment("effectiveDateTime", job),
        **_moment("issued", job),
        "specimen": [{"reference": urls["Specimen"]}],
        "result": results,
        "conclusion": f"Program: {facts.headline}. {why}. {state} {RESEARCH_USE_ONLY_LONG}",
    }
