"""What a synthetic slide shall show, and the field specification that this makes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pathology.synthesis.spec import (
    ARCHITECTURES,
    Appearance,
    Composition,
    FieldSpec,
    Morphology,
    PatternMix,
    Staining,
)

__all__ = ["SCORES", "SLIDE_KINDS", "SlideSpec", "score_mix"]

#: Targets of a scorable slide; ``0_ultralow`` is scored 0.
SCORES: tuple[str, ...] = ("0", "0_ultralow", "1+", "2+", "3+")
#: ``ihc`` holds tumour; the others must not be given a score.
SLIDE_KINDS: tuple[str, ...] = (
    "ihc",
    "muscle",
    "stroma_only",
    "blank",
    "he",
    "fat",
    "lymph_node",
    "unstained",
    "out_of_focus",
    "aec",
    "fluorescence",
)
#: Kinds that show tumour, scorable or not.
_WITH_TUMOUR = ("ihc", "he", "unstained", "out_of_focus", "aec", "fluorescence")
#: The red chromogen amino-ethyl-carbazole, as in ImageJ's colour deconvolution.
_AEC = (0.2743, 0.6796, 0.6803)

#: Shares that lie well away from every 10 % cut-off of the guideline ...
_CLEAR: dict[str, PatternMix] = {
    "0": PatternMix(),
    "0_ultralow": PatternMix(unstained=0.955, incomplete_faint=0.045),
    "1+": PatternMix(unstained=0.65, incomplete_faint=0.35),
    "2+": PatternMix(
        unstained=0.30, incomplete_faint=0.25, incomplete_moderate_intense=0.10,
        complete_weak_moderate=0.35,
    ),
    "3+": PatternMix(
        unstained=0.05, incomplete_faint=0.05, incomplete_moderate_intense=0.10,
        complete_weak_moderate=0.15, complete_intense=0.65,
    ),
}  # fmt: skip
#: ... and shares that lie three percentage points from the one that decides.
_NEAR: dict[str, PatternMix] = {
    "0": PatternMix(),
    "0_ultralow": PatternMix(unstained=0.93, incomplete_faint=0.07),
    "1+": PatternMix(unstained=0.87, incomplete_faint=0.13),
    "2+": PatternMix(unstained=0.67, incomplete_faint=0.20, complete_weak_moderate=0.13),
    "3+": PatternMix(
        unstained=0.40, incomplete_faint=0.17, complete_weak_moderate=0.30, complete_intense=0.13
    ),
}


def score_mix(score: str, *, near_cutoff: bool = False) -> PatternMix:
    """Return the pattern mix that gives a score.

    Parameters
    ----------
    score
        One of :data:`SCORES`.
    near_cutoff
        Three percentage points from the deciding cut-off instead of well away from it.

    Raises
    ------
    ValueError
        If the score is not known.

    Examples
    --------
    >>> score_mix("1+").incomplete_faint
    0.35
    """
    if score not in SCORES:
        raise ValueError(f"score must be one of {SCORES}, not {score!r}")
    return (_NEAR if near_cutoff else _CLEAR)[score]


@dataclass(frozen=True, kw_only=True)
class SlideSpec:
    """Describe a synthetic slide.

    Parameters
    ----------
    kind
        One of :data:`SLIDE_KINDS`.
    score
        Target of an ``ihc`` slide, one of :data:`SCORES`.
    near_cutoff
        Put the deciding share three percentage points from its cut-off.
    pieces, piece_mm
        Number of tissue pieces and their diameter in mm.
    mpp
        Pixel size, µm.
    architecture, second_architecture, tumour_share
        How the tumour grows, and its share of the tissue.
    in_situ, normal_ducts
        Ducts per slide.
    in_situ_mix
        Staining of carcinoma in situ; it must never count.
    looseness
        0 dense, 1 loose stroma.
    morphology, appearance
        Cells, stains and camera.

    Raises
    ------
    ValueError
        If a value is out of its range.

    Examples
    --------
    >>> SlideSpec(score="0_ultralow").expected_score
    '0'
    >>> SlideSpec(kind="muscle").expected_score is None
    True
    """

    kind: str = "ihc"
    score: str = "0"
    near_cutoff: bool = False
    pieces: int = 1
    piece_mm: float = 1.4
    mpp: float = 0.5
    architecture: str = "solid"
    second_architecture: str = "gland"
    tumour_share: float = 0.6
    in_situ: int = 0
    normal_ducts: int = 2
    in_situ_mix: PatternMix = field(default_factory=PatternMix)
    looseness: float = 0.4
    morphology: Morphology = field(default_factory=Morphology)
    appearance: Appearance = field(
        default_factory=lambda: Appearance(white=(238.0, 237.0, 244.0), sharpen=0.6)
    )

    def __post_init__(self) -> None:
        if self.kind not in SLIDE_KINDS:
            raise ValueError(f"kind must be one of {SLIDE_KINDS}, not {self.kind!r}")
        score_mix(self.score)
        for name in (self.architecture, self.second_architecture):
            if name not in ARCHITECTURES:
                raise ValueError(f"architecture must be one of {ARCHITECTURES}, not {name!r}")
        if not (1 <= self.pieces <= 6 and 0.1 <= self.piece_mm <= 6.0):
            raise ValueError("pieces must be 1 to 6 and piece_mm 0.1 to 6")

    @property
    def expected_score(self) -> str | None:
        """Score that the truth has; None where no score may be given."""
        if self.kind != "ihc":
            return None
        return self.score.removesuffix("_ultralow")

    @property
    def mix(self) -> PatternMix:
        """Pattern mix of the invasive tumour."""
        if self.kind == "unstained":
            return PatternMix()
        if self.kind == "aec" and self.score.startswith("0"):
            return score_mix("3+")  # without chromogen it would be an ordinary negative slide
        return score_mix(self.score, near_cutoff=self.near_cutoff)

    def field_spec(self, *, glass_um: float) -> FieldSpec:
        """Return the field that holds the whole slide.

        Parameters
        ----------
        glass_um
            Width of bare glass around each piece.
        """
        side = self.piece_mm * 1000
        width = self.pieces * (side + glass_um) + glass_um
        height = side + 2 * glass_um
        bare = self.score == "0"
        return FieldSpec(
            width_px=round(width / self.mpp), height_px=round(height / self.mpp), mpp=self.mpp,
            composition=self._composition(), morphology=self.morphology,
            staining=Staining(
                tumour=self.mix, in_situ=self.in_situ_mix, patch_um=90.0, scatter=0.35,
                blush_od=0.0 if bare else 0.02, stray=0.0 if self.kind == "unstained" else 0.01,
            ),
            appearance=self._appearance(),
        )  # fmt: skip

    def _appearance(self) -> Appearance:
        look = self.appearance
        if self.kind == "he":
            # Routine H&E: eosin as strong as the nuclei of IHC counterstain, nuclei darker than
            # there.
            return replace(look, eosin=True, cytoplasm_od=0.22, stroma_od=0.26, h_strength=1.5)
        if self.kind == "unstained":
            # Tissue refracts and scatters a little light, of all colours alike.
            grey = (1.0, 1.0, 1.0)
            return replace(
                look, haematoxylin=grey, h_strength=0.1, tint=1.0, cytoplasm_od=0.03, stroma_od=0.04
            )
        return replace(look, dab=_AEC) if self.kind == "aec" else look

    def _composition(self) -> Composition:
        area = self.pieces * self.piece_mm**2 * 0.75
        if self.kind == "blank":
            return Composition(architecture="none", tumour_share=0.0, vessels=0)
        tumour = self.kind in _WITH_TUMOUR
        shares = {"muscle": (0.0, 0.85), "lymph_node": (0.92, 0.0), "fat": (0.0, 0.0)}
        lymphoid, muscle = shares.get(self.kind, (0.04, 0.0))
        fat_cells = 0 if tumour else round((4000 if self.kind == "fat" else 6) * area)
        return Composition(
            architecture=self.architecture if tumour else "none",
            second_architecture=self.second_architecture if tumour else "none",
            tumour_share=self.tumour_share if tumour else 0.0,
            in_situ=self.in_situ if tumour else 0,
            normal_ducts=self.normal_ducts if tumour else 0,
            vessels=round(40 * area),
            fat_cells=fat_cells,
            lymphoid_share=lymphoid,
            muscle_share=muscle,
            fascicle_gap=0.12 if muscle else 0.0,
            looseness=self.looseness,
            stroma_cells_per_mm2=600.0 if self.kind == "fat" else 2200.0,
        )
