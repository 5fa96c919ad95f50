"""What preparation and handling leave on a slide: folds, bubbles and strokes of a pen."""

from __future__ import annotations

import numpy as np

from pathology.synthesis.ground import Layers
from pathology.synthesis.labels import Block
from pathology.synthesis.noise import NoiseBank
from pathology.synthesis.spec import FieldSpec
from pathology.types import AnyArray, BoolArray, FloatArray

__all__ = ["INKS", "Handling", "add_fold", "draw_handling", "ink_and_air"]

#: Optical density of pens in R, G, B: blue, green, red and black markers.
INKS: tuple[tuple[float, float, float], ...] = (
    (0.9, 0.6, 0.1), (0.8, 0.2, 0.6), (0.05, 0.8, 0.7), (1.0, 1.0, 1.0)
)  # fmt: skip


#: Height and length of the waves of a fold's edge, µm, and the noise table that draws them.
_WAVE_UM, _WAVE_SCALE_UM, _WAVE_TABLE = 5.0, 22.0, 8
#: Within this distance of a bubble's edge its shadow darkens everything, µm: twice its sigma.
_RIM_UM = 4.0


class Handling:
    """Hold where folds, bubbles and strokes lie in a field.

    Parameters
    ----------
    folds, strokes
        (k, 4): a point in µm, a direction in radians, and a half width in µm.
    bubbles
        (k, 3): centre and radius in µm.
    inks
        (k,) index into :data:`INKS` for each stroke.
    """

    def __init__(
        self, folds: FloatArray, strokes: FloatArray, bubbles: FloatArray, inks: AnyArray
    ) -> None:
        self.folds, self.strokes, self.bubbles, self.inks = folds, strokes, bubbles, inks

    def hides(self, x_um: AnyArray, y_um: AnyArray, bank: NoiseBank) -> BoolArray:
        """Tell which points nobody should judge: in folds, under ink, at the rim of a bubble."""
        hidden = np.zeros(np.shape(x_um), dtype=np.bool_)
        for line in self.strokes:
            hidden |= np.abs(_across(line, x_um, y_um)) < line[3]
        for line in self.folds:
            wave = _WAVE_UM * bank.at(_WAVE_TABLE, x_um, y_um, _WAVE_SCALE_UM)
            hidden |= np.abs(_across(line, x_um, y_um) + wave) < line[3]
        for cx, cy, radius in self.bubbles:
            hidden |= np.abs(np.hypot(x_um - cx, y_um - cy) - radius) < _RIM_UM
        return hidden


def draw_handling(spec: FieldSpec, rng: np.random.Generator) -> Handling:
    """Draw the artefacts of a field.

    Parameters
    ----------
    spec
        The field; ``appearance`` says how many of each.
    rng
        Source of randomness; it is not touched where there are none.
    """
    look = spec.appearance

    def lines(count: int, low: float, high: float) -> FloatArray:
        place = rng.random((count, 4)) if count else np.zeros((0, 4))
        scale = np.array([spec.width_um, spec.height_um, np.pi, high - low])
        return np.asarray(place * scale + np.array([0, 0, 0, low]), dtype=np.float32)

    folds, strokes = lines(look.folds, 4.0, 18.0), lines(look.pen_strokes, 15.0, 60.0)
    bubbles = rng.random((look.bubbles, 3)) if look.bubbles else np.zeros((0, 3))
    bubbles = bubbles * np.array([spec.width_um, spec.height_um, 60.0]) + np.array([0, 0, 15.0])
    inks = rng.integers(len(INKS), size=look.pen_strokes) if look.pen_strokes else np.zeros(0, int)
    return Handling(folds, strokes, np.asarray(bubbles, dtype=np.float32), inks)


def _across(line: FloatArray, x_um: AnyArray, y_um: AnyArray) -> FloatArray:
    """Return the distance from a line, with its sign."""
    px, py, angle, _ = (float(value) for value in line)
    result = (y_um - py) * np.float32(np.cos(angle)) - (x_um - px) * np.float32(np.sin(angle))
    return np.asarray(result, dtype=np.float32)


def add_fold(handling: Handling, block: Block, bank: NoiseBank, layers: Layers) -> None:
    """Double the tissue along folds, in place.

    Parameters
    ----------
    handling
        Where the folds lie.
    block
        The pixels.
    bank
        Noise for wavy edges.
    layers
        Stain of the block; changed.
    """
    x, y = block.x_um[None, :], block.y_um[:, None]
    for line in handling.folds:
        wave = _WAVE_UM * bank.grid(_WAVE_TABLE, block.x_um, block.y_um, _WAVE_SCALE_UM)
        inside = np.clip((line[3] - np.abs(_across(line, x, y) + wave)) / 1.5, 0, 1)
        for layer in (layers.nuclear, layers.body, layers.brown):
            layer *= 1 + 0.9 * inside


def ink_and_air(handling: Handling, block: Block, bank: NoiseBank) -> FloatArray | None:
    """Return the density of ink and of the rims of bubbles, None where there is neither.

    Parameters
    ----------
    handling
        Where they lie.
    block
        The pixels.
    bank
        Noise for streaks.

    Returns
    -------
    (3, height, width) float32 OD in R, G, B, or None.
    """
    if not (len(handling.strokes) or len(handling.bubbles)):
        return None
    x, y = block.x_um[None, :], block.y_um[:, None]
    od = np.zeros((3, block.height, block.width), dtype=np.float32)
    streak = 1 + 0.2 * bank.grid(9, block.x_um, block.y_um, 6.0)
    for line, ink in zip(handling.strokes, handling.inks, strict=True):
        share = np.clip((line[3] - np.abs(_across(line, x, y))) / 2.0, 0, 1) * streak
        od += np.asarray(INKS[int(ink)], dtype=np.float32)[:, None, None] * share
    for cx, cy, radius in handling.bubbles:
        away = np.hypot(x - cx, y - cy) - radius
        od += (0.5 * np.exp(-((away / 2.0) ** 2)) + 0.06 * (away < 0)).astype(np.float32)
    return od
