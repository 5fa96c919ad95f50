"""The cells of a slide as DICOM Microscopy Bulk Simple Annotations: outlines and measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.ann import AnnotationGroup, Measurements, MicroscopyBulkSimpleAnnotations
from highdicom.color import CIELabColor
from pydicom.sr.codedict import codes

from pathology import __version__
from pathology.cells.table import CELL_CLASSES, PATTERNS, CellTable
from pathology.report.dicom import (
    AREA_UNIT,
    MANUFACTURER,
    OD_UNIT,
    derive_uid,
    file_of,
    finish,
    private_code,
    source_image,
)
from pathology.report.field import cell_polygons_um
from pathology.report.geojson_cells import class_name
from pathology.report.job import ExportJob, ExportSlide
from pathology.report.palette import CLASS_COLOURS, PATTERN_COLOURS, RGB
from pathology.runs.cells import read_cell_columns, read_cells, read_schema_names
from pathology.runs.layout import CELLS
from pathology.runs.outputs import OutputFolder
from pathology.scoring import TILE_FLAG
from pathology.types import AnyArray

__all__ = ["MAX_OUTLINES", "export_dicom_ann", "make_annotations"]

#: Above this number of cells their centres are written in place of outlines: an object is built in
#: memory, and 32 corners of a million cells are 0.5 GB.
MAX_OUTLINES: Final = 1_000_000


def export_dicom_ann(job: ExportJob, folder: OutputFolder) -> list[Path]:
    """Write ``<slide_id>.ann.dcm`` for every slide that has cells.

    Parameters
    ----------
    job
        The slides. Those of a tile classifier have no cells.
    folder
        Where to write.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    SlideError
        If a table of cells is damaged, or a file cannot be written.
    """

    def make(slide: ExportSlide) -> bytes | None:
        made = make_annotations(slide, job)
        return None if made is None else file_of(made)

    return job.write_each(folder, ".ann.dcm", make)


def make_annotations(
    slide: ExportSlide, job: ExportJob, *, max_outlines: int = MAX_OUTLINES
) -> Any | None:
    """Return the annotations of a slide; None where it has no cells.

    Parameters
    ----------
    slide
        The slide.
    job
        The run.
    max_outlines
        With more cells, centres are written.

    Returns
    -------
    highdicom.ann.MicroscopyBulkSimpleAnnotations or None
        Coordinates are level-0 pixels, x first, from where the run's exports begin to count. The
        corner of a pixel is a whole number: 0.5 is the centre of the first.
    """
    path, spacing = slide.tables / CELLS, slide.spacing
    if spacing is None or TILE_FLAG in slide.source.flags or not path.is_file():
        return None
    cells = CellTable.concat(list(read_cells(path)))
    if not cells.n:
        return None
    counted = np.asarray(cells.is_tumour)
    if "evaluable" in read_schema_names(path):
        parts = read_cell_columns(path, ["evaluable"])
        counted = np.concatenate([part["evaluable"] for part in parts])
    frame = (np.array([spacing.x, spacing.y]), np.array(job.offset_px(slide), dtype=np.float64))
    groups: list[AnnotationGroup] = []
    for label, colour, chosen in _classes(cells, counted):
        # A cell without an outline has a centre all the same.
        outlined = np.any(cells.outline_r, axis=1) & (cells.n <= max_outlines)
        for shape, rows in (("POLYGON", chosen & outlined), ("POINT", chosen & ~outlined)):
            if rows.any():
                number = len(groups) + 1
                groups.append(_group(slide, number, label, colour, cells.take(rows), shape, frame))
    image = source_image(slide, job)
    made = MicroscopyBulkSimpleAnnotations(
        source_images=[image],
        annotation_coordinate_type="2D",
        pixel_origin_interpretation="VOLUME",
        annotation_groups=groups,
        series_instance_uid=derive_uid("ann series", slide.result.slide_id),
        series_number=101,
        sop_instance_uid=derive_uid("ann", slide.result.slide_id, slide.result.config_hash or ""),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=slide.result.model or "her2-ihc",
        software_versions=__version__,
        device_serial_number="none",
        content_label="HER2_CELLS",
        content_description="Cells of a HER2 IHC slide; research use only",
        specific_character_set="ISO_IR 192",
    )
    finish(made, job, image)
    return made


def _classes(cells: CellTable, counted: AnyArray) -> list[tuple[str, RGB, AnyArray]]:
    """Return label, colour and rows of each group, in the words of the export for QuPath."""
    tumour = np.asarray(cells.is_tumour)
    found = [
        (class_name(0, code), PATTERN_COLOURS[code], counted & (cells.pattern == code))
        for code in range(len(PATTERNS) - 1, -1, -1)
    ]
    found.append((class_name(0, 0, counted=False), CLASS_COLOURS["tumour"], tumour & ~counted))
    for code, name in enumerate(CELL_CLASSES):
        if name != "tumour":
            found.append((class_name(code, 0), CLASS_COLOURS[name], cells.cell_class == code))
    return found


def _group(
    slide: ExportSlide,
    number: int,
    label: str,
    colour: RGB,
    cells: CellTable,
    shape: str,
    frame: tuple[AnyArray, AnyArray],
) -> AnnotationGroup:
    scale, offset = frame
    if shape == "POLYGON":
        places = (cell_polygons_um(cells) / scale - offset).astype(np.float32)
    else:
        centres = np.stack([cells.x_um, cells.y_um], axis=1).astype(np.float64) / scale - offset
        places = centres.astype(np.float32)[:, None]
    return AnnotationGroup(
        number=number,
        uid=derive_uid("ann group", slide.result.slide_id, label, shape),
        label=label,
        annotated_property_category=codes.SCT.AnatomicalStructure,
        annotated_property_type=codes.SCT.Cell,
        graphic_type=shape,
        graphic_data=list(places),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=slide.result.model or "her2-ihc",
            family=codes.cid7162.ArtificialIntelligence,
            version=__version__,
            source=MANUFACTURER,
        ),
        measurements=_measurements(cells),
        description=f"{cells.n} cells; tumour classes name the score that a pattern speaks for. "
        f"Coordinates begin at level-0 pixel {offset[0]:.0f}, {offset[1]:.0f} of the slide's file",
        display_color=CIELabColor.from_rgb(*colour),
    )


def _measurements(cells: CellTable) -> list[Measurements]:
    share = codes.UCUM.NoUnits
    rows = (
        (codes.SCT.Area, cells.area_um2, AREA_UNIT),
        (private_code("MEMBRANE_OD", "Mean membrane OD"), cells.membrane_od, OD_UNIT),
        (
            private_code("COMPLETENESS", "Stained share of the outline"),
            cells.membrane_completeness,
            share,
        ),
        (private_code("CYTOPLASM_OD", "Median cytoplasm OD"), cells.cytoplasm_od, OD_UNIT),
        (
            private_code("TUMOUR_PROB", "Probability of a tumour cell"),
            cells.tumour_probability,
            share,
        ),
    )
    return [Measurements(name, values, unit) for name, values, unit in rows]
