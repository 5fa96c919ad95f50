"""Evidence on cameras whose contrast was turned up: the benchmark's fields, whitened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from pathology.cells.reader import TileReader
from pathology.synthesis import Field, render_field
from pathology.synthesis.benchmark import BenchmarkConfig, benchmark_fields
from pathology.synthesis.transfer import tone_curve
from pathology.training.evidence.figures import FieldReading, measure_model
from pathology.training.evidence.measure import read_rendered_field

__all__ = ["CONTRASTS", "FIGURES", "camera_field", "measure_cameras"]

#: From the picture as it is to one in which what lets more than 81 % of the light of the camera's
#: brightest white pass (all glass, most cytoplasm) is white.
CONTRASTS = (1.0, 1.3, 1.6)
#: Which cells there are, and which of them are tumour. Densities change with the contrast, so that
#: figures of membranes have no truth here.
FIGURES = ("detection_f1", "tumour_auroc", "tumour_share_error")


def camera_field(field: Field, contrast: float) -> Field:
    """Turn the contrast of a picture up around its middle grey; what is brighter than white is cut.

    Parameters
    ----------
    field
        A rendered field.
    contrast
        Factor, at least 1.

    Returns
    -------
    Field
        The same cells; another picture and another colour of glass.
    """
    table = np.clip(np.rint(tone_curve(np.arange(256.0), 1.0, contrast, 0.0)), 0, 255)
    glass = np.clip(tone_curve(np.asarray(field.white), 1.0, contrast, 0.0), 1, 255)
    red, green, blue = glass.tolist()
    return replace(field, rgb=table.astype(np.uint8)[field.rgb], white=(red, green, blue))


def measure_cameras(
    readers: Mapping[str, TileReader],
    config: BenchmarkConfig,
    *,
    limit: int | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Read the benchmark at several contrasts with several readers.

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
        Plain values: the number of fields, and for each reader and contrast the figures of
        :data:`FIGURES`.
    """
    total = config.fields if limit is None else min(limit, config.fields)
    read: dict[str, dict[float, list[FieldReading]]] = {
        name: {contrast: [] for contrast in CONTRASTS} for name in readers
    }
    for done, item in enumerate(islice(benchmark_fields(config), total)):
        if tell is not None:
            tell(done, total)
        field = render_field(item.spec, item.seed)
        for contrast in CONTRASTS:
            view = camera_field(field, contrast)
            for name, reader in readers.items():
                read[name][contrast].append(read_rendered_field(reader, view))
    if tell is not None:
        tell(total, total)
    return {
        "fields": total,
        "readers": {
            name: {
                "name": readers[name].name,
                "sha256": readers[name].sha256,
                "contrasts": [
                    {"contrast": contrast, **_figures(readings)}
                    for contrast, readings in views.items()
                ],
            }
            for name, views in read.items()
        },
    }


def _figures(readings: list[FieldReading]) -> dict[str, Any]:
    measured = measure_model(readings)
    return {name: measured[name].plain() for name in FIGURES}
