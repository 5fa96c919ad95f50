"""Evidence on real data: expectation, denominator, nuclei, and changes that must not matter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pathology.cells import CellTable
from pathology.config import load_config
from pathology.errors import UsageError
from pathology.runs.result import SlideResult
from pathology.stain import optical_density, unmix
from pathology.synthesis import SlideSpec, render_slide, write_slide
from pathology.testing import FakeModel
from pathology.training.evidence.core_overlays import CROP_UM, busy_places, draw_overlays
from pathology.training.evidence.real import (
    RealRow,
    as_expected,
    measure_nuclei,
    measure_real,
    nucleus_centres,
    read_labels,
    tumour_share,
)
from pathology.training.evidence.robust import (
    CHANGES,
    Picture,
    is_stable,
    measure_robustness,
    scale_haematoxylin,
)

LABELS = "file,published_score,her2_status,expect,expect_reason,note\n"


def result(**values: Any) -> SlideResult:
    known = {
        "status": "scored", "ihc_score": "1+", "reasons": (), "h_score": 40.0, "class_counts": None,
    }  # fmt: skip
    return cast(SlideResult, SimpleNamespace(**(known | values)))


def row(*expect: str, reason: str = "") -> RealRow:
    return RealRow(file="a.tif", expect=frozenset(expect), reason=reason)


def test_labels_are_read_with_alternatives(tmp_path: Path) -> None:
    text = LABELS + "a.tif,1+,positive,0|1+,,near\nb.tif,,,not_scorable,no_tissue,blank\n"
    (tmp_path / "labels.csv").write_text(text)
    first, second = read_labels(tmp_path)
    assert (first.expect, first.scored) == ({"0", "1+"}, True)
    assert (second.reason, second.scored) == ("no_tissue", False)


def test_missing_or_strange_labels_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"labels.csv: cannot be read"):
        read_labels(tmp_path)
    (tmp_path / "labels.csv").write_text("file,score\na,1\n")
    with pytest.raises(UsageError, match="has no column 'expect'"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "found", "good"),
    [
        (row("1+"), result(), True),
        (row("0", "1+"), result(ihc_score="0"), True),
        (row("2+"), result(), False),
        (row("1+"), result(status="not_scorable", ihc_score=None, reasons=("no_tumour",)), False),
        (
            row("not_scorable", reason="no_tumour"),
            result(status="not_scorable", ihc_score=None, reasons=("no_tumour",)),
            True,
        ),
        (
            row("not_scorable", reason="no_tumour"),
            result(status="not_scorable", ihc_score=None, reasons=("no_tissue",)),
            False,
        ),
        # The right reason beside another one is not the right refusal.
        (
            row("not_scorable", reason="no_tumour"),
            result(status="not_scorable", ihc_score=None, reasons=("no_tumour", "not_ihc")),
            False,
        ),
        (row("not_scorable", reason="no_tumour"), result(), False),
        (row("0"), result(status="failed", ihc_score=None, reasons=("unreadable",)), False),
    ],
)
def test_a_result_is_as_expected_for_the_right_reason(
    wanted: RealRow, found: SlideResult, good: bool
) -> None:
    assert as_expected(wanted, found) is good


def test_the_tumour_share_is_of_all_cells() -> None:
    counts = {"tumour": 30, "stroma": 50, "lymphoid": 20}
    assert tumour_share(result(class_counts=counts)) == pytest.approx(0.3)
    assert tumour_share(result(class_counts={"stroma": 5})) == 0.0
    assert tumour_share(result(class_counts={})) is None
    assert tumour_share(result()) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()),
        unique_by=lambda spot: spot[:2],
        max_size=12,
    )
)
def test_nuclei_of_a_mask_are_counted_and_placed(spots: list[tuple[int, int, bool]]) -> None:
    mask = np.zeros((120, 120, 3), np.uint8)
    for i, j, positive in spots:
        top, left = 20 * i + 2, 20 * j + 4
        mask[top : top + 14, left : left + 12] = (0, 255, 0)  # outline
        mask[top + 2 : top + 12, left + 2 : left + 10] = (255, 0, 0) if positive else (0, 0, 255)
    found = nucleus_centres(mask)
    expected = sorted((20.0 * j + 10, 20.0 * i + 9) for i, j, _ in spots)
    assert sorted(map(tuple, found.tolist())) == expected


def test_leftovers_between_outlines_are_no_nuclei() -> None:
    mask = np.zeros((40, 40, 3), np.uint8)
    mask[5:8, 5:8, 2] = 255
    assert nucleus_centres(mask).shape == (0, 2)


def test_nuclei_are_found_in_pictures_of_another_pixel_size(tmp_path: Path) -> None:
    for folder in ("ihc", "gt"):
        (tmp_path / "nuclei" / folder).mkdir(parents=True)
    y, x = np.mgrid[:512, :512] + 0.5
    rgb = np.full((512, 512, 3), 240, np.uint8)
    mask = np.zeros((512, 512, 3), np.uint8)
    for at in ((100, 100), (300, 140), (200, 400)):
        inside = np.hypot(x - at[0], y - at[1]) < 16  # 4 µm
        rgb[inside], mask[inside] = (90, 80, 160), (0, 0, 255)
    Image.fromarray(rgb).save(tmp_path / "nuclei" / "ihc" / "a.png")
    # One nucleus is marked that is not there.
    mask[430:450, 60:80] = (255, 0, 0)
    Image.fromarray(mask).save(tmp_path / "nuclei" / "gt" / "a.png")
    found = measure_nuclei({"model": FakeModel()}, tmp_path)["readers"]["model"]
    assert (found["n"], found["found"]) == (4, 3)
    assert (found["recall"], found["precision"]) == (0.75, 1.0)
    assert found["f1"] == pytest.approx(6 / 7)
    assert found["pictures"]["a"]["n"] == 4


def test_pictures_without_masks_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no pictures"):
        measure_nuclei({"model": FakeModel()}, tmp_path)
    (tmp_path / "nuclei" / "ihc").mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "nuclei" / "ihc" / "a.png")
    with pytest.raises(UsageError, match="has no mask"):
        measure_nuclei({"model": FakeModel()}, tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "good"),
    [
        (100.0, 110.0, True),
        (100.0, 110.5, False),
        (100.0, 89.5, False),
        (10.0, 15.0, True),  # five points where ten per cent are less
        (10.0, 15.5, False),
        (None, 10.0, False),
    ],
)
def test_the_h_score_may_move_a_little(
    before: float | None, after: float | None, good: bool
) -> None:
    assert is_stable(row("1+"), result(h_score=before), result(h_score=after)) is good


def test_a_score_has_to_stay_unless_several_are_allowed() -> None:
    other = result(ihc_score="0")
    assert not is_stable(row("1+"), result(), other)
    assert is_stable(row("0", "1+"), result(), other)
    assert not is_stable(row("0", "1+"), result(), result(ihc_score="2+"))
    assert not is_stable(row("1+"), result(), result(status="failed", ihc_score=None))


def picture(size: int = 64) -> Picture:
    rng = np.random.default_rng(0)
    stain = load_config().stain
    amounts = rng.uniform(0.02, 0.35, (size, size, 2))
    od = amounts @ np.array([stain.haematoxylin, stain.dab])
    white = (240.0, 238.0, 244.0)
    rgb = np.rint(np.array(white) * 10**-od).astype(np.uint8)
    return Picture(rgb=rgb, mpp=0.25, white=white)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3])
def test_haematoxylin_is_scaled_and_dab_is_not(factor: float) -> None:
    before, stain = picture(), load_config().stain
    after = scale_haematoxylin(before, factor)
    one, two = (
        unmix(optical_density(item.rgb, item.white), stain.haematoxylin, stain.dab)
        for item in (before, after)
    )
    assert two[..., 0] == pytest.approx(one[..., 0] * factor, abs=0.02)
    assert two[..., 1] == pytest.approx(one[..., 1], abs=0.02)
    if factor == 1.0:
        assert np.abs(after.rgb.astype(int) - before.rgb).max() <= 1


def test_changes_do_what_they_say() -> None:
    before = picture()
    changed = {name: change(before) for name, change in CHANGES.items()}
    assert (changed["0.5_um_per_px"].mpp, changed["0.5_um_per_px"].rgb.shape[:2]) == (0.5, (32, 32))
    first = before.rgb[:2, :2].reshape(-1, 3).mean(axis=0)
    assert changed["0.5_um_per_px"].rgb[0, 0] == pytest.approx(first, abs=0.51)
    assert np.array_equal(changed["mirrored"].rgb[:, ::-1], before.rgb)
    assert np.array_equal(np.rot90(changed["rotated_90"].rgb, -1), before.rgb)
    darker = changed["brightness_0.9"].rgb.astype(float)
    assert darker == pytest.approx(0.9 * before.rgb, abs=0.51)
    brighter = changed["brightness_1.1"].rgb.astype(float)
    assert brighter == pytest.approx(np.minimum(1.1 * before.rgb, 255), abs=0.51)
    assert (
        CHANGES["brightness_1.1"](
            Picture(rgb=np.full((2, 2, 3), 240, np.uint8), mpp=0.25, white=before.white)
        ).rgb.max()
        == 255
    )
    soft = changed["defocus_0.5_um"].rgb
    assert soft.std() < 0.6 * before.rgb.std()
    assert soft.mean() == pytest.approx(before.rgb.mean(), abs=0.5)
    assert not np.array_equal(changed["jpeg_70"].rgb, before.rgb)
    sizes = {name: item.rgb.shape for name, item in changed.items() if name != "0.5_um_per_px"}
    assert set(sizes.values()) == {before.rgb.shape}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of real data that is not real."""
    folder = tmp_path_factory.mktemp("real")
    write_slide(render_slide(SlideSpec(score="3+", piece_mm=0.4), 1), folder / "three.tif")
    write_slide(render_slide(SlideSpec(kind="blank", piece_mm=0.4), 2), folder / "blank.tif")
    text = "three.tif,3+,positive,3+,,\nblank.tif,,,not_scorable,no_tissue,\n"
    (folder / "labels.csv").write_text(LABELS + text)
    return folder


def test_every_row_is_scored_and_drawn(data: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = measure_real(
        {"model": FakeModel()}, data, tmp_path / "out",
        tell=lambda done, total: told.append((done, total)),
    )["readers"]["model"]  # fmt: skip
    assert told[-1] == (2, 2)
    assert found["n"] == 2
    three, blank = found["rows"]
    assert three["ihc_score"] == "3+"
    assert three["ok"]
    assert 0.3 < three["tumour_share"] <= 1.0
    assert (blank["reasons"], blank["ok"], blank["tumour_share"]) == (["no_tissue"], True, None)
    pictures = draw_overlays(data, tmp_path / "out" / "model", tmp_path / "pictures")
    assert [path.name for path in pictures if "three" in path.name] == [
        "three-overview.jpg",
        "three-crops.jpg",
    ]
    drawn = np.asarray(Image.open(tmp_path / "pictures" / "three-crops.jpg")).astype(int)
    side = round(CROP_UM / 0.25)
    # Left the slide, right the same with outlines.
    assert drawn.shape[1] == 2 * side + 6
    assert np.abs(drawn[:side, :side] - drawn[:side, side + 6 :]).mean() > 1


def test_changed_slides_are_scored_and_compared(data: Path) -> None:
    def inked(before: Picture) -> Picture:
        return Picture(rgb=np.full_like(before.rgb, 240), mpp=before.mpp, white=before.white)

    changes: dict[str, Callable[[Picture], Picture]] = {
        "mirrored": CHANGES["mirrored"],
        "wiped": inked,
    }
    found = measure_robustness({"model": FakeModel()}, data, changes=changes)["readers"]["model"]
    slide = found["slides"]["three.tif"]
    assert list(slide) == ["none", "mirrored", "wiped"]
    assert slide["none"]["ok"]
    assert slide["mirrored"]["ok"]
    assert not slide["wiped"]["ok"]
    assert (found["stable"], found["n"]) == (1, 2)


def test_busy_places_are_where_the_cells_are() -> None:
    empty = CellTable.empty()
    n = 9
    columns = {
        name: np.zeros((n, *value.shape[1:]), value.dtype) for name, value in vars(empty).items()
    }
    # Four bare tumour cells in one square, three stained ones in another, two others in a third.
    columns["x_um"] = np.array([10] * 4 + [400] * 3 + [900] * 2, np.float32)
    columns["y_um"] = np.full(n, 30, np.float32)
    columns["pattern"] = np.array([0] * 4 + [4] * 3 + [0] * 2, np.uint8)
    columns["cell_class"] = np.array([0] * 7 + [4] * 2, np.uint8)
    assert busy_places(CellTable(**columns)) == [(80.0, 80.0), (400.0, 80.0), (880.0, 80.0)]
    assert busy_places(empty) == []
