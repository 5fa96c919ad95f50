"""Small runs to score again, and how two run folders are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pathology.cells.reader import AnyReader
from pathology.config import Config, load_config
from pathology.pipeline import SlideRequest, score_slide
from pathology.provenance import versions
from pathology.runs import (
    RunFolder,
    RunInfo,
    RunKey,
    SlideResult,
    now,
    write_cases,
    write_results,
)
from pathology.synthesis.tiff import write_pyramid

#: Unit OD vectors in R, G, B (those of ``configs/default.yaml``).
HAEMATOXYLIN = np.array([0.65111, 0.70119, 0.29049])
DAB = np.array([0.26917, 0.56824, 0.77759])
PITCH = 32
QUICK = (
    "tiling.tile_px=128",
    "scoring.bootstrap_replicates=50",
    "scoring.min_tumour_cells=40",
    "stain.check=false",
    "report.overview_px=300",
)


def quick(*overrides: str) -> Config:
    return load_config(overrides=[*QUICK, *overrides])


def paint(width: int, height: int, *, dab: Sequence[float], margin: int = 32) -> Any:
    """Paint round cells 16 µm apart on glass, with rings of DAB of these ODs, column by column."""
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((x % PITCH) - PITCH / 2 + 0.5, (y % PITCH) - PITCH / 2 + 0.5) * 0.5
    inside = (x >= margin) & (x < width - margin) & (y >= margin) & (y < height - margin)
    noise = np.random.default_rng(width).normal(0, 0.02, (height, width))
    od = np.asarray(dab)[(x // PITCH) % len(dab)]
    ring, nucleus = np.clip(1.25 - np.abs(radius - 6.5), 0, 1), np.clip(4.5 - radius, 0, 1)
    blue = np.where(inside, 0.12 + 0.7 * nucleus + noise, 0)
    brown = np.where(inside, od * ring + 0.03 * np.minimum(od, 1), 0)
    density = blue[..., None] * HAEMATOXYLIN + brown[..., None] * DAB
    glass = np.random.default_rng(height).normal(0, 0.6, (height, width, 1))
    return np.clip(np.round(240 * 10**-density + glass), 0, 255).astype(np.uint8)


def write(path: Path, pixels: Any, *, mpp: float | None = 0.5) -> Path:
    write_pyramid(path, pixels, mpp=mpp, levels=1, compression="deflate")
    return path


def rectangles(**boxes: tuple[int, int, int, int]) -> bytes:
    """Return GeoJSON of rectangles (x, y, right, bottom) by class, ``_`` for a blank."""

    def feature(name: str, box: tuple[int, int, int, int]) -> dict[str, object]:
        x, y, right, bottom = box
        ring = [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]
        return {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"name": name.replace("_", " ")}},
        }

    features = [feature(name, box) for name, box in boxes.items()]
    return orjson.dumps({"type": "FeatureCollection", "features": features})


def score(
    out: Path,
    slides: Mapping[str, Path],
    config: Config,
    reader: AnyReader,
    *,
    regions: Mapping[str, Path] | None = None,
) -> list[SlideResult]:
    """Score slides into a finished run folder, in this process."""
    key = RunKey.of(config, model=reader.name, model_sha256=reader.sha256)
    with RunFolder(out, key) as run:
        results = [
            score_slide(
                path,
                out_dir=run.path,
                slide_id=slide_id,
                request=SlideRequest(
                    path=path,
                    display_path=path.name,
                    case_id="C1",
                    regions=(regions or {}).get(slide_id),
                ),
                reader=reader,
                config=config,
            )
            for slide_id, path in slides.items()
        ]
        ordered = write_results(run.path, results)
        write_cases(run.path, ordered)
        run.write_info(
            RunInfo(
                command=("her2",),
                versions=versions(),
                host="h",
                device="cpu",
                started=now(),
                finished=now(),
            )
        )
    return ordered


def files(out: Path) -> dict[str, bytes]:
    """Read everything that must not differ between two runs of the same thing.

    ``result.json`` is compared without what says that it was made again, and without what the run
    knows of the slide's inputs.
    """
    found = {name: (out / name).read_bytes() for name in TABLES}
    for path in sorted((out / "slides").glob("*/*")):
        content = path.read_bytes()
        if path.name == "result.json":
            tree = orjson.loads(content)
            tree.pop("rescored")
            (tree["identity"] or {}).pop("inputs_sha256", None)
            content = orjson.dumps(tree)
        found[str(path.relative_to(out))] = content
    return found


TABLES = ("results.csv", "results.parquet", "cases.csv")


def all_bytes(out: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(out)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def difference(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    """Name the files that differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
