"""The score of a slide as a DICOM structured report (TID 1500, Comprehensive 3D SR)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SubjectContext,
    SubjectContextSpecimen,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes

from pathology import __version__
from pathology.cells.table import PATTERNS
from pathology.report.decision import Decision
from pathology.report.dicom import (
    MANUFACTURER,
    OD_UNIT,
    SCORE_ANSWERS,
    derive_uid,
    file_of,
    finish,
    one_line,
    pattern_code,
    person_name,
    private_code,
    score_name,
    source_image,
    when,
)
from pathology.report.facts import Facts
from pathology.report.job import ExportJob, ExportSlide
from pathology.report.palette import TIER_LABELS
from pathology.report.words import flag_words, reason_words
from pathology.runs.outputs import OutputFolder
from pathology.runs.result import SlideResult
from pathology.runs.row import Her2Tier

__all__ = ["export_dicom_sr", "make_report"]

_NO_UNIT: Final = codes.UCUM.NoUnits
_MM2: Final = CodedConcept("mm2", "UCUM", "square millimeter")
_YES: Final = private_code("PRESENT", "Present")
_STATES: Final = {
    "open": private_code("OPEN", "Looked at, not signed"),
    "signed": private_code("SIGNED", "Signed"),
    "superseded": private_code("SUPERSEDED", "Scored again after the signature"),
}


def export_dicom_sr(job: ExportJob, folder: OutputFolder) -> list[Path]:
    """Write ``<slide_id>.sr.dcm`` for every slide that was read; failed slides have none.

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

    def make(slide: ExportSlide) -> bytes | None:
        return None if slide.result.status == "failed" else file_of(make_report(slide, job))

    return job.write_each(folder, ".sr.dcm", make)


def make_report(slide: ExportSlide, job: ExportJob) -> Any:
    """Return the structured report of a slide.

    Parameters
    ----------
    slide
        The slide. Its report is ``UNVERIFIED`` unless a reviewer has signed for an organization,
        and always ``PRELIMINARY``.
    job
        The run.

    Returns
    -------
    highdicom.sr.Comprehensive3DSR
        The object, not written yet.
    """
    result, decision = slide.result, slide.decision
    image = source_image(slide, job)
    groups = [_program_group(slide, image)]
    if decision is not None:
        groups.append(_reviewer_group(slide, decision, image))
    report = MeasurementReport(
        observation_context=_context(slide, image),
        procedure_reported=codes.SCT.ImmunohistochemistryProcedure,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    verified = decision is not None and decision.signed and bool(decision.organization)
    made = Comprehensive3DSR(
        evidence=[image],
        content=report,
        series_instance_uid=derive_uid("sr series", result.slide_id),
        series_number=100,
        sop_instance_uid=derive_uid("sr", result.slide_id, result.config_hash or "", _state(slide)),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=verified,
        verifying_observer_name=person_name(decision.reviewer) if decision and verified else None,
        verifying_organization=one_line(decision.organization) if decision and verified else None,
        specific_character_set="ISO_IR 192",
    )
    finish(made, job, image)
    if decision is not None and verified:
        signed_at = "".join(when(decision.at))
        made.VerifyingObserverSequence[0].VerificationDateTime = f"{signed_at}+0000"
    return made


def _state(slide: ExportSlide) -> str:
    """Return what distinguishes a report from an older one of the same slide."""
    return "" if slide.decision is None else repr(slide.decision)


def _context(slide: ExportSlide, image: Any) -> ObservationContext:
    """Say who looked, and at which slide: the identifiers of the image may be derived ones."""
    name = slide.result.slide_id
    specimens = image.get("SpecimenDescriptionSequence")
    subject = SubjectContext(
        subject_class=codes.DCM.Specimen,
        subject_class_specific_context=SubjectContextSpecimen(
            uid=specimens[0].SpecimenUID if specimens else derive_uid("specimen", name),
            identifier=slide.result.block_id or name,
            container_identifier=name,
        ),
    )
    device = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=derive_uid("device", __version__),
            name=f"her2-ihc {__version__}",
            manufacturer_name=MANUFACTURER,
            model_name=slide.result.model or "none",
        ),
    )
    decision = slide.decision
    if decision is None:
        return ObservationContext(observer_device_context=device, subject_context=subject)
    person = ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=PersonObserverIdentifyingAttributes(
            name=person_name(decision.reviewer),
            organization_name=decision.organization or None,
        ),
    )
    return ObservationContext(
        observer_device_context=device, observer_person_context=person, subject_context=subject
    )


def _program_group(slide: ExportSlide, image: Any) -> MeasurementsAndQualitativeEvaluations:
    result = slide.result
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derive_uid("tracking", result.slide_id), identifier="HER2 IHC by the program"
        ),
        finding_type=codes.SCT.Neoplasm,
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        algorithm_id=AlgorithmIdentification(
            name=result.model or "her2-ihc",
            version=__version__,
            parameters=_parameters(result),
        ),
        measurements=_measurements(result),
        qualitative_evaluations=_evaluations(result),
        source_images=[SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
    )


def _reviewer_group(
    slide: ExportSlide, decision: Decision, image: Any
) -> MeasurementsAndQualitativeEvaluations:
    """Return the reviewer's reading; its state says whether it is signed and still holds."""
    score, state = score_name(slide.result), _STATES[decision.state]
    found = [QualitativeEvaluation(private_code("REVIEW_STATE", "State of the review"), state)]
    if decision.ihc_score is not None or decision.not_scorable:
        found.append(QualitativeEvaluation(score, SCORE_ANSWERS[decision.ihc_score]))
    if decision.her2_tier is not None:
        found.append(_tier(decision.her2_tier))
    if not decision.agrees:
        found.append(QualitativeEvaluation(private_code("OVERRIDDEN", "Score overridden"), _YES))
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derive_uid("tracking reviewer", slide.result.slide_id),
            identifier="HER2 IHC by the reviewer",
        ),
        finding_type=codes.SCT.Neoplasm,
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        qualitative_evaluations=found,
        source_images=[SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
    )
    # TID 1501 may be extended: what has no code stands in words.
    group[0].ContentSequence.append(
        TextContentItem(
            name=codes.DCM.Comment,
            value="; ".join(f"{name}: {value}" for name, value in decision.rows()),
            relationship_type=RelationshipTypeValues.CONTAINS,
        )
    )
    return group


def _tier(tier: Her2Tier) -> QualitativeEvaluation:
    value = private_code(f"TIER{sorted(TIER_LABELS).index(tier)}", TIER_LABELS[tier])
    return QualitativeEvaluation(private_code("HER2_TIER", "HER2 tier"), value)


def _parameters(result: SlideResult) -> list[str]:
    pairs = (
        ("guideline", result.guideline),
        ("rule", result.deciding_rule),
        ("calibration", result.calibration or "reference"),
        ("model sha256", result.model_sha256),
        ("configuration", result.config_hash),
        ("clause", Facts(result=result).clause),
    )
    return [f"{name}: {value}" for name, value in pairs if value]


def _measurements(result: SlideResult) -> list[Measurement]:
    found = []
    if result.n_tumour_cells is not None:
        facts = Facts(result=result)
        unit = CodedConcept(f"{{{facts.unit}s}}", "UCUM", f"{facts.unit}s")
        name = private_code("TUMOUR_CELLS", f"Number of {facts.counted}")
        found.append(Measurement(name, result.n_tumour_cells, unit))
        for code in range(len(PATTERNS) - 1, -1, -1):
            count = getattr(result, f"n_{PATTERNS[code]}")
            share = getattr(result, f"pct_{PATTERNS[code]}")
            if count is not None and share is not None:
                found.append(Measurement(pattern_code(code), share, codes.UCUM.Percent))
                label = f"Number with {pattern_code(code).meaning.lower()}"
                found.append(Measurement(private_code(f"N_PATTERN{code}", label), count, unit))
    percent = codes.UCUM.Percent
    pairs = (
        ("DECIDING_PCT", "Deciding percentage", result.deciding_pct, percent),
        ("DECIDING_LO", "Deciding percentage, lower end", result.deciding_lo, percent),
        ("DECIDING_HI", "Deciding percentage, upper end", result.deciding_hi, percent),
        (
            "CUTOFF_PP",
            "Distance to cut-off in percentage points",
            result.distance_to_cutoff_pp,
            percent,
        ),
        (
            "NEAREST_PP",
            "Distance to nearest other score in percentage points",
            result.nearest_score_pp,
            percent,
        ),
        ("H_SCORE", "H-score", result.h_score, _NO_UNIT),
        ("MEMBRANE_OD", "Mean membrane optical density", result.mean_membrane_od, OD_UNIT),
        ("TUMOUR_AREA", "Area of tumour that was read", result.tumour_mm2, _MM2),
    )
    found += [
        Measurement(private_code(code, meaning), round(value, 6), unit)
        for code, meaning, value, unit in pairs
        if value is not None
    ]
    return found


def _evaluations(result: SlideResult) -> list[QualitativeEvaluation]:
    found = [QualitativeEvaluation(score_name(result), SCORE_ANSWERS[result.ihc_score])]
    if result.her2_tier is not None:
        found.append(_tier(result.her2_tier))
    for code in result.reasons:
        name = private_code(_short("R", code), f"No score: {reason_words(code).title}"[:64])
        found.append(QualitativeEvaluation(name, _YES))
    for flag in result.flags:
        name = private_code(_short("F", flag), f"Doubt: {flag_words(flag).title}"[:64])
        found.append(QualitativeEvaluation(name, _YES))
    return found


def _short(head: str, name: str) -> str:
    """Return a code of 16 letters for a name that may be longer: never the same for two names."""
    return f"{head}{derive_uid('code', name)[-15:]}"
