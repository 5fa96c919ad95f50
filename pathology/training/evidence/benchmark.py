"""Evidence on the frozen synthetic benchmark: all figures, per condition, and the worst fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pathology.cells.reader import TileReader
from pathology.synthesis import render_field
from pathology.synthesis.benchmark import (
    BenchmarkConfig,
    BenchmarkField,
    benchmark_fields,
    benchmark_sha256,
    specs_sha256,
)
from pathology.training.data.states import generator_hash
from pathology.training.evidence.figures import FieldReading, confusion, figures, measure_model
from pathology.training.evidence.measure import read_picture, read_rendered_field
from pathology.training.evidence.overlays import Marks, draw_outlines, side_by_side
from pathology.types import U8Array

__all__ = ["draw_failures", "measure_benchmark", "report_readings", "worst_fields"]

#: Replicates for the intervals of single conditions, of which there are many.
CONDITION_REPLICATES = 400
#: A field with fewer matched tumour cells cannot be the worst in outlines or patterns.
_MIN_TUMOUR = 30
#: By which figures the worst fields are chosen, and whether small is bad.
_WORST = {
    "detection_f1": True,
    "tumour_share_error": False,
    "outline_error_um": False,
    "pattern_accuracy": True,
}
#: Side of the crops in the sheet of failures, pixels.
_CROP_PX = 200


@dataclass(frozen=True, kw_only=True)
class ReadField:
    """Hold a field of the benchmark and what one reader made of it."""

    field: BenchmarkField
    reading: FieldReading


def measure_benchmark(
    readers: Mapping[str, TileReader],
    config: BenchmarkConfig,
    *,
    path: Path | None = None,
    limit: int | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Read the benchmark with several readers, and report all figures.

    Parameters
    ----------
    readers
        Name in the report to reader.
    config
        The benchmark.
    path
        Its file; None is the bundled one.
    limit
        Read only so many fields; None reads all.
    tell
        Called with the number of fields read, and in all.

    Returns
    -------
    dict
        Plain values: what was read, and for each reader its figures over all fields and per
        condition, the confusion of the patterns, and the worst fields.
    """
    total = config.fields if limit is None else min(limit, config.fields)
    read: dict[str, list[ReadField]] = {name: [] for name in readers}
    for done, item in enumerate(islice(benchmark_fields(config), total)):
        if tell is not None:
            tell(done, total)
        field = render_field(item.spec, item.seed)
        for name, reader in readers.items():
            reading = read_rendered_field(reader, field)
            read[name].append(ReadField(field=item, reading=reading))
    if tell is not None:
        tell(total, total)
    return {
        "version": config.version,
        "file_sha256": benchmark_sha256(path),
        "specs_sha256": specs_sha256(config),
        "generator": generator_hash(),
        "fields": total,
        "of_fields": config.fields,
        "field_px": config.field_px,
        "readers": {
            name: {"name": reader.name, "sha256": reader.sha256, **report_readings(read[name])}
            for name, reader in readers.items()
        },
    }


def report_readings(read: Sequence[ReadField]) -> dict[str, Any]:
    """Report one reader's figures, over all fields and per condition.

    Parameters
    ----------
    read
        Fields that were read; at least one.
    """
    readings = [item.reading for item in read]
    return {
        "figures": {name: item.plain() for name, item in measure_model(readings).items()},
        "conditions": {
            factor: dict(_per_level(read, factor)) for factor in read[0].field.conditions
        },
        "confusion": confusion(readings).tolist(),
        "worst": worst_fields(read),
    }


def _per_level(read: Sequence[ReadField], factor: str) -> Iterator[tuple[str, dict[str, Any]]]:
    levels = dict.fromkeys(item.field.conditions[factor] for item in read)
    for level in sorted(levels):
        mine = [item.reading for item in read if item.field.conditions[factor] == level]
        found = measure_model(mine, replicates=CONDITION_REPLICATES)
        yield level, {name: metric.plain() for name, metric in found.items()}


def worst_fields(read: Sequence[ReadField]) -> list[dict[str, Any]]:
    """Find the worst field by each of some figures; none twice.

    Parameters
    ----------
    read
        Fields that were read.

    Returns
    -------
    list of dict
        ``seed``, ``conditions``, ``figure`` (which one is bad) and ``value``.
    """
    single = [figures([item.reading]) for item in read]
    result: list[dict[str, Any]] = []
    for name, small_is_bad in _WORST.items():
        needs_tumour = name in ("outline_error_um", "pattern_accuracy")
        candidates = [
            (found[name] if small_is_bad else -found[name], item.field.seed, index)
            for index, (item, found) in enumerate(zip(read, single, strict=True))
            if not math.isnan(found[name])
            and (not needs_tumour or len(item.reading.tumour_pairs) >= _MIN_TUMOUR)
            and item.field.seed not in {one["seed"] for one in result}
        ]
        if candidates:
            _, seed, index = min(candidates)
            result.append(
                {
                    "seed": seed,
                    "conditions": dict(read[index].field.conditions),
                    "figure": name,
                    "value": single[index][name],
                }
            )
    return result


def draw_failures(
    reader: TileReader, config: BenchmarkConfig, worst: Sequence[Mapping[str, Any]], path: Path
) -> None:
    """Draw the worst fields: the picture, the true cells, and what was found.

    Parameters
    ----------
    reader
        The model.
    config
        The benchmark.
    worst
        What :func:`worst_fields` gave.
    path
        JPEG file to write; its folder exists.
    """
    seeds = [item["seed"] for item in worst]
    fields = {item.seed: item for item in benchmark_fields(config) if item.seed in seeds}
    rows = [_failure(reader, fields[seed]) for seed in seeds]
    Image.fromarray(side_by_side(rows)).save(path, "JPEG", quality=74)


def _failure(reader: TileReader, item: BenchmarkField) -> list[U8Array]:
    field = render_field(item.spec, item.seed)
    red, green, blue = (float(value) for value in field.white)
    found = read_picture(reader, field.rgb, mpp=field.mpp, white=(red, green, blue))
    side = min(_CROP_PX, *field.rgb.shape[:2])
    start = ((np.array(field.rgb.shape[:2]) - side) // 2).tolist()
    window = (slice(start[0], start[0] + side), slice(start[1], start[1] + side))
    pictures = [field.rgb[window].repeat(2, axis=0).repeat(2, axis=1)]
    for marks in (Marks.of_truth(field.cells, field.mpp), Marks.of_table(found)):
        drawn = draw_outlines(field.rgb, marks, mpp=field.mpp, zoom=2)
        pictures.append(
            drawn[2 * start[0] : 2 * (start[0] + side), 2 * start[1] : 2 * (start[1] + side)]
        )
    return pictures
