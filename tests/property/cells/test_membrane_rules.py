"""What must hold for every membrane and every map of scores."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pathology.cells import CellTable, build_table, classify, find_peaks, reclassify
from pathology.cells.measure import MeasuredCells
from pathology.config import MeasurementConfig, load_config

CONFIG = load_config().measurement
rays = arrays(np.uint8, st.tuples(st.integers(1, 6), st.just(32)), elements=st.integers(0, 255))
share = st.integers(0, 100).map(lambda percent: percent / 100)


@st.composite
def configs(draw: st.DrawFn) -> MeasurementConfig:
    cuts = sorted(draw(st.lists(st.integers(1, 200), min_size=4, max_size=4)))
    names = ("stained_od", "weak_od", "moderate_od", "intense_od")
    return CONFIG.model_copy(
        update={
            **{name: cut / 100 for name, cut in zip(names, cuts, strict=True)},
            "limit_of_blank_od": draw(st.integers(0, 20)) / 100,
            "contrast_od": draw(st.integers(0, 20)) / 100,
            "min_stained_share": draw(share),
            "complete_share": draw(share),
        }
    )


def slow_classify(od: list[int], cytoplasm: float, config: MeasurementConfig) -> tuple[int, int]:
    """Intensity and pattern of one cell, by the definition, in whole hundredths of OD."""

    def hundredths(value: float) -> int:
        return round(100 * value)

    blank = hundredths(config.limit_of_blank_od)
    stained = [
        value - blank
        for value in od
        if value - blank >= hundredths(config.stained_od)
        and (
            value - hundredths(cytoplasm) >= hundredths(config.contrast_od)
            or value >= hundredths(config.contrast_exempt_od)
        )
    ]
    if not stained or 100 * len(stained) < hundredths(config.min_stained_share) * 32:
        return 0, 0
    complete = 100 * len(stained) >= hundredths(config.complete_share) * 32
    cuts = (config.weak_od, config.moderate_od, config.intense_od)
    intensity = 1 + sum(sum(stained) >= hundredths(cut) * len(stained) for cut in cuts)
    if complete:
        return intensity, 4 if intensity == 4 else 3
    return intensity, 2 if intensity >= 3 else 1


@settings(max_examples=60, deadline=None)
@given(rays, st.integers(0, 100), configs())
def test_rules_against_a_slow_loop(
    ray_od: np.ndarray, cytoplasm: int, config: MeasurementConfig
) -> None:
    level = np.full(len(ray_od), cytoplasm / 100, dtype=np.float32)
    found = classify(ray_od, level, config)
    for index, od in enumerate(ray_od.tolist()):
        expected = slow_classify(od, cytoplasm / 100, config)
        assert (found.intensity[index], found.pattern[index]) == expected


@settings(max_examples=60, deadline=None)
@given(rays, st.integers(0, 31), st.integers(0, 60))
def test_a_darker_ray_never_makes_less_membrane(ray_od: np.ndarray, ray: int, more: int) -> None:
    darker = ray_od.copy()
    darker[:, ray] = np.minimum(darker[:, ray].astype(int) + more, 255)
    cytoplasm = np.full(len(ray_od), 0.1, dtype=np.float32)
    before, after = classify(ray_od, cytoplasm, CONFIG), classify(darker, cytoplasm, CONFIG)
    assert (after.membrane_od >= before.membrane_od).all()
    assert (after.membrane_completeness >= before.membrane_completeness).all()
    assert (after.complete >= before.complete).all()


@settings(max_examples=40, deadline=None)
@given(rays, st.permutations(range(32)), configs())
def test_the_order_of_the_rays_does_not_matter(
    ray_od: np.ndarray, order: list[int], config: MeasurementConfig
) -> None:
    cytoplasm = np.full(len(ray_od), 0.1, dtype=np.float32)
    plain, turned = (
        classify(ray_od, cytoplasm, config),
        classify(ray_od[:, order], cytoplasm, config),
    )
    np.testing.assert_array_equal(plain.pattern, turned.pattern)
    np.testing.assert_array_equal(plain.membrane_od_stained, turned.membrane_od_stained)


@settings(max_examples=40, deadline=None)
@given(rays, configs(), configs())
def test_a_stored_table_gives_the_same_answer_as_the_pixels(
    ray_od: np.ndarray, first: MeasurementConfig, second: MeasurementConfig
) -> None:
    n = len(ray_od)
    measured = MeasuredCells(
        outline_r=np.full((n, 32), 30, dtype=np.uint8),
        ray_od=ray_od,
        cytoplasm_od=np.linspace(0, 0.3, n, dtype=np.float32),
    )

    def build(config: MeasurementConfig) -> CellTable:
        return build_table(
            tile_id=0,
            centres_um=np.zeros((n, 2)),
            probabilities=np.full((n, 6), 1 / 6),
            measured=measured,
            tumour_min=0.5,
            config=config,
        )

    direct, rescored = build(second), reclassify(build(first), second)
    np.testing.assert_array_equal(direct.pattern, rescored.pattern)
    np.testing.assert_array_equal(direct.membrane_od, rescored.membrane_od)


scores = arrays(
    np.float32,
    st.tuples(st.integers(1, 16), st.integers(1, 16)),
    elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),  # few values, so that many are equal
)


@settings(max_examples=60, deadline=None)
@given(scores, st.floats(1.0, 4.0), st.floats(1.0, 4.0))
def test_peaks(score: np.ndarray, radius_y: float, radius_x: float) -> None:
    found = find_peaks(score, minimum=0.5, radius_px=(radius_y, radius_x))
    chosen = {tuple(place) for place in found.tolist()}
    assert [tuple(place) for place in found.tolist()] == sorted(chosen)
    for row, column in np.ndindex(*score.shape):
        near = [
            (r, c)
            for r, c in np.ndindex(*score.shape)
            if (r, c) != (row, column)
            and ((r - row) / radius_y) ** 2 + ((c - column) / radius_x) ** 2 < 1 - 1e-4
        ]
        beaten = any(
            (score[r, c], (-r, -c)) > (score[row, column], (-row, -column)) for r, c in near
        )
        expected = score[row, column] >= 0.5 and not beaten
        assert ((row, column) in chosen) == expected
        assert not (expected and any(place in chosen for place in near))
