"""Evidence on real slides: scores against expectation, the denominator, and nuclei found.

For looking only. Nothing in training, thresholds or calibration may depend on these figures, and
each time they are computed is logged.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from pathology.cells.reader import TileReader
from pathology.config import load_config
from pathology.errors import UsageError
from pathology.pipeline import SlideRequest, score_slide
from pathology.runs.result import SlideResult
from pathology.stain import white_point
from pathology.training.evidence.measure import match_points, read_picture
from pathology.types import AnyArray, U8Array

__all__ = [
    "RealRow",
    "as_expected",
    "measure_nuclei",
    "measure_real",
    "nucleus_centres",
    "read_labels",
    "tumour_share",
]

#: Pixel size of the nucleus pictures (scanned at 40×), µm.
NUCLEI_MPP = 0.25
#: A found cell and a marked nucleus are the same within this distance, µm: centres of cells and of
#: nuclei differ.
NUCLEI_MATCH_UM = 4.0
#: Smaller spots of a mask are leftovers between outlines, pixels (1.25 µm²).
_MIN_MASK_PX = 20
#: Glass is judged smooth over this distance, as on slides, µm.
_GLASS_WINDOW_UM = 24.0


@dataclass(frozen=True, kw_only=True)
class RealRow:
    """Hold one line of ``labels.csv``.

    Parameters
    ----------
    file
        Path below the data folder.
    expect
        Allowed outcomes: scores, or ``not_scorable``.
    reason
        The reason expected of a refusal; empty otherwise.
    """

    file: str
    expect: frozenset[str]
    reason: str

    @property
    def scored(self) -> bool:
        """Whether a score is expected."""
        return self.expect != {"not_scorable"}


def read_labels(data: Path) -> list[RealRow]:
    """Read ``labels.csv``.

    Parameters
    ----------
    data
        Folder of the real slides.

    Raises
    ------
    UsageError
        If it is missing or lacks a column.
    """
    path = data / "labels.csv"
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return [
                RealRow(
                    file=row["file"],
                    expect=frozenset(row["expect"].split("|")),
                    reason=row["expect_reason"],
                )
                for row in csv.DictReader(stream)
            ]
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except KeyError as error:
        raise UsageError(f"{path}: has no column {error}") from error


def as_expected(row: RealRow, result: SlideResult) -> bool:
    """Say whether a result is among the allowed outcomes, for the right reason.

    Parameters
    ----------
    row
        What is expected.
    result
        What came out.
    """
    if row.scored:
        return result.status == "scored" and result.ihc_score in row.expect
    return result.status == "not_scorable" and [str(code) for code in result.reasons] == [
        row.reason
    ]


def tumour_share(result: SlideResult) -> float | None:
    """Return the share of tumour among all cells that were found; None without cells."""
    counts = result.class_counts or {}
    total = sum(counts.values())
    return counts.get("tumour", 0) / total if total else None


def measure_real(
    readers: Mapping[str, TileReader],
    data: Path,
    out: Path,
    *,
    tell: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score all rows of ``labels.csv`` with several readers.

    Parameters
    ----------
    readers
        Name in the report to reader.
    data
        Folder of the real slides.
    out
        Folder for results; one run folder per reader.
    tell
        Called with the number of slides scored, and in all.

    Returns
    -------
    dict
        ``readers``: per reader the rows with ``ok``, ``as_expected`` (number) and ``rows``.
    """
    rows = read_labels(data)
    report: dict[str, Any] = {}
    done, total = 0, len(rows) * len(readers)
    for name, reader in readers.items():
        lines = []
        for row in rows:
            if tell is not None:
                tell(done, total)
            lines.append(_line(row, _score(data / row.file, out / name, reader)))
            done += 1
        report[name] = {
            "name": reader.name,
            "sha256": reader.sha256,
            "as_expected": sum(line["ok"] for line in lines),
            "n": len(lines),
            "rows": lines,
        }
    if tell is not None:
        tell(total, total)
    return {"readers": report}


def _score(path: Path, out: Path, reader: TileReader) -> SlideResult:
    # The folder's name is the file's: overlays look for it there.
    return score_slide(
        path, out_dir=out, slide_id=path.stem, reader=reader, request=SlideRequest(path=path)
    )


def _line(row: RealRow, result: SlideResult) -> dict[str, Any]:
    return {
        "file": row.file,
        "expect": "|".join(sorted(row.expect)),
        "expect_reason": row.reason,
        "ok": as_expected(row, result),
        "tumour_share": tumour_share(result),
        **{
            column: getattr(result, column)
            for column in (
                "status",
                "ihc_score",
                "her2_tier",
                "n_tumour_cells",
                "h_score",
                "mean_membrane_od",
                "pct_complete_intense",
                "pct_complete_weak_moderate",
                "pct_incomplete_moderate_intense",
                "pct_incomplete_faint",
                "distance_to_cutoff_pp",
                "nearest_score_pp",
            )
        },
        "reasons": [str(code) for code in result.reasons],
        "class_counts": result.class_counts or {},
    }


def nucleus_centres(mask: U8Array) -> AnyArray:
    """Return the centres of the nuclei of a mask.

    Parameters
    ----------
    mask
        (H, W, 3) uint8: negative nuclei blue, positive ones red, their outlines green.

    Returns
    -------
    numpy.ndarray
        (n, 2) x, y in pixels; the middle of the first pixel is 0.5.

    Examples
    --------
    >>> mask = np.zeros((20, 20, 3), np.uint8)
    >>> mask[4:10, 4:10, 2] = 255
    >>> nucleus_centres(mask).tolist()
    [[7.0, 7.0]]
    """
    red, green, blue = (mask[..., channel] > 127 for channel in range(3))
    labels, count = ndimage.label((red | blue) & ~green)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    kept = [number for number in range(1, count + 1) if sizes[number] >= _MIN_MASK_PX]
    middles = ndimage.center_of_mass(labels > 0, labels, kept) if kept else []
    return np.asarray([[x + 0.5, y + 0.5] for y, x in middles], dtype=np.float64).reshape(-1, 2)


def measure_nuclei(readers: Mapping[str, TileReader], data: Path) -> dict[str, Any]:
    """Measure how many marked nuclei are found in pictures of another stain (Ki67).

    Parameters
    ----------
    readers
        Name in the report to reader.
    data
        Folder with ``nuclei/ihc/*.png`` and masks of the same names in ``nuclei/gt``.

    Returns
    -------
    dict
        Per reader ``f1``, ``recall``, ``precision``, ``n`` and the same per picture.

    Raises
    ------
    UsageError
        If there are no pictures, or one lacks its mask.
    """
    pictures = sorted((data / "nuclei" / "ihc").glob("*.png"))
    if not pictures:
        raise UsageError(f"{data / 'nuclei' / 'ihc'}: no pictures")
    loaded = list(_load(pictures))
    report = {}
    for name, reader in readers.items():
        parts = [_find_nuclei(reader, rgb, truth) for rgb, truth in loaded]
        report[name] = {
            **_rates(parts),
            "pictures": {
                path.stem: _rates([part]) for path, part in zip(pictures, parts, strict=True)
            },
        }
    return {"within_um": NUCLEI_MATCH_UM, "readers": report}


def _load(pictures: Sequence[Path]) -> Iterator[tuple[U8Array, AnyArray]]:
    for path in pictures:
        mask = path.parents[1] / "gt" / path.name
        if not mask.is_file():
            raise UsageError(f"{path}: has no mask {mask}")
        rgb, marked = (
            np.asarray(Image.open(one).convert("RGB"), dtype=np.uint8) for one in (path, mask)
        )
        yield rgb, nucleus_centres(marked) * NUCLEI_MPP


def _find_nuclei(reader: TileReader, rgb: U8Array, truth_um: AnyArray) -> tuple[int, int, int]:
    """Return hits, marked and found nuclei."""
    window = round(_GLASS_WINDOW_UM / NUCLEI_MPP)
    white = white_point(rgb, load_config().stain, window=window)
    found = read_picture(reader, rgb, mpp=NUCLEI_MPP, white=white.rgb)
    found_um = np.stack([found.x_um, found.y_um], axis=1).astype(np.float64)
    # Centres outside the picture belong to nobody's mask.
    size_um = np.array(rgb.shape[1::-1]) * NUCLEI_MPP
    found_um = found_um[((found_um >= 0) & (found_um < size_um)).all(axis=1)]
    return len(match_points(truth_um, found_um, NUCLEI_MATCH_UM)), len(truth_um), len(found_um)


def _rates(parts: Sequence[tuple[int, int, int]]) -> dict[str, float | int]:
    hits, marked, found = (sum(part[k] for part in parts) for k in range(3))
    return {
        "f1": 2 * hits / (marked + found) if marked + found else 0.0,
        "recall": hits / marked if marked else 0.0,
        "precision": hits / found if found else 0.0,
        "n": marked,
        "found": found,
    }
