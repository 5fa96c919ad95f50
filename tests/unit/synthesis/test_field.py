"""A field's truth is what its pixels show, and a seed is all that it depends on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pathology.cells import CELL_CLASSES, N_RAYS, PATTERNS
from pathology.stain import optical_density, unmix
from pathology.synthesis import (
    REGIONS,
    Appearance,
    Composition,
    Field,
    FieldSpec,
    Morphology,
    PatternMix,
    Staining,
    random_field_spec,
    render_field,
)

ANGLES = 2 * np.pi * np.arange(N_RAYS) / N_RAYS
MIXED = PatternMix(
    unstained=0.3, incomplete_faint=0.25, incomplete_moderate_intense=0.1,
    complete_weak_moderate=0.2, complete_intense=0.15,
)  # fmt: skip


def clear_spec(architecture: str, **kwargs: float) -> FieldSpec:
    """A field that is almost free of blur, noise and blush."""
    return FieldSpec(
        composition=Composition(
            architecture=architecture, tumour_share=0.6,
            single_cells_per_mm2=1500 if architecture == "single" else 0,
        ),
        staining=Staining(tumour=MIXED, blush_od=0.0, granularity=0.0),
        appearance=Appearance(noise=0.4, jpeg_quality=0, blur_um=0.3),
        **kwargs,
    )  # fmt: skip


def dab_of(field: Field, spec: FieldSpec) -> np.ndarray:
    od = optical_density(field.rgb, field.white)
    return unmix(od, spec.appearance.haematoxylin, spec.appearance.dab)[..., 1]


def dab_on_outline(field: Field, spec: FieldSpec) -> tuple[np.ndarray, np.ndarray]:
    """Measured peak OD near each ray's end, and the truth, for rays that end inside the field."""
    dab = dab_of(field, spec)
    cells = field.cells.take(field.cells.cell_class < 3)
    best = np.full(cells.outline_r_um.shape, -9.0)
    for step in (-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75):
        r = (cells.outline_r_um + step) / field.mpp
        x = cells.x_px[:, None] + r * np.cos(ANGLES)
        y = cells.y_px[:, None] + r * np.sin(ANGLES)
        # Pixel (0, 0) has its middle at 0.5.
        seen = ndimage.map_coordinates(dab, [y - 0.5, x - 0.5], order=1, mode="nearest")
        best = np.maximum(best, seen)
    inside = (x > 2) & (y > 2) & (x < field.rgb.shape[1] - 2) & (y < field.rgb.shape[0] - 2)
    return best[inside], cells.ray_od[inside]


@pytest.mark.parametrize("architecture", ["solid", "gland", "single"])
@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_measured_dab_is_the_true_ray_od(architecture: str, mpp: float) -> None:
    measured, true = [], []
    for seed in range(3):
        spec = clear_spec(architecture, mpp=mpp)
        a, b = dab_on_outline(render_field(spec, seed), spec)
        measured.append(a)
        true.append(b)
    m, t = np.concatenate(measured), np.concatenate(true)
    assert np.corrcoef(m, t)[0, 1] > 0.95
    assert abs(float((m - t)[t > 0.12].mean())) < 0.04
    slope = float(np.polyfit(t[t > 0.12], m[t > 0.12], 1)[0])
    assert slope == pytest.approx(1.0, abs=0.08)
    assert float((m - t)[t == 0].mean()) < 0.05


def test_a_shifted_outline_is_noticed() -> None:
    """The test above can fail: outlines that are 3 µm too far lose the membrane."""
    spec = clear_spec("solid")
    field = render_field(spec, 0)
    cells = field.cells
    wrong = type(cells)(**{**vars(cells), "outline_r_um": cells.outline_r_um + 3.0})
    moved = Field(rgb=field.rgb, mpp=field.mpp, white=field.white, cells=wrong, region=field.region)
    measured, true = dab_on_outline(moved, spec)
    assert np.corrcoef(measured, true)[0, 1] < 0.8


def test_same_seed_same_bytes_other_seed_other_bytes() -> None:
    spec = random_field_spec(np.random.default_rng(5), size_px=160)
    first, again, other = (render_field(spec, seed) for seed in (7, 7, 8))
    assert first.rgb.tobytes() == again.rgb.tobytes()
    assert first.region.tobytes() == again.region.tobytes()
    for name, column in vars(first.cells).items():
        assert column.tobytes() == getattr(again.cells, name).tobytes(), name
    assert first.rgb.tobytes() != other.rgb.tobytes()


def test_same_random_state_same_spec() -> None:
    a, b, c = (random_field_spec(np.random.default_rng(s)) for s in (1, 1, 2))
    assert a == b != c


def test_pattern_shares_come_out_as_asked() -> None:
    seen = np.zeros(len(PATTERNS))
    for seed in range(4):
        spec = clear_spec("sheet", width_px=512, height_px=512)
        cells = render_field(spec, seed).cells
        seen += np.bincount(cells.pattern[cells.cell_class == 0], minlength=len(PATTERNS))
    share = seen / seen.sum()
    assert seen.sum() > 600
    assert np.abs(share - np.array(MIXED.as_tuple())).max() < 0.05


def test_bare_tumour_has_no_stained_cell() -> None:
    spec = FieldSpec(composition=Composition(architecture="gland", normal_ducts=2, in_situ=1))
    cells = render_field(spec, 3).cells
    assert cells.n > 50
    assert not cells.pattern.any()
    assert float(cells.ray_od.max()) < 0.12


def test_region_map_says_where_cells_are() -> None:
    tumour = np.zeros(2, dtype=int)
    for seed in range(3):
        field = render_field(clear_spec("solid", width_px=390, height_px=386), seed)
        assert field.region.shape == (97, 98)
        cells = field.cells.take(field.cells.cell_class == 0)
        rows = np.minimum((cells.y_px / 4).astype(int), 96)
        columns = np.minimum((cells.x_px / 4).astype(int), 97)
        here = field.region[rows, columns] == REGIONS.index("tumour")
        tumour += (here.sum(), len(here))
    assert tumour[0] / tumour[1] > 0.95


def test_nuclei_lie_where_haematoxylin_is() -> None:
    spec = FieldSpec(
        composition=Composition(architecture="solid", looseness=0.9),
        morphology=Morphology(missing_nuclei=0.0),
    )
    field = render_field(spec, 1)
    od = optical_density(field.rgb, field.white)
    blue = ndimage.gaussian_filter(
        unmix(od, spec.appearance.haematoxylin, spec.appearance.dab)[..., 0], 2.0
    )
    cells = field.cells.take(field.cells.visible)
    at = blue[cells.y_px.astype(int), cells.x_px.astype(int)]
    assert np.median(at) > 2.0 * np.median(blue)


def test_columns_are_taller_than_wide() -> None:
    def elongation(architecture: str) -> float:
        values = []
        for seed in range(6):
            spec = FieldSpec(
                composition=Composition(architecture=architecture, tumour_share=0.6),
                morphology=Morphology(columnar_height_um=30, columnar_width_um=6),
            )
            cells = render_field(spec, seed).cells
            r = cells.outline_r_um[cells.cell_class == 0]
            across = r + np.roll(r, N_RAYS // 2, axis=1)
            values.append(across.max(axis=1) / across.min(axis=1))
        return float(np.median(np.concatenate(values)))

    assert elongation("gland") > 1.35 * elongation("solid")


@pytest.mark.parametrize("mpp", [0.25, 0.5, 1.0])
def test_cells_keep_their_size_in_micrometres(mpp: float) -> None:
    side = round(240 / mpp)
    spec = FieldSpec(
        width_px=side, height_px=side, mpp=mpp,
        composition=Composition(architecture="sheet"), morphology=Morphology(cell_um=13.0),
    )  # fmt: skip
    field = render_field(spec, 2)
    r = field.cells.outline_r_um[field.cells.cell_class == 0]
    area = 0.5 * np.sin(2 * np.pi / N_RAYS) * (r * np.roll(r, -1, axis=1)).sum(axis=1)
    # Packed cells of 13 µm: π/4 · 13² = 133 µm².
    assert np.median(area) == pytest.approx(133, rel=0.3)
    assert 100 < (field.cells.cell_class == 0).sum() < 600


def test_classes_and_shapes_of_the_columns() -> None:
    field = render_field(random_field_spec(np.random.default_rng(3)), 3)
    cells = field.cells
    assert field.rgb.shape == (384, 384, 3)
    assert field.rgb.dtype == np.uint8
    assert cells.outline_r_um.shape == cells.ray_od.shape == (cells.n, N_RAYS)
    assert cells.outline_r_um.dtype == cells.ray_od.dtype == np.float32
    assert cells.cell_class.max(initial=0) < len(CELL_CLASSES)
    assert float(cells.outline_r_um.min()) > 0
    assert cells.visible.dtype == np.bool_


def test_glass_has_the_stated_white() -> None:
    spec = FieldSpec(
        composition=Composition(architecture="none", glass_share=0.7),
        appearance=Appearance(white=(231.0, 228.0, 240.0), jpeg_quality=0, gamma=1.1),
    )
    field = render_field(spec, 4)
    # The map and the picture part at the edge by less than 4 µm.
    bare = ndimage.binary_erosion(np.kron(field.region == 0, np.ones((4, 4), bool)), iterations=8)
    assert bare.sum() > 1000
    assert field.rgb[bare].mean(axis=0) == pytest.approx(field.white, abs=1.0)
