"""Separate haematoxylin from DAB: two stains out of three colour channels.

This is the one definition of "amount of DAB" in the program. With the unit vectors ``h`` and ``d``
of the two stains, and ``r = h × d / |h × d|`` for what neither explains, the matrix ``M`` has the
rows ``h``, ``d``, ``r``. A pixel's density is ``od = (c_h, c_d, c_r) · M``, so that
``(c_h, c_d, c_r) = od · M⁻¹``; the first two coefficients are the answer, the third (the residual)
is dropped. Coefficients are not cut at 0: noise has to average out. As ``h`` and ``d`` are unit
vectors, a coefficient is the length of that stain's part of the density vector, in decadic
absorbance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pathology.types import AnyArray, FloatArray

__all__ = ["StainMatrix", "unmix"]

#: Smallest sine of the angle between the two stain vectors. H and DAB are 36.9° apart (0.60); below
#: 3° the inverse would multiply noise twenty-fold and the amounts would mean nothing.
MIN_SINE = 0.05


@dataclass(frozen=True, kw_only=True)
class StainMatrix:
    """Hold the optical-density vectors of haematoxylin and DAB.

    Parameters
    ----------
    haematoxylin, dab
        Decadic OD in R, G, B of each stain; any length above 0, normalised here.

    Raises
    ------
    ValueError
        If a vector is not three finite numbers, has no length, or the two are nearly parallel.

    Examples
    --------
    >>> stains = StainMatrix(
    ...     haematoxylin=(0.65111, 0.70119, 0.29049), dab=(0.26917, 0.56824, 0.77759)
    ... )
    >>> stains.matrix[2].round(3).tolist()
    [0.633, -0.713, 0.302]
    >>> round(stains.condition_number, 1)
    3.0
    """

    haematoxylin: tuple[float, float, float]
    dab: tuple[float, float, float]

    def __post_init__(self) -> None:
        h, d = _unit(self.haematoxylin), _unit(self.dab)
        if float(np.linalg.norm(np.cross(h, d))) < MIN_SINE:
            raise ValueError("the stain vectors of haematoxylin and DAB are nearly parallel")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) float64 with the unit rows haematoxylin, DAB, residual."""
        h, d = _unit(self.haematoxylin), _unit(self.dab)
        residual = np.cross(h, d)
        return np.stack([h, d, residual / np.linalg.norm(residual)])

    @property
    def inverse(self) -> NDArray[np.float64]:
        """(3, 3) float64: ``od @ inverse`` gives the amounts of haematoxylin, DAB, residual."""
        return np.asarray(np.linalg.inv(self.matrix), dtype=np.float64)

    @property
    def weights(self) -> FloatArray:
        """(3, 2) float32: ``od @ weights`` gives the amounts of haematoxylin and DAB."""
        return np.ascontiguousarray(self.inverse[:, :2], dtype=np.float32)

    @property
    def condition_number(self) -> float:
        """By how much the separation may magnify relative noise."""
        return float(np.linalg.cond(self.matrix))

    def unmix(self, od: AnyArray) -> FloatArray:
        """Separate optical densities into amounts of haematoxylin and DAB.

        Parameters
        ----------
        od
            (..., 3) float, decadic OD in R, G, B.

        Returns
        -------
        numpy.ndarray
            (..., 2) float32, amounts of haematoxylin and DAB as OD, not cut at 0.
        """
        return _combine(np.asarray(od, dtype=np.float32), self.weights)

    def mix(self, amounts: AnyArray) -> FloatArray:
        """Return the optical density of given amounts: the inverse of :meth:`unmix`.

        Parameters
        ----------
        amounts
            (..., 2) float, amounts of haematoxylin and DAB as OD.

        Returns
        -------
        numpy.ndarray
            (..., 3) float32, decadic OD in R, G, B, with no residual.
        """
        rows = self.matrix[:2].astype(np.float32)
        return _combine(np.asarray(amounts, dtype=np.float32), rows)


def unmix(od: AnyArray, haematoxylin: Sequence[float], dab: Sequence[float]) -> FloatArray:
    """Separate optical densities into amounts of haematoxylin and DAB.

    Parameters
    ----------
    od
        (..., 3) float, decadic OD in R, G, B (:func:`pathology.stain.optical_density`).
    haematoxylin, dab
        Decadic OD in R, G, B of each stain; normalised to unit length here.

    Returns
    -------
    numpy.ndarray
        (..., 2) float32: amounts of haematoxylin and DAB as OD, not cut at 0.

    Raises
    ------
    ValueError
        If a vector is not three finite numbers, has no length, or the two are nearly parallel.

    Examples
    --------
    >>> import numpy as np
    >>> from pathology.stain import optical_density
    >>> rgb = np.array([121, 61, 39], dtype=np.uint8)  # H 0.05 and DAB 1.0 on a background of 243
    >>> od = optical_density(rgb, (243.0, 243.0, 243.0))
    >>> unmix(od, (0.65111, 0.70119, 0.29049), (0.26917, 0.56824, 0.77759)).round(2).tolist()
    [0.05000000074505806, 1.0]
    """
    h, d = _three(haematoxylin), _three(dab)
    return StainMatrix(haematoxylin=h, dab=d).unmix(od)


def _combine(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Multiply (..., n) by (n, m), summing n in order.

    Written out, because a matrix product may sum in another order for another array shape, and then
    the same pixel would differ in its last bit from one tile to the next.
    """
    out = np.multiply(values[..., :1], weights[0])
    for index in range(1, weights.shape[0]):
        out += values[..., index : index + 1] * weights[index]
    return np.asarray(out, dtype=np.float32)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) != 3:
        raise ValueError(f"a stain vector has three values, not {len(values)}")
    return float(values[0]), float(values[1]), float(values[2])


def _unit(values: Sequence[float]) -> NDArray[np.float64]:
    length = math.sqrt(sum(value * value for value in _three(values)))
    if not math.isfinite(length) or length <= 0:
        raise ValueError(f"a stain vector must be finite and not zero, not {tuple(values)!r}")
    return np.asarray(values, dtype=np.float64) / length
