"""Is there tumour, and is it in focus: the presence test and the focus rule on simulated slides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pathology.config import ScoringConfig
from pathology.errors import ReasonCode
from pathology.scoring import (
    FocusShares,
    Presence,
    focus_shares,
    grouped_cells,
    judge_focus,
    judge_presence,
    score_evidence,
)

TILE_UM = 256.0


def presence_of(
    x: np.ndarray, y: np.ndarray, tumour: np.ndarray, params: ScoringConfig
) -> Presence:
    """Look at a slide as the pipeline does: tile by tile."""
    tile = (y // TILE_UM).astype(int) * 10_000 + (x // TILE_UM).astype(int)
    order = np.argsort(tile, kind="stable")
    grouped = 0
    for rows in np.split(order, np.flatnonzero(np.diff(tile[order])) + 1):
        grouped += int(grouped_cells(x[rows], y[rows], tumour[rows], params).sum())
    return Presence(n_tumour=int(tumour.sum()), n_nuclei=len(x), n_grouped=grouped)


def nuclei(rng: np.random.Generator, mm2: float, per_mm2: float) -> tuple[np.ndarray, np.ndarray]:
    side = 1000 * mm2**0.5
    x, y = rng.uniform(0, side, (2, round(mm2 * per_mm2))).astype(np.float32)
    return x, y


@pytest.mark.parametrize("share", [0.001, 0.005, 0.02, 0.04])
@pytest.mark.parametrize(("mm2", "per_mm2"), [(20.0, 10_000), (1.0, 2_500), (30.0, 1_500)])
def test_scattered_false_calls_are_no_tumour(
    share: float, mm2: float, per_mm2: float, params: ScoringConfig
) -> None:
    """A lymph node of 200,000 nuclei, a core of muscle, a large section of stroma."""
    rng = np.random.default_rng(round(1e4 * share) + round(mm2))
    x, y = nuclei(rng, mm2, per_mm2)
    found = presence_of(x, y, rng.random(len(x)) < share, params)
    verdict = judge_presence(found, params)
    assert verdict in ("absent", "doubtful"), found
    if share <= 0.02:
        assert verdict == "absent", found


def test_a_lymph_node_is_no_zero(make_evidence, params: ScoringConfig) -> None:
    evidence = make_evidence(un=1000)
    scattered = Presence(n_tumour=1000, n_nuclei=200_000, n_grouped=12)
    score = score_evidence(replace(evidence, presence=scattered), params)
    assert (score.ihc_score, score.reasons) == (None, (ReasonCode.NO_TUMOUR,))
    assert "1,000 of 200,000 nuclei (0.5 %)" in score.deciding_clause
    assert "199 in groups" in score.deciding_clause
    assert score.pct_unstained == 100.0
    nests = replace(scattered, n_grouped=900)
    assert score_evidence(replace(evidence, presence=nests), params).ihc_score == "0"


def test_few_cells_in_muscle_are_no_tumour_and_in_tumour_too_few(make_evidence, params) -> None:
    few = make_evidence(un=60)
    muscle = Presence(n_tumour=60, n_nuclei=2500, n_grouped=4)
    assert score_evidence(replace(few, presence=muscle), params).reasons == (ReasonCode.NO_TUMOUR,)
    tumour = Presence(n_tumour=60, n_nuclei=90, n_grouped=55)
    found = score_evidence(replace(few, presence=tumour), params)
    assert found.reasons == (ReasonCode.TOO_FEW_CELLS,)


def test_doubt_is_no_score_either(make_evidence, params) -> None:
    unsure = Presence(n_tumour=120, n_nuclei=2400, n_grouped=10)
    assert judge_presence(unsure, params) == "doubtful"
    score = score_evidence(replace(make_evidence(un=120), presence=unsure), params)
    assert score.reasons == (ReasonCode.TOO_FEW_CELLS,)
    assert "surely tumour" in score.deciding_clause


@pytest.mark.parametrize("file_cells", [1, 3, 8])
@pytest.mark.parametrize("share", [0.08, 0.15, 0.4])
def test_lobular_carcinoma_in_single_cells_and_files_is_scored(
    file_cells: int, share: float, params: ScoringConfig
) -> None:
    """Files of cells 12 µm apart, strewn through a stroma of 2,500 nuclei per mm²."""
    rng = np.random.default_rng(file_cells)
    x, y = nuclei(rng, 4.0, 2_500)
    wanted = round(share / (1 - share) * len(x))
    starts, angle = rng.uniform(50, 1950, (2, wanted // file_cells)), rng.uniform(0, np.pi)
    step = np.arange(file_cells)[:, None] * 12.0
    tx = (starts[0] + step * np.cos(angle)).ravel()
    ty = (starts[1] + step * np.sin(angle)).ravel()
    tumour = np.arange(len(x) + len(tx)) >= len(x)
    x, y = np.concatenate([x, tx]).astype(np.float32), np.concatenate([y, ty]).astype(np.float32)
    assert judge_presence(presence_of(x, y, tumour, params), params) == "present"


def test_a_small_focus_in_a_large_section_is_found(params: ScoringConfig) -> None:
    """A focus of single files, 1 mm across, in 20 mm² of stroma with 1 % of false calls."""
    rng = np.random.default_rng(5)
    x, y = nuclei(rng, 20.0, 2_000)
    focus = np.hypot(x - 2000, y - 2000) < 500
    tumour = np.where(focus, rng.random(len(x)) < 0.4, rng.random(len(x)) < 0.01)
    found = presence_of(x, y, tumour, params)
    assert found.n_tumour / found.n_nuclei < params.tumour_share_min
    assert judge_presence(found, params) == "present"


def test_most_cells_alone_is_flagged(make_evidence, params) -> None:
    evidence = make_evidence(un=500)
    for n_grouped, flagged in ((100, True), (400, False)):
        around = Presence(n_tumour=500, n_nuclei=2000, n_grouped=n_grouped)
        score = score_evidence(replace(evidence, presence=around), params)
        assert score.status == "scored"
        assert ("scattered_tumour_cells" in score.flags) is flagged


def test_unread_tissue_may_hold_the_tumour(make_evidence, params) -> None:
    evidence = make_evidence(un=200, tissue_mm2=5.0, failed_tissue_mm2=1.0)
    scattered = Presence(n_tumour=200, n_nuclei=20_000, n_grouped=0)
    score = score_evidence(replace(evidence, presence=scattered), params)
    assert score.reasons == (ReasonCode.FAILED_TILES, ReasonCode.NO_TUMOUR)


def test_presence_must_be_possible(make_evidence) -> None:
    with pytest.raises(ValueError, match="must hold"):
        Presence(n_tumour=5, n_nuclei=4, n_grouped=0)
    with pytest.raises(ValueError, match="same tumour cells"):
        replace(make_evidence(un=5), presence=Presence(n_tumour=4, n_nuclei=9, n_grouped=0))


@pytest.mark.parametrize(
    ("cells", "blurred", "tissue", "verdict"),
    [
        (1000, 0, 0.0, "sharp"),
        (1000, 500, 0.5, "partly"),  # exactly the limit
        (1000, 501, 0.5, "blurred"),
        (1000, 0, 0.9, "partly"),  # the tumour is sharp
        (50, 0, 0.9, "blurred"),  # blur hides tumour cells as well
        (0, 0, 0.4, "partly"),
        (0, 0, 0.0, "sharp"),
    ],
)
def test_where_the_tumour_is_blurred_there_is_no_score(
    cells: int, blurred: int, tissue: float, verdict: str, params: ScoringConfig
) -> None:
    shares = FocusShares(
        n_cells=cells, n_blurred_cells=blurred, tissue_mm2=1.0, blurred_tissue_mm2=tissue
    )
    assert judge_focus(shares, params, minimum=100) == verdict


def test_the_minimum_of_the_model_says_what_decides(params: ScoringConfig) -> None:
    """60 sharp tumour tiles are enough for a tile model, though not 60 cells for a cell model."""
    shares = FocusShares(n_cells=60, n_blurred_cells=0, tissue_mm2=1.0, blurred_tissue_mm2=0.9)
    assert judge_focus(shares, params, minimum=params.min_tumour_tiles) == "partly"
    assert judge_focus(shares, params, minimum=params.min_tumour_cells) == "blurred"
    assert "of the tumour tiles" in shares.describe(params, units="tiles")


def test_tiles_without_anything_to_focus_on_do_not_count(params: ScoringConfig) -> None:
    shares = focus_shares([(None, 0, 5.0, 0.24), (0.49, 10, 1.0, 1.0), (0.5, 30, 3.0, 1.0)], params)
    assert (shares.of_cells, shares.of_tissue) == (0.25, 0.25)
    assert focus_shares([(None, 0, 1.0, 0.24)], params).of_tissue == 0.0
    assert "25 % of the tumour cells" in shares.describe(params)


def test_tissue_without_any_structure_left_is_blurred(params: ScoringConfig) -> None:
    """Strong blur leaves nothing to measure focus by, in tissue as on glass."""
    tissue = focus_shares([(None, 0, 3.0, 0.25), (0.7, 0, 1.0, 1.0)], params)
    assert tissue.of_tissue == 0.75
    tumour = focus_shares([(None, 30, 0.1, 0.2), (0.7, 10, 1.0, 1.0)], params)
    assert tumour.of_cells == 0.75
    assert judge_focus(tissue, params, minimum=100) == "blurred"
