"""What the DICOM exports share: identifiers, codes, and the image that they refer to.

Identifiers are derived from names (``2.25.`` and the number of a version 5 UUID, PS3.5 annex B.2),
so that the same result has the same ones in every export. Where the slide is DICOM and names are
exported as they are, the objects refer to its own series. Else, and always under pseudonyms, they
refer to derived identifiers: those of the image that the slide would be, were it converted.
"""

from __future__ import annotations

import io
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from highdicom import SpecimenDescription
from highdicom.sr import CodedConcept
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from pathology import __version__
from pathology.report.codes import ANSWERS, score_code
from pathology.report.job import ExportJob, ExportSlide
from pathology.report.palette import PATTERN_LABELS
from pathology.report.words import RESEARCH_USE_ONLY
from pathology.runs.result import SlideResult
from pathology.wsi.dicom import read_series

__all__ = [
    "AREA_UNIT",
    "MANUFACTURER",
    "OD_UNIT",
    "PRIVATE",
    "SCORE_ANSWERS",
    "derive_uid",
    "file_of",
    "finish",
    "one_line",
    "pattern_code",
    "person_name",
    "private_code",
    "score_name",
    "source_image",
    "when",
]

MANUFACTURER: Final = "her2-ihc"
#: Designator of the codes that no public scheme has; explained in every object.
PRIVATE: Final = "99HER2IHC"
#: VL Whole Slide Microscopy Image Storage.
_WSI_CLASS: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
_UTC: Final = "+0000"
SCORE_ANSWERS: Final = {
    score: CodedConcept(code, "LN", meaning) for score, (code, meaning) in ANSWERS.items()
}
#: Units of UCUM; braces hold a remark on a number without dimension.
OD_UNIT: Final = CodedConcept("{od}", "UCUM", "optical density")
AREA_UNIT: Final = CodedConcept("um2", "UCUM", "square micrometer")


def derive_uid(*parts: str) -> str:
    """Return an identifier made from names.

    Examples
    --------
    >>> derive_uid("slide", "a") == derive_uid("slide", "a") != derive_uid("slide", "b")
    True
    >>> derive_uid("slide", "a")[:5]
    '2.25.'
    """
    name = "\0".join(("her2-ihc", *parts))
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


def file_of(dataset: Dataset) -> bytes:
    """Return an object as a DICOM file, preamble and meta information included."""
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def private_code(value: str, meaning: str) -> CodedConcept:
    """Return a code of this program's own scheme (a code has 16 letters at most)."""
    return CodedConcept(value[:16], PRIVATE, meaning)


def score_name(result: SlideResult) -> CodedConcept:
    """Return the LOINC code of the test, which differs between breast and other tissue."""
    code, meaning = score_code(result)
    return CodedConcept(code, "LN", meaning[:64])


def pattern_code(code: int) -> CodedConcept:
    """Return the code of a membrane pattern, by its index in ``PATTERNS``."""
    return private_code(f"PATTERN{code}", f"Membrane staining: {PATTERN_LABELS[code].lower()}")


def person_name(name: str) -> str:
    """Write a name as DICOM has it: one component, no sign that would split it.

    Examples
    --------
    >>> person_name("A. Reader")
    'A. Reader^'
    """
    return "".join(" " if sign in "^=" else sign for sign in one_line(name))[:63] + "^"


def one_line(text: str) -> str:
    r"""Return a text for an element of one value and 64 letters (VR LO).

    Examples
    --------
    >>> one_line("A\\B\n")
    'A B'
    """
    return "".join(" " if sign == "\\" or sign < " " else sign for sign in text).strip()[:64]


def source_image(slide: ExportSlide, job: ExportJob) -> Dataset:
    """Return the header of the image that an object refers to.

    Parameters
    ----------
    slide
        The slide.
    job
        Says whether names are exported, and where the slide lies.
    """
    if job.names is None and slide.source.vendor == "dicom":
        own = _own_image((job.slide_root or Path()) / slide.source.path)
        if own is not None:
            return own
    return _derived_image(slide, job)


def _own_image(path: Path) -> Dataset | None:
    """Return the header of the finest level of the series of a slide; None where it is gone."""
    series = read_series(path)
    if series is None:
        return None
    best: Dataset | None = None
    for file in sorted(path.parent.iterdir()):
        other = read_series(file) if file.is_file() else None
        if other is None or other.uid != series.uid or not other.volume:
            continue
        try:
            header = dcmread(file, stop_before_pixels=True)
        except (InvalidDicomError, OSError):
            continue
        wide = header.get("TotalPixelMatrixColumns", 0)
        if best is None or wide > best.get("TotalPixelMatrixColumns", 0):
            best = header
    return best


def _derived_image(slide: ExportSlide, job: ExportJob) -> Dataset:
    result = slide.result
    case = result.case_id or result.slide_id
    image = Dataset()
    image.SOPClassUID = UID(_WSI_CLASS)
    image.SOPInstanceUID = derive_uid("image", result.slide_id)
    image.SeriesInstanceUID = derive_uid("image series", result.slide_id)
    image.StudyInstanceUID = derive_uid("study", case)
    image.FrameOfReferenceUID = derive_uid("frame of reference", result.slide_id)
    image.Modality = "SM"
    image.PatientID = one_line(case)
    image.PatientName = person_name(case)
    image.PatientBirthDate = image.PatientSex = image.AccessionNumber = ""
    image.ReferringPhysicianName = ""
    # At most 16 characters, and needed by media with a directory of studies.
    image.StudyID = derive_uid("study", case)[-16:]
    image.StudyDate, image.StudyTime = when(job.made_at)
    image.TimezoneOffsetFromUTC = _UTC
    image.SpecificCharacterSet = "ISO_IR 192"
    image.ContainerIdentifier = one_line(result.slide_id)
    image.IssuerOfTheContainerIdentifierSequence = []
    image.ContainerTypeCodeSequence = []
    name = one_line(result.block_id or result.slide_id)
    image.SpecimenDescriptionSequence = [
        SpecimenDescription(specimen_id=name, specimen_uid=derive_uid("specimen", result.slide_id))
    ]
    if job.names is not None:
        image.PatientIdentityRemoved = "YES"
        image.DeidentificationMethod = "Keyed pseudonyms, derived UIDs"
    return image


def when(text: str | None, offset: str = _UTC) -> tuple[str, str]:
    """Return date and time as DICOM writes them; empty where the time is not known.

    Parameters
    ----------
    text
        ISO 8601.
    offset
        Offset from UTC of what is returned, as DICOM writes it.

    Examples
    --------
    >>> when("2026-01-05T23:30:00-02:00"), when("2026-01-05T23:30:00Z", "+0100")
    (('20260106', '013000'), ('20260106', '003000'))
    """
    if text is None:
        return "", ""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.strptime(offset, "%z").tzinfo)
    return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")


def finish(made: Any, job: ExportJob, image: Dataset) -> None:
    """Give an object the time of the run, what it may be used for, and the meaning of its codes.

    Parameters
    ----------
    made
        An object of highdicom; changed in place, so that the same run gives the same bytes.
    job
        The run.
    image
        What it refers to: dates and times of the study say in which zone they are, or do not.
    """
    offset = str(image.get("TimezoneOffsetFromUTC") or "")
    if offset:
        made.TimezoneOffsetFromUTC = offset
    date, time = when(job.made_at, offset or _UTC)
    # Type 1 elements: where the run's end is not known, the earliest date stands for "unknown".
    made.InstanceCreationDate = made.ContentDate = date or "19000101"
    made.InstanceCreationTime = made.ContentTime = time or "000000"
    for equipment in made.get("ContributingEquipmentSequence", []):
        # The library notes the present moment here.
        if "ContributionDateTime" in equipment:
            equipment.ContributionDateTime = f"{made.ContentDate}{made.ContentTime}{offset or _UTC}"
    made.ContentQualification = "RESEARCH"
    made.SeriesDescription = f"HER2 IHC, {RESEARCH_USE_ONLY.lower()}"
    made.SoftwareVersions = __version__
    scheme = Dataset()
    scheme.CodingSchemeDesignator = PRIVATE
    scheme.CodingSchemeName = "Codes of her2-ihc, explained in docs/exports.md"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    made.CodingSchemeIdentificationSequence = [scheme]
    if job.names is not None:
        made.PatientIdentityRemoved = "YES"
        made.DeidentificationMethod = "Keyed pseudonyms, derived UIDs"
