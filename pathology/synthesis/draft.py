"""Draw a layout: tumour first, then other tissues, ducts, vessels and fat."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from pathology.synthesis.layout import (
    BACKGROUND,
    FAR_UM,
    FAT,
    IN_SITU,
    LUMEN,
    LYMPHOID,
    MUSCLE,
    NECROSIS,
    NORMAL,
    STEP_UM,
    STROMA,
    TUMOUR,
    VESSEL,
    Compartment,
    Layout,
    grid_shape,
    signed_distance,
)
from pathology.synthesis.noise import smooth_field
from pathology.synthesis.spec import FieldSpec
from pathology.types import AnyArray, BoolArray, FloatArray, U8Array

__all__ = ["build_layout"]

_Window = tuple[slice, slice]
_ALL: _Window = (slice(None), slice(None))


@dataclass
class _Draft:
    """A layout being drawn: later pieces cut into earlier ones."""

    sdf: FloatArray
    owner: U8Array
    ground: U8Array
    hole: FloatArray
    hole_kind: U8Array
    tissue: FloatArray
    kinds: list[Compartment] = field(default_factory=list)

    def add(
        self, distance: FloatArray, number: int, *, wall_um: float = 6.0, at: _Window = _ALL
    ) -> None:
        """Put an epithelium over what is there, with a wall of stroma around it."""
        old = np.minimum(self.sdf[at], -distance - wall_um)
        self.owner[at][distance > old] = number
        self.sdf[at] = np.maximum(old, distance)

    def carve(self, distance: FloatArray, code: int, at: _Window) -> None:
        """Put a hole (vessel or fat cell) where there is no epithelium."""
        self.hole_kind[at][distance > self.hole[at]] = code
        self.hole[at] = np.maximum(self.hole[at], distance)
        self.sdf[at] = np.minimum(self.sdf[at], -distance - 4.0)

    def number(self, kind: Compartment) -> int:
        """Register a compartment and return its owner number."""
        self.kinds.append(kind)
        return len(self.kinds)

    def window(self, centre: AnyArray, reach: int) -> _Window | None:
        """Return the part of the grid within ``reach`` cells of a place, None if none."""
        low = np.maximum(np.rint(centre).astype(int) - reach, 0)
        high = np.minimum(np.rint(centre).astype(int) + reach, self.sdf.shape)
        if (high <= low).any():
            return None
        return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def build_layout(
    spec: FieldSpec, rng: np.random.Generator, tissue: FloatArray | None = None
) -> Layout:
    """Draw where each tissue of a field lies.

    Parameters
    ----------
    spec
        The field.
    rng
        Source of randomness.
    tissue
        Distance in µm to the tissue's edge on the layout grid; None draws it from ``glass_share``.
    """
    shape = grid_shape(spec)
    far = np.full(shape, -FAR_UM, dtype=np.float32)
    if tissue is None:
        tissue = _tissue(spec, rng, shape)
    draft = _Draft(
        sdf=far.copy(), owner=np.zeros(shape, np.uint8), ground=np.full(shape, STROMA, np.uint8),
        hole=far.copy(), hole_kind=np.zeros(shape, np.uint8), tissue=tissue,
    )  # fmt: skip
    _add_tumour(draft, spec, rng)
    grounds = _add_grounds(draft, spec, rng)
    _add_ducts(draft, spec, rng)
    _add_holes(draft, spec, rng)
    draft.ground[draft.tissue <= 0] = BACKGROUND
    draft.sdf = np.minimum(draft.sdf, draft.tissue)
    stream, cross = _fibres(rng, shape)
    loose = np.clip(
        spec.composition.looseness + 0.35 * smooth_field(rng, shape, 45.0 / STEP_UM), 0.0, 1.0
    ).astype(np.float32)
    return Layout(
        width_um=spec.width_um, height_um=spec.height_um, sdf=draft.sdf, owner=draft.owner,
        compartments=tuple(draft.kinds), ground=draft.ground, hole=draft.hole,
        hole_kind=draft.hole_kind, tissue=draft.tissue, stream=stream, cross=cross, loose=loose,
        muscle=grounds[MUSCLE], necrosis=grounds[NECROSIS], mucin=grounds[LUMEN],
    )  # fmt: skip


def _quantile_mask(noise: FloatArray, share: float) -> BoolArray:
    if share <= 0:
        return np.zeros(noise.shape, dtype=bool)
    if share >= 1:
        return np.ones(noise.shape, dtype=bool)
    return np.asarray(noise > np.quantile(noise, 1 - share))


def _tissue(spec: FieldSpec, rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    share = spec.composition.glass_share
    if share <= 0:
        return np.full(shape, FAR_UM, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.indices(shape, dtype=np.float32)
    slope = (rows * np.sin(angle) + columns * np.cos(angle)) / max(shape)
    edge = slope + 0.06 * smooth_field(rng, shape, 22.0 / STEP_UM)
    return signed_distance(_quantile_mask(edge.astype(np.float32), 1 - share))


def _fibres(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    angle = rng.uniform(0, np.pi)
    rows, columns = np.indices(shape, dtype=np.float32)
    x, y = columns * STEP_UM, rows * STEP_UM
    bend = rng.uniform(8, 30) * smooth_field(rng, shape, 45.0 / STEP_UM)
    stream = (x * np.cos(angle) + y * np.sin(angle) + bend).astype(np.float32)
    cross = (y * np.cos(angle) - x * np.sin(angle)).astype(np.float32)
    return stream, cross


def _tumour_kind(spec: FieldSpec, architecture: str, rng: np.random.Generator) -> Compartment:
    shape = spec.morphology
    base = Compartment(
        group=0, region=TUMOUR, columnar=False, height_um=FAR_UM, cell_um=shape.cell_um,
        cleft_um=shape.retraction_um,
        width_um=shape.columnar_width_um, nucleus_um=shape.nucleus_um, spread=shape.pleomorphism,
    )  # fmt: skip
    if architecture in ("gland", "papillary"):
        # Some glands have one row of tall cells, others several rows of narrow cells.
        rows = rng.random() < 0.4
        return replace(
            base, columnar=not rows, height_um=shape.columnar_height_um * (1.25 if rows else 1.0),
            cell_um=float(rng.uniform(0.65, 0.85)) * base.cell_um if rows else base.cell_um,
            stretch=float(rng.uniform(1.3, 2.2)), mucin=float(rng.uniform(0, 1)) * (not rows),
        )  # fmt: skip
    if architecture == "micropapillary":
        return replace(base, cleft_um=float(rng.uniform(3, 10)))
    return base


def _tumour_mask(
    spec: FieldSpec, architecture: str, rng: np.random.Generator, shape: tuple[int, int]
) -> BoolArray:
    scale = spec.morphology.scale_um
    share = spec.composition.tumour_share
    if architecture == "micropapillary":
        scale = min(scale, 16.0)
    if architecture in ("gland", "papillary"):
        # Lumina open where a nest is wider than two epithelia: nests must be about that wide.
        scale = spec.morphology.columnar_height_um * float(rng.uniform(0.7, 1.25))
    noise = smooth_field(rng, shape, scale / STEP_UM)
    if architecture == "cord":
        # |slope| of the noise is about 1/scale, so this makes bands of about one and a half cells.
        return np.asarray(np.abs(noise) < 0.75 * spec.morphology.cell_um / scale)
    if architecture == "papillary":
        return np.asarray(np.abs(noise) > np.quantile(np.abs(noise), min(1 - share, 0.35)))
    if architecture == "sheet":
        share = max(share, 0.9)
    noise += 0.3 * smooth_field(rng, shape, scale / 3 / STEP_UM)
    return _quantile_mask(noise, share)


def _add_tumour(draft: _Draft, spec: FieldSpec, rng: np.random.Generator) -> None:
    shape = (draft.sdf.shape[0], draft.sdf.shape[1])
    names = [spec.composition.architecture, spec.composition.second_architecture]
    names = [name for name in names if name not in ("none", "single")]
    zone = smooth_field(rng, shape, 80.0 / STEP_UM) if len(names) > 1 else None
    for place, name in enumerate(names):
        mask = _tumour_mask(spec, name, rng, shape)
        if zone is not None:
            mask &= (zone > 0) if place else (zone <= 0)
        draft.add(signed_distance(mask), draft.number(_tumour_kind(spec, name, rng)), wall_um=3.0)


def _add_grounds(draft: _Draft, spec: FieldSpec, rng: np.random.Generator) -> dict[int, FloatArray]:
    """Lay out muscle, lymphoid tissue, necrosis and mucin; return their distances by code."""
    parts = spec.composition
    shape = (draft.sdf.shape[0], draft.sdf.shape[1])
    found = {}
    for code, share, scale in (
        (MUSCLE, parts.muscle_share, 60.0),
        (LYMPHOID, parts.lymphoid_share, 35.0),
        (NECROSIS, parts.necrosis_share, 40.0),
        (LUMEN, parts.mucin_share, 50.0),
    ):
        if share <= 0:
            found[code] = np.full(shape, -FAR_UM, np.float32)
            continue
        distance = signed_distance(_quantile_mask(smooth_field(rng, shape, scale / STEP_UM), share))
        draft.ground[distance > 0] = code
        if code != LUMEN:
            draft.sdf = np.minimum(draft.sdf, -distance - 3.0)
        found[code] = distance
    return found


def _blob(
    draft: _Draft, centre: AnyArray, radius_um: float, rng: np.random.Generator, rough: float
) -> tuple[FloatArray, _Window] | None:
    """Return the signed distance (about) of a round shape with a wavy edge, and its window."""
    window = draft.window(centre, int(1.7 * radius_um / STEP_UM) + 8)
    if window is None:
        return None
    y, x = np.ogrid[window]
    dy = (y.astype(np.float32) - centre[0]) * STEP_UM
    dx = (x.astype(np.float32) - centre[1]) * STEP_UM
    stretch, turn = rng.uniform(0.75, 1.0), rng.uniform(0, np.pi)
    u = dx * np.cos(turn) + dy * np.sin(turn)
    v = (dy * np.cos(turn) - dx * np.sin(turn)) / stretch
    angle = np.arctan2(v, u)
    edge = 1 + sum(
        rough / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5)
    )
    return np.asarray(radius_um * edge - np.hypot(u, v), dtype=np.float32), window


def _add_ducts(draft: _Draft, spec: FieldSpec, rng: np.random.Generator) -> None:
    shape = (draft.sdf.shape[0], draft.sdf.shape[1])
    for _ in range(spec.composition.in_situ):
        radius = float(rng.uniform(35, 110))
        kind = Compartment(
            group=1, region=IN_SITU, columnar=False,
            height_um=float(rng.choice([FAR_UM, rng.uniform(18, 45)])),
            core=int(rng.choice([NECROSIS, LUMEN])), cell_um=spec.morphology.cell_um,
            nucleus_um=spec.morphology.nucleus_um, spread=spec.morphology.pleomorphism,
            myoepithelium=True,
        )  # fmt: skip
        _paste(draft, rng.random(2) * shape, radius, draft.number(kind), rng)
    for _ in range(spec.composition.normal_ducts):
        columnar = bool(rng.random() < 0.6)
        height = float(rng.uniform(9, 16))
        kind = Compartment(
            group=2, region=NORMAL, columnar=columnar, height_um=height,
            cell_um=float(rng.uniform(8, 10.5)), width_um=float(rng.uniform(6, 8)),
            nucleus_um=float(rng.uniform(5.5, 7)), spread=0.07, mucin=float(rng.uniform(0, 1)),
            myoepithelium=bool(rng.random() < 0.7),
        )  # fmt: skip
        centre, number = rng.random(2) * shape, draft.number(kind)
        # A lobule: a handful of small acini; or one duct.
        for _ in range(int(rng.integers(1, 7))):
            radius = height * float(rng.uniform(1.1, 2.2))
            _paste(draft, centre, radius, number, rng)
            centre = centre + rng.normal(0, 2.6 * radius / STEP_UM, 2)


def _paste(
    draft: _Draft, centre: AnyArray, radius_um: float, number: int, rng: np.random.Generator
) -> None:
    blob = _blob(draft, centre, radius_um, rng, rough=0.12)
    if blob is not None:
        draft.add(blob[0], number, at=blob[1])


def _add_holes(draft: _Draft, spec: FieldSpec, rng: np.random.Generator) -> None:
    shape = draft.sdf.shape
    for code, count, low, high in (
        (VESSEL, spec.composition.vessels, 5.0, 22.0),
        (FAT, spec.composition.fat_cells, 20.0, 42.0),
    ):
        for _ in range(count):
            centre, radius = rng.random(2) * shape, float(rng.uniform(low, high))
            row, column = centre.astype(int)
            if draft.tissue[row, column] < radius:
                continue  # no hole in the glass or in the tissue's edge
            if code == VESSEL and draft.sdf[row, column] > -4.0:
                continue  # vessels lie in the stroma
            blob = _blob(draft, centre, radius, rng, rough=0.12)
            if blob is not None:
                draft.carve(blob[0], code, blob[1])
