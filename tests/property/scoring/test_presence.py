from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pathology.config import load_config
from pathology.scoring import Presence, grouped_cells, judge_presence

PARAMS = load_config().scoring
RANK = {"absent": 0, "doubtful": 1, "present": 2}


def cells(seed: int, n: int, share: float, side: float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, side, (2, n)).astype(np.float32)
    return x, y, rng.random(n) < share


SEEDS = st.integers(0, 2**32 - 1)
SHARES = st.floats(0, 1)
SIDES = st.sampled_from([50.0, 200.0, 1500.0])


@given(seed=SEEDS, n=st.integers(0, 150), share=SHARES, side=SIDES)
def test_groups_agree_with_a_plain_count(seed: int, n: int, share: float, side: float) -> None:
    x, y, tumour = cells(seed, n, share, side)
    expected = []
    for i in range(n):
        gap = np.hypot(x.astype(float) - x[i], y.astype(float) - y[i])
        near = np.argsort(gap, kind="stable")[: PARAMS.group_nuclei]
        near = near[gap[near] < PARAMS.group_radius_um]
        expected.append(bool(tumour[i]) and int(tumour[near].sum()) >= PARAMS.group_tumour)
    assert grouped_cells(x, y, tumour, PARAMS).tolist() == expected


@given(seed=SEEDS, n=st.integers(1, 150), share=SHARES, side=SIDES)
def test_another_tumour_cell_takes_none_out_of_its_group(
    seed: int, n: int, share: float, side: float
) -> None:
    x, y, tumour = cells(seed, n, share, side)
    before = grouped_cells(x[1:], y[1:], tumour[1:], PARAMS)
    tumour[0] = True
    assert (grouped_cells(x, y, tumour, PARAMS)[1:] >= before).all()


@given(
    others=st.integers(0, 300_000), alone=st.integers(0, 3000), grouped=st.integers(0, 3000),
    more_alone=st.integers(0, 3000), more_grouped=st.integers(0, 300),
)  # fmt: skip
def test_more_tumour_cells_never_make_it_less_of_a_tumour(
    others: int, alone: int, grouped: int, more_alone: int, more_grouped: int
) -> None:
    def verdict(single: int, together: int) -> int:
        n = single + together
        seen = Presence(n_tumour=n, n_nuclei=n + others, n_grouped=together)
        return RANK[judge_presence(seen, PARAMS)]

    less = verdict(alone, grouped)
    assert verdict(alone + more_alone, grouped + more_grouped) >= less


@given(others=st.integers(0, 10**6), n=st.integers(0, 10**5), grouped=st.integers(0, 10**5))
def test_more_other_nuclei_never_make_it_more_of_a_tumour(
    others: int, n: int, grouped: int
) -> None:
    def verdict(count: int) -> int:
        seen = Presence(n_tumour=n, n_nuclei=n + count, n_grouped=min(grouped, n))
        return RANK[judge_presence(seen, PARAMS)]

    assert verdict(others + 1000) <= verdict(others) or n == 0
