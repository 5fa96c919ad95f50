from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.geometry import Box0, Size0, Spacing
from pathology.tissue import RegionKind, TissueMask, load_regions
from pathology.tissue.segment import grow, remove_small, shrink
from pathology.wsi.slide import SlideInfo

INFO = SlideInfo(
    path=Path("a.svs"),
    vendor="array",
    size=Size0(width=200, height=200),
    bounds=Box0(x=0, y=0, width=200, height=200),
    spacing=Spacing(x=1, y=1),
    mpp_source="array",
    quickhash="none",
)
NAMES = {
    "Tumor": RegionKind.TUMOUR,
    "Ignore*": RegionKind.IGNORE,
    "Exclude": RegionKind.EXCLUDE,
    "In situ": RegionKind.IN_SITU,
    "Control": RegionKind.CONTROL,
}
masks = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).random((17, 23)))
boxes = st.tuples(
    st.sampled_from(sorted(NAMES)),
    st.integers(0, 150),
    st.integers(0, 150),
    st.integers(1, 80),
    st.integers(1, 80),
)


@settings(max_examples=40, deadline=None)
@given(rectangles=st.lists(boxes, min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_points_agree_with_plain_arithmetic(
    rectangles: list[tuple[str, int, int, int, int]], seed: int
) -> None:
    features = [
        {
            "type": "Feature",
            "properties": {"classification": {"name": name}},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]]],
            },
        }
        for name, x, y, w, h in rectangles
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.geojson"
        path.write_text(json.dumps(features))
        regions = load_regions(path, INFO)
    points = np.random.default_rng(seed).integers(0, 200, size=(200, 2)) + 0.5  # off all outlines
    expected = [
        max(
            (
                int(NAMES[name])
                for name, x, y, w, h in rectangles
                if x < px < min(x + w, 200) and y < py < min(y + h, 200)
            ),
            default=0,
        )
        for px, py in points
    ]
    assert regions.classify_points(points[:, 0], points[:, 1]).tolist() == expected


@settings(max_examples=40, deadline=None)
@given(values=masks, share=st.floats(0, 1), radius=st.floats(0, 6))
def test_growing_and_shrinking_bound_the_mask(
    values: np.ndarray, share: float, radius: float
) -> None:
    mask = values < share
    assert (mask <= grow(mask, radius)).all()
    assert (shrink(mask, radius) <= mask).all()
    slow = np.zeros_like(mask)
    for row, column in zip(*np.nonzero(mask), strict=True):
        y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
        slow |= (y - row) ** 2 + (x - column) ** 2 <= (radius + 1e-6) ** 2
    assert (grow(mask, radius) == slow).all()


@settings(max_examples=40, deadline=None)
@given(values=masks, share=st.floats(0, 1), least=st.integers(0, 30))
def test_small_pieces_go_and_nothing_else(values: np.ndarray, share: float, least: int) -> None:
    mask = values < share
    kept = remove_small(mask, least)
    assert (kept <= mask).all()
    assert (remove_small(kept, least) == kept).all()


@settings(max_examples=60, deadline=None)
@given(
    values=masks,
    share=st.floats(0, 1),
    x=st.integers(-300, 900),
    y=st.integers(-300, 900),
    width=st.integers(1, 900),
    height=st.integers(1, 900),
)
def test_the_fraction_under_a_box_is_bounded_by_what_it_touches(
    values: np.ndarray, share: float, x: int, y: int, width: int, height: int
) -> None:
    frame = Box0(x=7, y=-11, width=501, height=333)
    mask = TissueMask(mask=values < share, box=frame, spacing=Spacing(x=1, y=1))
    box = Box0(x=x, y=y, width=width, height=height)
    fraction = mask.fraction(box)
    assert 0 <= fraction <= 1
    touched = False
    for row, column in zip(*np.nonzero(mask.mask), strict=True):
        left, top = 7 + column * 501 / 23, -11 + row * 333 / 17
        touched |= max(left, x) < min(left + 501 / 23, x + width) and max(top, y) < min(
            top + 333 / 17, y + height
        )
    assert (fraction > 0) == touched
