"""Evidence on cameras that set their light and colours themselves: the benchmark, seen by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from pathology.cells.reader import TileReader
from pathology.synthesis import Field, render_field
from pathology.synthesis.benchmark import BenchmarkConfig, benchmark_fields
from pathology.training.data.camera import CameraView
from pathology.training.evidence.figures import FieldReading, measure_model
from pathology.training.evidence.measure import read_rendered_field

__all__ = ["FIGURES", "VIEWS", "camera_field", "measure_cameras"]

#: What cameras on microscopes do when nobody stops them. At contrast 1.6 all that lets more than
#: 81 % of the light pass is white: all glass, most cytoplasm.
VIEWS = {
    "as it was": CameraView(),
    "contrast 1.3": CameraView(contrast=1.3),
    "contrast 1.6": CameraView(contrast=1.6),
    "exposed 1.15 times": CameraView(exposure=1.15),
    "yellow light": CameraView(exposure=1.05, warmth=0.1),
    "pale colours": CameraView(saturation=0.6),
}
#: Which cells there are, and which of them are tumour. Densities change with the camera, so that
#: figures of membranes have no truth here.
FIGURES = ("detection_f1", "tumour_auroc", "tumour_share_error")


def camera_field(field: Field, camera: CameraView) -> Field:
    """Show a rendered field as a camera does.

    Parameters
    ----------
    field
        A rendered field.
    camera
        What the camera does to light and colours.

    Returns
    -------
    Field
        The same cells; another picture and another colour of glass.
    """
    red, green, blue = camera.white(field.white).tolist()
    return replace(field, rgb=camera.picture(field.rgb), white=(red, green, blue))


def measure_cameras(
    readers: Mapping[str, TileReader],
    config: BenchmarkConfig,
    *,
    limit: int | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Read the benchmark in each of :data:`VIEWS` with several readers.

    Parameters
    ----------
    readers
        Name in the report to reader.
    config
        The benchmark.
    limit
        Read only so many fields; None reads all.
    tell
        Called with the number of fields read, and in all.

    Returns
    -------
    dict
        Plain values: the number of fields, and for each reader and view the figures of
        :data:`FIGURES`.
    """
    total = config.fields if limit is None else min(limit, config.fields)
    read: dict[str, dict[str, list[FieldReading]]] = {
        name: {view: [] for view in VIEWS} for name in readers
    }
    for done, item in enumerate(islice(benchmark_fields(config), total)):
        if tell is not None:
            tell(done, total)
        field = render_field(item.spec, item.seed)
        for view, camera in VIEWS.items():
            seen = camera_field(field, camera)
            for name, reader in readers.items():
                read[name][view].append(read_rendered_field(reader, seen))
    if tell is not None:
        tell(total, total)
    return {
        "fields": total,
        "readers": {
            name: {
                "name": readers[name].name,
                "sha256": readers[name].sha256,
                "views": [{"view": view, **_figures(readings)} for view, readings in views.items()],
            }
            for name, views in read.items()
        },
    }


def _figures(readings: list[FieldReading]) -> dict[str, Any]:
    measured = measure_model(readings)
    return {name: measured[name].plain() for name in FIGURES}
