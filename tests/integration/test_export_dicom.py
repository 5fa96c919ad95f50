"""DICOM objects, written, and read back by pydicom and highdicom."""

from __future__ import annotations

import json
import pkgutil
import sys
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

sys.path.insert(0, str(Path(__file__).parent))

from exporting import FAILED, REFUSED, SCORED, SPACING, write_run  # noqa: E402

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
    assert set(out.iterdir()) == set(found)
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
    assert str(observer.VerificationDateTime) == "20260106100000"
    groups = made.content.get_image_measurement_groups()
    second = groups[1].get_qualitative_evaluations(name=score_name(result))
    assert [e.value.meaning for e in second] == ["1+"]
    for state in ("open", "superseded"):
        decision = Decision(
            reviewer="A", organization="L", state=state, agrees=True, at="2026-01-06"
        )
        made = report(run, tmp_path / state, decisions={SCORED: decision})
        assert made.VerificationFlag == "UNVERIFIED"


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
        assert np.abs(ring[:, 0] - x).max() * SPACING.x < 0.01
    names, values, units = group.get_measurements()
    column = [n.meaning for n in names].index("Mean membrane OD")
    assert np.array_equal(values[:, column], np.float32([table["membrane_od"][k] for k in rows]))
    assert units[column].value == "{od}"
    assert group.AnnotationGroupAlgorithmIdentificationSequence[0].AlgorithmName


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
