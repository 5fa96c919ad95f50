"""Small slides made by mixing stains in optical density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pathology.errors import RegionReadError
from pathology.geometry import Box0, Size0, Spacing
from pathology.types import BoolArray, FloatArray, U8Array
from pathology.wsi.slide import Region, SlideInfo

HAEMATOXYLIN = np.array([0.65111, 0.70119, 0.29049])
DAB = np.array([0.26917, 0.56824, 0.77759])
EOSIN = np.array([0.07, 0.99, 0.11])
GLASS = (236.0, 235.0, 243.0)


class StubSlide:
    """An image in memory behind the slide protocol; area averaging, no pyramid."""

    def __init__(
        self,
        pixels: U8Array,
        *,
        mpp: float = 2.0,
        bounds: Box0 | None = None,
        broken: Box0 | None = None,
    ) -> None:
        height, width = pixels.shape[:2]
        self.pixels, self.broken = pixels, broken
        self.info = SlideInfo(
            path=Path("stub.tif"),
            vendor="array",
            size=Size0(width=width, height=height),
            bounds=bounds or Box0(x=0, y=0, width=width, height=height),
            spacing=Spacing(x=mpp, y=mpp),
            mpp_source="array",
            quickhash="stub",
        )

    def read_region(self, box: Box0, *, mpp: float | Spacing) -> Region:
        if self.broken is not None and self.broken.intersection(box) is not None:
            raise RegionReadError("stub.tif: tile cannot be decoded")
        size = mpp.x if isinstance(mpp, Spacing) else mpp
        columns = max(round(box.width * self.info.spacing.x / size), 1)
        rows = max(round(box.height * self.info.spacing.y / size), 1)
        part = self.pixels[box.y : box.bottom, box.x : box.right]
        y = np.linspace(0, part.shape[0], rows + 1)
        x = np.linspace(0, part.shape[1], columns + 1)
        table = np.pad(part.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0)))
        table = table[np.ix_(y.astype(int), x.astype(int))]
        sums = table[1:, 1:] - table[:-1, 1:] - table[1:, :-1] + table[:-1, :-1]
        areas = np.diff(y.astype(int))[:, None] * np.diff(x.astype(int))[None]
        pixels = np.rint(sums / areas[..., None]).astype(np.uint8)
        return Region(pixels=pixels, data=np.ones((rows, columns), dtype=np.bool_))

    def read(self, box: Box0, *, mpp: float | Spacing) -> U8Array:
        return self.read_region(box, mpp=mpp).pixels

    def close(self) -> None:
        pass

    def __enter__(self) -> StubSlide:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        pass


@dataclass
class Scene:
    """A square of glass in OD to which things are added; sides in µm."""

    side_um: float
    mpp: float
    seed: int = 1

    def __post_init__(self) -> None:
        self.n = round(self.side_um / self.mpp)
        self.rng = np.random.default_rng(self.seed)
        self.od = np.zeros((self.n, self.n, 3))
        self.y, self.x = np.mgrid[: self.n, : self.n] * self.mpp

    def disc(self, x: float, y: float, radius: float) -> BoolArray:
        return (self.x - x) ** 2 + (self.y - y) ** 2 <= radius**2

    def tissue(
        self,
        where: BoolArray,
        *,
        nuclei: float = 0.35,
        stroma: float = 0.04,
        membrane: float = 0.0,
        counter: np.ndarray = HAEMATOXYLIN,
        ground: np.ndarray = HAEMATOXYLIN,
    ) -> None:
        """Nuclei of 7 µm every 14 µm, a textured ground, and DAB between the nuclei."""
        spots = self.rng.random((self.n, self.n)) < (self.mpp / 14.0) ** 2
        far = ndimage.distance_transform_edt(~spots) * self.mpp
        blobs = far < 3.5
        rough = ndimage.gaussian_filter(self.rng.normal(size=(self.n, self.n)), 10 / self.mpp)
        rough = 1 + 0.5 * rough / rough.std()
        self.od += (where * blobs * nuclei)[..., None] * counter
        self.od += (where * stroma * np.clip(rough, 0.1, 2))[..., None] * ground
        ring = (far > 3.5) & (far < 6.5)
        self.od += (where * ring * membrane)[..., None] * DAB

    def add(self, where: BoolArray | FloatArray, colour: tuple[float, float, float]) -> None:
        """Add OD per channel."""
        self.od += np.asarray(where, dtype=float)[..., None] * np.asarray(colour)

    def render(self, glass: tuple[float, float, float] = GLASS, noise: float = 1.5) -> U8Array:
        image = np.asarray(glass) * 10.0**-self.od
        image += self.rng.normal(scale=noise, size=image.shape)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def slide(self, glass: tuple[float, float, float] = GLASS, noise: float = 1.5) -> StubSlide:
        return StubSlide(self.render(glass, noise), mpp=self.mpp)


@pytest.fixture
def scene() -> Callable[..., Scene]:
    """Make a scene: ``scene(side_um, mpp, seed)``."""

    def make(side_um: float = 1600.0, mpp: float = 2.0, seed: int = 1) -> Scene:
        return Scene(side_um=side_um, mpp=mpp, seed=seed)

    return make


@pytest.fixture
def stub() -> type[StubSlide]:
    """The slide stub, for images that are not scenes."""
    return StubSlide
