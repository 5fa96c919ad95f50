"""What a synthetic field shall show: composition, staining, appearance. All frozen and checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

__all__ = [
    "ARCHITECTURES",
    "Appearance",
    "Composition",
    "FieldSpec",
    "Morphology",
    "PatternMix",
    "Staining",
]

#: Growth patterns of the invasive tumour; ``none`` gives a field without tumour.
ARCHITECTURES: tuple[str, ...] = (
    "solid",
    "sheet",
    "gland",
    "papillary",
    "cord",
    "micropapillary",
    "single",
    "none",
)


def _check(owner: object, low: float, high: float, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(
                f"{type(owner).__name__}.{name} must be {low} to {high}, not {value!r}"
            )


@dataclass(frozen=True, kw_only=True)
class PatternMix:
    """Hold the wanted shares of the five membrane patterns; they sum to 1.

    Examples
    --------
    >>> PatternMix(unstained=0.65, incomplete_faint=0.35).as_tuple()
    (0.65, 0.35, 0.0, 0.0, 0.0)
    """

    unstained: float = 1.0
    incomplete_faint: float = 0.0
    incomplete_moderate_intense: float = 0.0
    complete_weak_moderate: float = 0.0
    complete_intense: float = 0.0

    def __post_init__(self) -> None:
        _check(self, 0.0, 1.0, *(item.name for item in fields(self)))
        if abs(sum(self.as_tuple()) - 1.0) > 1e-6:
            raise ValueError(f"the shares of a pattern mix must sum to 1, not {self.as_tuple()}")

    def as_tuple(self) -> tuple[float, float, float, float, float]:
        """Return the shares in the order of :data:`pathology.cells.PATTERNS`."""
        return (
            self.unstained,
            self.incomplete_faint,
            self.incomplete_moderate_intense,
            self.complete_weak_moderate,
            self.complete_intense,
        )


@dataclass(frozen=True, kw_only=True)
class Composition:
    """Say which tissues a field holds, as shares of its area (0 to 1) or as counts.

    Parameters
    ----------
    architecture, second_architecture
        Growth patterns of the tumour, from :data:`ARCHITECTURES`; the second fills a part.
    tumour_share
        Share of the tissue that is tumour epithelium with its lumina.
    in_situ, normal_ducts, vessels, fat_cells
        How many of each lie in the field (or per mm² of a slide, times the area).
    lymphoid_share, muscle_share, necrosis_share, glass_share
        Shares of the field.
    looseness
        0 dense collagen, 1 loose, frothy stroma.
    stroma_cells_per_mm2, immune_cells_per_mm2
        Cells strewn through the stroma.
    immune_in_epithelium_per_mm2
        Lymphocytes among epithelial cells.
    single_cells_per_mm2
        Tumour cells that lie alone in the stroma.
    plump_stroma
        Share of the nuclei of stroma and muscle that are large and vesicular, as in activated
        fibroblasts, endothelium and smooth muscle: by shape alone they pass for tumour.
    fascicle_gap
        Share of the muscle that is empty clefts between its fascicles, as thin sections tear.
    red_cell_share
        Share of the stroma that red cells have leaked into.
    mucin_share
        Share of the stroma that is mucin.
    """

    architecture: str = "solid"
    second_architecture: str = "none"
    tumour_share: float = 0.55
    in_situ: int = 0
    normal_ducts: int = 0
    vessels: int = 1
    fat_cells: int = 0
    lymphoid_share: float = 0.0
    muscle_share: float = 0.0
    necrosis_share: float = 0.0
    glass_share: float = 0.0
    looseness: float = 0.3
    stroma_cells_per_mm2: float = 1500.0
    immune_cells_per_mm2: float = 400.0
    immune_in_epithelium_per_mm2: float = 40.0
    single_cells_per_mm2: float = 0.0
    plump_stroma: float = 0.2
    fascicle_gap: float = 0.0
    red_cell_share: float = 0.0
    mucin_share: float = 0.0

    def __post_init__(self) -> None:
        for name in (self.architecture, self.second_architecture):
            if name not in ARCHITECTURES:
                raise ValueError(f"architecture must be one of {ARCHITECTURES}, not {name!r}")
        _check(
            self, 0.0, 1.0, "tumour_share", "lymphoid_share", "muscle_share", "necrosis_share",
            "glass_share", "looseness", "plump_stroma", "fascicle_gap", "red_cell_share",
            "mucin_share",
        )  # fmt: skip
        _check(self, 0, 10000, "in_situ", "normal_ducts", "vessels", "fat_cells")
        _check(
            self, 0.0, 20000.0,
            "stroma_cells_per_mm2", "immune_cells_per_mm2", "single_cells_per_mm2",
            "immune_in_epithelium_per_mm2",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Morphology:
    """Describe the tumour's cells.

    Parameters
    ----------
    cell_um
        Diameter of a polygonal cell, µm.
    columnar_width_um, columnar_height_um
        Width and height of a gland's cells, µm.
    nucleus_um
        Mean diameter of the nucleus, µm.
    pleomorphism
        Relative spread of nuclear and cell size.
    vesicular
        Share of nuclei that are pale with a rim and nucleoli; the rest are dense.
    missing_nuclei
        Share of cells whose nucleus is not in the plane of the section.
    vacuolated, signet
        Share of cells with a vacuole in the cytoplasm, and of signet-ring-like cells.
    scale_um
        Size of nests and glands, µm.
    debris
        0 clean lumina, 1 lumina full of debris.
    chromatin
        0 smooth nuclei, 1 coarse, clumped chromatin.
    rim
        Prominence of the nuclear membrane in vesicular nuclei, 0 to 2.
    smudged
        Share of tumour cells that are dark, shrunken and spindle-shaped (crushed or dying).
    retraction_um
        Width of the empty cleft between tumour and stroma, µm.
    """

    cell_um: float = 13.0
    columnar_width_um: float = 7.0
    columnar_height_um: float = 24.0
    nucleus_um: float = 8.0
    pleomorphism: float = 0.15
    vesicular: float = 0.6
    missing_nuclei: float = 0.06
    vacuolated: float = 0.03
    signet: float = 0.0
    scale_um: float = 30.0
    debris: float = 0.3
    chromatin: float = 0.5
    rim: float = 1.0
    smudged: float = 0.0
    retraction_um: float = 0.0

    def __post_init__(self) -> None:
        _check(self, 6.0, 40.0, "cell_um")
        _check(self, 4.0, 20.0, "columnar_width_um")
        _check(self, 6.0, 70.0, "columnar_height_um")
        _check(self, 4.0, 20.0, "nucleus_um")
        _check(self, 0.0, 0.6, "pleomorphism")
        _check(self, 0.0, 1.0, "vesicular", "missing_nuclei", "vacuolated", "signet", "debris")
        _check(self, 0.0, 1.0, "chromatin", "smudged")
        _check(self, 0.0, 2.0, "rim")
        _check(self, 0.0, 30.0, "retraction_um")
        _check(self, 8.0, 200.0, "scale_um")


@dataclass(frozen=True, kw_only=True)
class Staining:
    """Say how the membranes are stained.

    Parameters
    ----------
    tumour, in_situ, normal
        Pattern mixes of the three epithelia.
    patch_um
        Size of the regions in which neighbouring cells stain alike, µm.
    scatter
        Cell-to-cell spread of staining against that of the regions, 0 to 2.
    basolateral
        0: staining is spread evenly over the outline; 1: the luminal side stays free.
    width_scale
        Factor on the membrane's width.
    blush_od
        Mean DAB OD of the cytoplasm of stained tumour cells.
    background_od
        DAB OD of all tissue (non-specific).
    stray
        Share of non-tumour cells with brown cytoplasm or nuclei.
    granularity
        Relative ripple of the OD along a membrane.
    tangential
        Share of the epithelium cut tangentially, where membranes are smeared and nuclei rare.
    edge_od
        DAB OD of the artefact along the tissue's edge.
    precipitate
        OD of brown grains strewn over the slide.
    brown_nuclei
        Share of tumour nuclei that are brown, as a nuclear stain or diffusion would make them.
    """

    tumour: PatternMix = field(default_factory=PatternMix)
    in_situ: PatternMix = field(default_factory=PatternMix)
    normal: PatternMix = field(default_factory=PatternMix)
    patch_um: float = 60.0
    scatter: float = 0.5
    basolateral: float = 0.0
    width_scale: float = 1.0
    blush_od: float = 0.03
    background_od: float = 0.0
    stray: float = 0.02
    granularity: float = 0.15
    tangential: float = 0.0
    edge_od: float = 0.0
    precipitate: float = 0.0
    brown_nuclei: float = 0.0

    def __post_init__(self) -> None:
        _check(self, 5.0, 1000.0, "patch_um")
        _check(self, 0.0, 2.0, "scatter")
        _check(self, 0.0, 1.0, "basolateral", "stray", "granularity", "tangential")
        _check(self, 0.0, 1.0, "brown_nuclei")
        _check(self, 0.4, 2.0, "width_scale")
        _check(self, 0.0, 0.5, "blush_od", "background_od", "edge_od")
        _check(self, 0.0, 2.0, "precipitate")


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """Describe stains, optics and camera.

    Parameters
    ----------
    white
        R, G, B of bare glass.
    haematoxylin, dab
        Stain vectors (R, G, B), any length above 0.
    h_strength
        Factor on all haematoxylin.
    h_contrast
        Nuclei against cytoplasm: 1 is usual, below 1 is flat.
    dab_gain
        Factor of the laboratory on all DAB that is seen; it changes the truth as well.
    cytoplasm_od, stroma_od
        OD of cytoplasm and collagen.
    tint
        0: cytoplasm has haematoxylin's hue; 1: grey.
    blur_um
        Sigma of the point spread function, µm.
    sharpen
        Amount of unsharp masking (the scanner's), 0 to 3.
    noise
        Standard deviation of camera noise, grey levels.
    jpeg_quality
        Quality of the JPEG round trip; 0 for none.
    jpeg_subsampling
        0: colour at full resolution (what is left of it when a scan of half the pixel size is read
        at this one); 2: colour at half resolution in x and y.
    gamma, contrast, brightness
        Tone curve: gamma, factor about mid grey, offset in grey levels.
    dirt
        Specks of dirt per mm².
    red_cell_od
        OD of the rims of red cells: pale, or dark where they refract.
    folds, bubbles, pen_strokes
        How many of each cross the field (or slide).
    eosin
        True for an H&E slide: eosin takes the place of DAB, membranes are not stained.
    """

    white: tuple[float, float, float] = (240.0, 240.0, 243.0)
    haematoxylin: tuple[float, float, float] = (0.65111, 0.70119, 0.29049)
    dab: tuple[float, float, float] = (0.26917, 0.56824, 0.77759)
    h_strength: float = 1.0
    h_contrast: float = 1.0
    dab_gain: float = 1.0
    cytoplasm_od: float = 0.08
    stroma_od: float = 0.08
    tint: float = 0.3
    blur_um: float = 0.4
    sharpen: float = 0.0
    noise: float = 1.5
    jpeg_quality: int = 85
    jpeg_subsampling: int = 2
    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    dirt: float = 0.0
    red_cell_od: float = 0.2
    folds: int = 0
    bubbles: int = 0
    pen_strokes: int = 0
    eosin: bool = False

    def __post_init__(self) -> None:
        if not all(150 <= value <= 255 for value in self.white):
            raise ValueError(f"white must be 150 to 255 in each channel, not {self.white}")
        for vector in (self.haematoxylin, self.dab):
            if len(vector) != 3 or min(vector) < 0 or sum(vector) <= 0:
                raise ValueError(f"a stain vector has three values from 0 up, not {vector}")
        _check(self, 0.1, 4.0, "h_strength", "dab_gain", "h_contrast")
        _check(self, 0.0, 0.5, "cytoplasm_od", "stroma_od")
        _check(self, 0.0, 1.0, "tint")
        _check(self, 0.0, 5.0, "blur_um", "sharpen")
        _check(self, 0.0, 20.0, "noise")
        _check(self, 0, 100, "jpeg_quality")
        _check(self, 0.3, 3.0, "gamma", "contrast")
        _check(self, -100.0, 100.0, "brightness")
        _check(self, 0.0, 5000.0, "dirt")
        _check(self, 0, 2, "jpeg_subsampling")
        _check(self, 0.0, 1.5, "red_cell_od")
        _check(self, 0, 20, "folds", "bubbles", "pen_strokes")


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """Describe one field of view.

    Parameters
    ----------
    width_px, height_px
        Size in pixels, 16 to 8192.
    mpp
        Pixel size in µm, 0.2 to 2.
    composition, morphology, staining, appearance
        What it shows.

    Raises
    ------
    ValueError
        If a value is out of its range.

    Examples
    --------
    >>> FieldSpec(width_px=64, height_px=64).width_um
    32.0
    """

    width_px: int = 384
    height_px: int = 384
    mpp: float = 0.5
    composition: Composition = field(default_factory=Composition)
    morphology: Morphology = field(default_factory=Morphology)
    staining: Staining = field(default_factory=Staining)
    appearance: Appearance = field(default_factory=Appearance)

    def __post_init__(self) -> None:
        _check(self, 16, 8192, "width_px", "height_px")
        _check(self, 0.2, 2.0, "mpp")

    @property
    def width_um(self) -> float:
        """Width in µm."""
        return self.width_px * self.mpp

    @property
    def height_um(self) -> float:
        """Height in µm."""
        return self.height_px * self.mpp
