"""DICOM objects, written, and read back by pydicom and highdicom."""

from __future__ import annotations

import json
import pkgutil
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

highdicom = pytest.importorskip("highdicom")

import pydicom  # noqa: E402
from highdicom.ann import MicroscopyBulkSimpleAnnotations  # noqa: E402
from highdicom.sr import Comprehensive3DSR  # noqa: E402

from pathology.report import Decision, ExportOptions, export  # noqa: E402
from pathology.report.dicom import score_name  # noqa: E402
from pathology.report.dicom_ann import make_annotations  # noqa: E402
from pathology.report.job import gather_job  # noqa: E402
from pathology.runs.outputs import WRITTEN  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))

from exporting import FAILED, ORIGIN, REFUSED, SCORED, SPACING, write_run  # noqa: E402

SIGNED = Decision(
    reviewer="A. Reader",
    organization="Lab 7",
    state="signed",
    agrees=False,
    ihc_score="1+",
    reason="in situ carcinoma was counted",
    at="2026-01-06T10:00:00+00:00",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dicom") / "run"
    write_run(root)
    return root


def files(run: Path, out: Path, kind: str, **choices: Any) -> dict[str, Path]:
    found = export(run, [kind], out, options=ExportOptions(**choices))[kind]
    assert set(out.iterdir()) == {*found, out / WRITTEN}
    return {path.name: path for path in found}


def report(run: Path, out: Path, **choices: Any) -> Any:
    found = files(run, out, "dicom-sr", names=True, **choices)
    return Comprehensive3DSR.from_dataset(pydicom.dcmread(found[f"{SCORED}.sr.dcm"]))


def standard(name: str) -> Any:
    """Return a table of the DICOM standard (PS3.3), as highdicom carries it."""
    return json.loads(pkgutil.get_data("highdicom", f"_standard/{name}.json") or b"")


def missing_elements(dataset: Any) -> list[str]:
    """Return what the object's IOD demands at its root (types 1 and 2) and the object lacks."""
    lacks = []
    key = standard("sop_class_iod_map")[dataset.SOPClassUID]
    attributes = standard("module_attribute_map")
    for module in standard("iod_module_map")[key]:
        # The content tree's macros depend on the kind of item; highdicom's reader checks them.
        if module["usage"] != "M" or module["key"] == "sr-document-content":
            continue
        for attribute in attributes[module["key"]]:
            if attribute["path"]:
                continue
            name, kind = attribute["keyword"], attribute["type"]
            absent = kind in ("1", "2") and name not in dataset
            empty = kind == "1" and name in dataset and dataset[name].is_empty
            if absent or empty:
                lacks.append(f"{module['key']}: {name}")
    return lacks


def test_the_objects_have_every_element_that_their_iod_demands(run: Path, tmp_path: Path) -> None:
    for kind in ("dicom-sr", "dicom-ann"):
        for path in files(run, tmp_path / kind, kind).values():
            assert missing_elements(pydicom.dcmread(path)) == []


#: What dciodvfy (dicom3tools of 2022) says of objects that are as the standard has them.
KNOWN = (
    # Private designators begin with 99 (PS3.16 chapter 8).
    "Unrecognized defined term <99HER2IHC>",
    # Said of every 2D annotation, with the element or without it; ours do not have it.
    "Only valid for AnnotationCoordinateType of 3D - attribute <CommonZCoordinateValue> = <>",
    # The Specimen Module came into the IOD of annotations (PS3.3 A.87) after that version.
    "Attribute is not present in standard DICOM IOD - (0x0040,0x05",
    "Attribute is not present in standard DICOM IOD - (0x0040,0x0610)",
    "this is a Standard Extended SOP Class",
)


def complaints(path: Path) -> list[str]:
    done = subprocess.run(
        ["dciodvfy", str(path)],  # noqa: S607 - whichever the machine has
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (done.stdout + done.stderr).splitlines()
    found = [line for line in lines if line.startswith(("Error", "Warning"))]
    assert found or "Comprehensive3DSR" in lines  # it did read the object
    return [line for line in found if not any(words in line for words in KNOWN)]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here")
@pytest.mark.parametrize("state", [None, "open", "signed", "superseded"])
def test_dciodvfy_finds_nothing_wrong(run: Path, tmp_path: Path, state: Any) -> None:
    decisions = {} if state is None else {SCORED: replace(SIGNED, state=state)}
    for names in (True, False):
        for kind in ("dicom-sr", "dicom-ann"):
            out = tmp_path / kind / str(names)
            for path in files(run, out, kind, names=names, decisions=decisions).values():
                assert complaints(path) == []
                assert "CommonZCoordinateValue" not in str(pydicom.dcmread(path))


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here")
def test_dciodvfy_finds_what_is_wrong(run: Path, tmp_path: Path) -> None:
    path = files(run, tmp_path, "dicom-sr", names=True)[f"{SCORED}.sr.dcm"]
    broken = pydicom.dcmread(path)
    del broken.StudyInstanceUID
    broken.VerificationFlag = "VERIFIED"
    broken.save_as(path)
    text = " ".join(complaints(path))
    assert "StudyInstanceUID" in text
    assert "VerifyingObserverSequence" in text


def test_the_structured_report_says_what_the_result_says(run: Path, tmp_path: Path) -> None:
    made = report(run, tmp_path)
    result = gather_job(run).slides[0].result
    assert made.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (made.VerificationFlag, made.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert made.ContentQualification == "RESEARCH"
    groups = made.content.get_image_measurement_groups()
    assert len(groups) == 1
    values = {
        m.name.meaning: (m.value, m.unit.value, m.unit.scheme_designator)
        for m in groups[0].get_measurements()
    }
    assert values["Number of evaluable tumour cells"] == (result.n_tumour_cells, "{cells}", "UCUM")
    share, unit, scheme = values["Membrane staining: complete, weak to moderate"]
    assert share == pytest.approx(result.pct_complete_weak_moderate)
    assert (unit, scheme) == ("%", "UCUM")
    evaluations = {e.name: e.value for e in groups[0].get_qualitative_evaluations()}
    score = next(value for name, value in evaluations.items() if name.value == "85319-2")
    assert (score.value, score.scheme_designator, score.meaning) == ("LA11842-4", "LN", "2+")
    assert "HER2 equivocal" in {value.meaning for value in evaluations.values()}
    words = [str(e.value) for e in made.iterall() if e.keyword == "TextValue"]
    assert "her2-cells/0.2.2" in words
    clause = "clause: 2+: complete weak-moderate staining in > 10 % of tumour cells"
    assert clause in words
    names = [str(e.value) for e in made.iterall() if e.keyword == "CodeMeaning"]
    assert {"Algorithm Name", "Algorithm Version", "Algorithm Parameters"} <= set(names)


def test_a_slide_without_a_score_is_indeterminate_and_a_failed_one_has_no_report(
    run: Path, tmp_path: Path
) -> None:
    found = files(run, tmp_path, "dicom-sr", names=True)
    assert set(found) == {f"{SCORED}.sr.dcm", f"{REFUSED}.sr.dcm"}
    assert FAILED not in "".join(found)
    text = str(pydicom.dcmread(found[f"{REFUSED}.sr.dcm"]))
    assert "LA11884-6" in text
    assert "No score: No tissue found" in text


def test_only_a_signature_verifies_the_report(run: Path, tmp_path: Path) -> None:
    made = report(run, tmp_path / "signed", decisions={SCORED: SIGNED})
    result = gather_job(run).slides[0].result
    assert made.VerificationFlag == "VERIFIED"
    assert made.PreliminaryFlag == "PRELIMINARY"
    observer = made.VerifyingObserverSequence[0]
    assert observer.VerifyingObserverName == "A. Reader^"
    assert str(observer.VerificationDateTime) == "20260106100000+0000"
    groups = made.content.get_image_measurement_groups()
    second = groups[1].get_qualitative_evaluations(name=score_name(result))
    assert [e.value.meaning for e in second] == ["1+"]
    for state, code in (("open", "OPEN"), ("superseded", "SUPERSEDED")):
        made = report(run, tmp_path / state, decisions={SCORED: replace(SIGNED, state=state)})
        assert made.VerificationFlag == "UNVERIFIED"
        assert "VerifyingObserverSequence" not in made
        (_, reviewed) = made.content.get_image_measurement_groups()
        values = {e.name.value: e.value.value for e in reviewed.get_qualitative_evaluations()}
        assert values["REVIEW_STATE"] == code
        assert values["85319-2"] == "LA11841-6"


def test_the_reviewers_group_says_what_has_no_code(run: Path, tmp_path: Path) -> None:
    decision = replace(SIGNED, her2_tier="her2_low", run_score="2+", comment="second look")
    made = report(run, tmp_path, decisions={SCORED: decision})
    program, reviewed = made.content.get_image_measurement_groups()
    values = {e.name.value: e.value.meaning for e in reviewed.get_qualitative_evaluations()}
    assert values["HER2_TIER"] == "HER2 low"
    assert values["OVERRIDDEN"] == "Present"
    assert "OVERRIDDEN" not in str(program)
    text = next(str(e.value) for e in made.iterall() if "second look" in str(e.value))
    for words in ("in situ carcinoma was counted", "in the run's own regions: 2+"):
        assert words in text


def test_signed_as_not_scorable_is_indeterminate(run: Path, tmp_path: Path) -> None:
    decision = replace(SIGNED, ihc_score=None, not_scorable=True)
    made = report(run, tmp_path, decisions={SCORED: decision})
    (_, reviewed) = made.content.get_image_measurement_groups()
    result = gather_job(run).slides[0].result
    (score,) = reviewed.get_qualitative_evaluations(name=score_name(result))
    assert score.value.meaning == "Indeterminate"


def test_objects_name_their_slide(run: Path, tmp_path: Path) -> None:
    # Identifiers of images are derived: without its name nobody would know the slide.
    made = report(run, tmp_path / "sr")
    contexts = {c.name.meaning: c for c in made.content[0].ContentSequence}
    assert contexts["Specimen Container Identifier"].value == SCORED
    assert contexts["Specimen Identifier"].value == "A1 Smith"
    path = files(run, tmp_path / "ann", "dicom-ann", names=True)[f"{SCORED}.ann.dcm"]
    cells = pydicom.dcmread(path)
    assert cells.ContainerIdentifier == SCORED
    (specimen,) = cells.SpecimenDescriptionSequence
    assert contexts["Specimen UID"].value == specimen.SpecimenUID
    # One study, one patient, two series.
    assert (cells.StudyInstanceUID, cells.PatientID) == (made.StudyInstanceUID, made.PatientID)
    assert cells.SeriesInstanceUID != made.SeriesInstanceUID


@pytest.mark.parametrize("case", ["A\\B=C^D\n山田 Ωµ", "A\\B=C^D\n" + " x" * 99])
def test_hostile_and_long_names_stay_one_value(tmp_path: Path, case: str) -> None:
    # Short where it is not Latin: the validator counts bytes, the standard letters.
    write_run(tmp_path / "run", n_cells=40, case_id=case, block_id="B\\1")
    signed = replace(
        SIGNED, reviewer="Müller=山田^\\太郎", organization="Lab\\7", comment="=1+1\n≥ µ"
    )
    for kind in ("dicom-sr", "dicom-ann"):
        found = files(
            tmp_path / "run", tmp_path / kind, kind, names=True, decisions={SCORED: signed}
        )
        path = next(path for name, path in found.items() if name.startswith(SCORED))
        made = pydicom.dcmread(path)
        assert made.PatientID == case.replace("\\", " ").replace("\n", " ")[:64].strip()
        assert len(made.PatientID) <= 64
        if shutil.which("dciodvfy"):
            assert complaints(path) == []
        if kind == "dicom-sr":
            observer = made.VerifyingObserverSequence[0]
            assert str(observer.VerifyingObserverName) == "Müller 山田  太郎^"
            assert observer.VerifyingOrganization == "Lab 7"


def test_times_say_their_zone(run: Path, tmp_path: Path) -> None:
    decision = replace(SIGNED, at="2026-01-06T23:30:00-02:00")
    made = report(run, tmp_path, decisions={SCORED: decision})
    assert made.TimezoneOffsetFromUTC == "+0000"
    verified = made.VerifyingObserverSequence[0].VerificationDateTime
    assert str(verified) == "20260107013000+0000"


def test_annotations_are_the_cells_of_the_table(run: Path, tmp_path: Path) -> None:
    path = files(run, tmp_path, "dicom-ann", names=True)[f"{SCORED}.ann.dcm"]
    made = MicroscopyBulkSimpleAnnotations.from_dataset(pydicom.dcmread(path))
    table = pq.read_table(run / "slides" / SCORED / "cells.parquet").to_pydict()
    groups = {g.label: g for g in made.get_annotation_groups()}
    result = gather_job(run).slides[0].result
    assert groups["Tumor: 3+ complete intense"].number_of_annotations == result.n_complete_intense
    assert groups["Tumor: 0 unstained"].number_of_annotations == result.n_unstained
    assert sum(g.number_of_annotations for g in groups.values()) == len(table["cell_id"])
    group = groups["Tumor: 0 unstained"]
    rows = [
        k
        for k, pattern in enumerate(table["pattern"])
        if pattern == "unstained" and table["evaluable"][k]
    ]
    rings = group.get_graphic_data("2D")
    angle = 2 * np.pi * np.arange(32) / 32
    for ring, k in zip(rings, rows, strict=True):
        reach = np.asarray(table["outline_r"][k]) * 0.2
        x = (table["x_um"][k] + reach * np.cos(angle)) / SPACING.x
        y = (table["y_um"][k] + reach * np.sin(angle)) / SPACING.y
        # Converters to DICOM keep only the scanned bounds, and count from their corner.
        expected = np.stack([x, y], axis=1) - ORIGIN
        assert np.abs(ring - expected).max() * SPACING.x < 0.01
    names, values, units = group.get_measurements()
    column = [n.meaning for n in names].index("Mean membrane OD")
    assert np.array_equal(values[:, column], np.float32([table["membrane_od"][k] for k in rows]))
    assert units[column].value == "{od}"
    assert group.AnnotationGroupAlgorithmIdentificationSequence[0].AlgorithmName


def test_level0_coordinates_on_request(run: Path) -> None:
    jobs = [gather_job(run, ExportOptions(origin=origin)) for origin in ("bounds", "level0")]
    found = [make_annotations(job.slides[0], job) for job in jobs]
    rings = [made.get_annotation_groups()[0].get_graphic_data("2D")[0] for made in found]
    assert np.allclose(rings[1] - rings[0], ORIGIN, atol=1e-3)
    assert found[0].PixelOriginInterpretation == "VOLUME"


def test_very_many_cells_are_written_as_centres(run: Path) -> None:
    job = gather_job(run)
    made = make_annotations(job.slides[0], job, max_outlines=10)
    assert {str(g.GraphicType) for g in made.AnnotationGroupSequence} == {"POINT"}


def test_identifiers_are_derived_and_never_say_a_name(run: Path, tmp_path: Path) -> None:
    uids = []
    for kind in ("dicom-sr", "dicom-ann"):
        first = files(run, tmp_path / kind / "1", kind)
        second = files(run, tmp_path / kind / "2", kind)
        assert {n: p.read_bytes() for n, p in first.items()} == {
            n: p.read_bytes() for n, p in second.items()
        }
        for path in first.values():
            dataset = pydicom.dcmread(path)
            uids.append(str(dataset.SOPInstanceUID))
            assert str(dataset.SOPInstanceUID).startswith("2.25.")
            assert dataset.PatientIdentityRemoved == "YES"
            assert "Smith" not in str(dataset)
            assert b"Smith" not in path.read_bytes()
    assert len(set(uids)) == len(uids)


def test_a_dicom_slide_is_referred_to_by_its_own_identifiers(tmp_path: Path) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    wide = {"low.dcm": 100, "high.dcm": 400}
    for name, columns in wide.items():
        image = pydicom.Dataset()
        image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
        image.SOPInstanceUID = f"1.2.3.{columns}"
        image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
        image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        image.Modality = "SM"
        image.PatientID, image.PatientName = "P1", "Doe^Jane"
        image.PatientBirthDate = image.PatientSex = image.AccessionNumber = ""
        image.StudyID = image.StudyDate = image.StudyTime = ""
        image.ReferringPhysicianName = ""
        image.ContainerIdentifier = "C1"
        image.FrameOfReferenceUID = "1.2.3.9"
        image.TotalPixelMatrixColumns = columns
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        image.save_as(slides / name, enforce_file_format=True)
    write_run(tmp_path / "run", path="slides/low.dcm", vendor="dicom")
    found = files(tmp_path / "run", tmp_path / "out", "dicom-sr", names=True, slide_root=tmp_path)
    made = pydicom.dcmread(found[f"{SCORED}.sr.dcm"])
    assert (made.StudyInstanceUID, made.PatientID) == ("1.2.3.1", "P1")
    assert "1.2.3.400" in str(made)
    hidden = files(tmp_path / "run", tmp_path / "hid", "dicom-sr", slide_root=tmp_path)
    for path in hidden.values():
        text = str(pydicom.dcmread(path))
        assert "1.2.3." not in text
        assert "Doe" not in text
