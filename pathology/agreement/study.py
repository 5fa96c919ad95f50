"""A reader study: the program, its readers, the patients and sites, and all that follows.

One call turns arrays into every figure of ``her2 evaluate``; nothing is read or written here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pathology.agreement.codes import N_SCORES, NO_SCORE, NOT_READ
from pathology.agreement.comparison import Comparison, compare_readings
from pathology.agreement.consensus import TIE_RULES, TieRule, consensus, ish_negative_by_panel
from pathology.agreement.leave_one_out import LeaveOneOut, leave_one_out
from pathology.agreement.panel_study import PanelAgreement, panel_agreement
from pathology.agreement.sums import Bootstrap
from pathology.agreement.tiers import (
    TierComparison,
    compare_tiers,
    consensus_tiers,
    implied_tiers,
)
from pathology.scoring.tiers import TIER_ORDER
from pathology.types import AnyArray, BoolArray, IntArray

__all__ = ["CONSENSUS", "Evaluation", "Options", "Reference", "Study", "evaluate_study"]

#: Name of the reference that is made of all readers.
CONSENSUS = "consensus"
#: Readings below which a slide has no consensus, where there are several readers.
_MIN_READINGS = 2


@dataclass(frozen=True, kw_only=True)
class Study:
    """Hold a reader study.

    Parameters
    ----------
    slides
        Ids of n slides.
    patient
        (n,) int64: a code per patient.
    sites
        Site of each slide; None where not given.
    program
        (n,) int8: the program's scores, 0 to 3, or -1 without one.
    readers
        Names of r readers, at least one.
    readings
        (n, r) int8: 0 to 3, -1 for "no score", -2 for "not read".
    ish
        (n, r) int8: 1 where the reader's tier says ISH-negative, 0 for another tier, -1 for none.
    program_tier
        (n,) int8: place of the program's tier in ``TIER_ORDER``, -1 without one; None for no tiers.
    tiers
        (n, r) int8: tiers that the readers gave, -1 for none; None for no tiers.

    Raises
    ------
    ValueError
        If shapes or codes do not fit.
    """

    slides: tuple[str, ...]
    patient: IntArray
    sites: tuple[str | None, ...]
    program: AnyArray
    readers: tuple[str, ...]
    readings: AnyArray
    ish: AnyArray
    program_tier: AnyArray | None = None
    tiers: AnyArray | None = None

    def __post_init__(self) -> None:
        n, r = len(self.slides), len(self.readers)
        if r < 1 or len(set(self.readers)) < r:
            raise ValueError("a study needs readers, each named once")
        shapes = (self.patient.shape, self.program.shape, (len(self.sites),))
        if any(shape != (n,) for shape in shapes):
            raise ValueError(f"patient, program and sites must have one entry for {n} slides")
        if self.readings.shape != (n, r) or self.ish.shape != (n, r):
            raise ValueError(f"readings and ish must be {n} slides × {r} readers")
        if n and (self.program.min() < NO_SCORE or self.program.max() >= N_SCORES):
            raise ValueError("the program gives every slide a score or none")
        if n and (self.readings.min() < NOT_READ or self.readings.max() >= N_SCORES):
            raise ValueError("readings hold unknown codes")
        for name, codes, shape in (
            ("program_tier", self.program_tier, (n,)), ("tiers", self.tiers, (n, r)),
        ):  # fmt: skip
            if codes is not None and (
                codes.shape != shape
                or (codes.size and not -1 <= codes.min() <= codes.max() < len(TIER_ORDER))
            ):
                raise ValueError(f"{name} must be {shape} places in the order of the tiers, or -1")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Say how a study is evaluated.

    Parameters
    ----------
    reference
        ``consensus`` or the name of a reader; None takes the only reader, or the consensus.
    ties
        What a tied vote means.
    bootstrap
        How patients are drawn.
    """

    reference: str | None = None
    ties: TieRule = "leave-out"
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    def __post_init__(self) -> None:
        if self.ties not in TIE_RULES:
            raise ValueError(f"ties {self.ties!r} is not one of {', '.join(TIE_RULES)}")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Hold what the program is compared with.

    Parameters
    ----------
    name
        ``consensus`` or a reader's name.
    scores
        (n,) int8.
    ish_negative
        (n,) bool: slides whose 2+ is known to be ISH-negative.
    missing
        Why slides have none, by reason.
    """

    name: str
    scores: AnyArray
    ish_negative: BoolArray
    missing: dict[str, BoolArray]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Hold every figure of a study.

    Parameters
    ----------
    reference
        What the program was compared with.
    program
        The program against the reference.
    by_site
        The same by site, for slides whose site is known, where there are two sites or more.
    by_reader
        The program against each reader.
    panel
        The readers among themselves; None with one reader.
    leave_one_out
        Each reader, and the program, against the other readers; empty with fewer than three.
    tiers
        The program's tiers against those of the reference; None where no reader gave a tier.
    """

    reference: Reference
    program: Comparison
    by_site: tuple[tuple[str, Comparison], ...]
    by_reader: tuple[tuple[str, Comparison], ...]
    panel: PanelAgreement | None
    leave_one_out: tuple[LeaveOneOut, ...]
    tiers: TierComparison | None = None


def make_reference(study: Study, options: Options) -> Reference:
    """Return the scores that the program is compared with.

    Raises
    ------
    ValueError
        If the reference is no reader.
    """
    several = len(study.readers) > 1
    name = options.reference or (CONSENSUS if several else study.readers[0])
    if name in study.readers:
        column = study.readers.index(name)
        scores = study.readings[:, column]
        return Reference(
            name=name,
            scores=scores,
            ish_negative=(scores == 2) & (study.ish[:, column] == 1),
            missing={},
        )
    if name != CONSENSUS:
        raise ValueError(f"there is no reader {name!r}")
    least = _MIN_READINGS if several else 1
    scores, tied = consensus(study.readings, ties=options.ties, min_readings=least)
    read = (study.readings > NOT_READ).sum(axis=1)
    missing = {
        "not_read": read == 0,
        "read_by_one": (read > 0) & (read < least),
        "tie": tied & (scores == NOT_READ),
    }
    negative = (scores == 2) & ish_negative_by_panel(study.readings, study.ish)
    return Reference(name=name, scores=scores, ish_negative=negative, missing=missing)


def evaluate_study(study: Study, options: Options | None = None) -> Evaluation:
    """Evaluate a study.

    Parameters
    ----------
    study
        Readings of slides.
    options
        How.

    Returns
    -------
    Evaluation
        Every figure.

    Raises
    ------
    ValueError
        If the reference is no reader.

    Examples
    --------
    >>> study = Study(slides=("a", "b"), patient=np.arange(2), sites=(None, None),
    ...               program=np.array([0, 3]), readers=("A",), readings=np.array([[0], [2]]),
    ...               ish=np.full((2, 1), -1))
    >>> evaluate_study(study).program.share("all").value
    0.5
    """
    chosen = options or Options()
    reference = make_reference(study, chosen)
    several = len(study.readers) > 1
    everything = np.ones(len(study.slides), dtype=bool)
    return Evaluation(
        reference=reference,
        program=_against(study, reference, everything, chosen.bootstrap),
        by_site=_by_site(study, reference, chosen.bootstrap),
        by_reader=tuple(
            (
                name,
                compare_readings(
                    study.readings[:, column],
                    study.program,
                    patient=study.patient,
                    bootstrap=chosen.bootstrap,
                    ish_negative=(study.ish[:, column] == 1),
                ),
            )
            for column, name in enumerate(study.readers)
        ),
        panel=panel_agreement(study.readings, study.patient, chosen.bootstrap) if several else None,
        leave_one_out=leave_one_out(
            study.readers,
            study.readings,
            study.program,
            patient=study.patient,
            ties=chosen.ties,
            bootstrap=chosen.bootstrap,
        ),
        tiers=_tiers(study, reference.name, chosen),
    )


def _tiers(study: Study, name: str, options: Options) -> TierComparison | None:
    """Compare the tiers, where a reader gave any."""
    if study.tiers is None or study.program_tier is None or not (study.tiers >= 0).any():
        return None
    theirs = implied_tiers(study.readings, study.tiers)
    if name in study.readers:
        reference = theirs[:, study.readers.index(name)]
    else:
        least = _MIN_READINGS if len(study.readers) > 1 else 1
        reference = consensus_tiers(theirs, ties=options.ties, min_readings=least)
    return compare_tiers(
        reference, study.program_tier, patient=study.patient, bootstrap=options.bootstrap
    )


def _against(
    study: Study, reference: Reference, chosen: BoolArray, bootstrap: Bootstrap
) -> Comparison:
    return compare_readings(
        reference.scores[chosen],
        study.program[chosen],
        patient=study.patient[chosen],
        bootstrap=bootstrap,
        ish_negative=reference.ish_negative[chosen],
        no_reference={name: mask[chosen] for name, mask in reference.missing.items()},
    )


def _by_site(
    study: Study, reference: Reference, bootstrap: Bootstrap
) -> tuple[tuple[str, Comparison], ...]:
    sites = np.array([site or "" for site in study.sites], dtype=object)
    names = sorted({site for site in study.sites if site})
    if len(names) < 2:
        return ()
    return tuple((name, _against(study, reference, sites == name, bootstrap)) for name in names)
