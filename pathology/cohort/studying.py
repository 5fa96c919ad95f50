"""A cut-off study of a cohort, as tables with their warnings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from pathology.cohort.comparing import p_text
from pathology.cohort.cutoff import (
    Window,
    candidate_cutoffs,
    interaction,
    sliding_windows,
    sweep,
)
from pathology.cohort.groups import AnalysisSet, Arms, Basis, survival_set
from pathology.cohort.optimism import chosen_cutoff_optimism
from pathology.cohort.patients import Cohort
from pathology.cohort.survival import Effect, hazard_ratio
from pathology.cohort.tables import Account, Cell, Column, Table
from pathology.errors import UsageError
from pathology.types import AnyArray

__all__ = ["POOLED_WARNING", "CutoffOptions", "CutoffStudy", "study_cutoffs"]

#: Stands above every cut-off study.
POOLED_WARNING: Final = (
    "A sweep over both arms together finds where prognosis changes, not who benefits from "
    "treatment. Only the interaction of treatment and biomarker speaks of benefit, and a cut-off "
    "chosen on these data has to be confirmed on others."
)
_NO_IHC_0: Final = (
    "No randomised patient is IHC 0: nothing here speaks of patients below IHC 1+, and no lowest "
    "cut-off for benefit can be found. The same holds for DESTINY-Breast04, which had no IHC 0 arm."
)
_WITH_IHC_0: Final = (
    "{n} randomised patients are IHC 0. DESTINY-Breast04 had no IHC 0 arm: there is nothing in "
    "that trial to compare them with."
)


@dataclass(frozen=True, kw_only=True)
class CutoffOptions:
    """Choose what is studied and how.

    Parameters
    ----------
    marker
        Name of the biomarker.
    endpoint
        ``pfs`` or ``os``.
    population
        ``all``, ``HR-positive`` or ``HR-negative``.
    least_share
        Smallest share of patients on a side of a cut-off, above 0, up to 0.5.
    window, step
        Patients per sliding window and from one to the next; None takes a quarter of the patients
        (40 at least) and a quarter of the window.
    replicates
        Bootstrap samples and permutations.
    seed
        Of both.

    Raises
    ------
    UsageError
        If a value is out of range.
    """

    marker: str
    endpoint: str = "pfs"
    population: str = "all"
    least_share: float = 0.1
    window: int | None = None
    step: int | None = None
    replicates: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        allowed = {
            "endpoint": self.endpoint in ("pfs", "os"),
            "population": self.population in ("all", "HR-positive", "HR-negative"),
            "least share": 0 < self.least_share <= 0.5,
            "window": self.window is None or self.window >= 2,
            "step": self.step is None or self.step >= 1,
            "replicates": self.replicates >= 1,
            "seed": self.seed >= 0,
        }
        for name, fits in allowed.items():
            if not fits:
                raise UsageError(
                    f"cut-off study: {name} is out of range", fix="See `her2 cohort cutoff --help`."
                )


@dataclass(frozen=True, kw_only=True)
class CutoffStudy:
    """Hold a cut-off study.

    Parameters
    ----------
    marker
        Name of the biomarker.
    endpoint
        ``pfs`` or ``os``.
    tables
        In the order of the page.
    windows
        Effect of treatment along the biomarker.
    overall
        Effect among all who could be evaluated.
    warnings
        Sentences that stand above.
    """

    marker: str
    endpoint: str
    tables: tuple[Table, ...]
    windows: tuple[Window, ...]
    overall: Effect | None
    warnings: tuple[str, ...]


def study_cutoffs(cohort: Cohort, arms: Arms, basis: Basis, options: CutoffOptions) -> CutoffStudy:
    """Study whether and where the effect of treatment changes with a biomarker.

    Parameters
    ----------
    cohort
        All patients.
    arms
        The two arms.
    basis
        Of hormone receptors and strata.
    options
        What is studied.

    Raises
    ------
    UsageError
        If the data do not allow it, naming row and column where one is at fault.
    """
    where = {"endpoint": options.endpoint, "name": options.population, "basis": basis}
    if f"{options.endpoint}_months" not in cohort.columns:
        raise UsageError(
            f"{cohort.name}: row 1: there is no column '{options.endpoint}_months'",
            fix="A cut-off study needs survival times.",
        )
    everyone = survival_set(cohort, arms=arms, **where)  # type: ignore[arg-type]
    seen = survival_set(cohort, arms=arms, marker=options.marker, **where)  # type: ignore[arg-type]
    marker = np.array([float(p.biomarkers[options.marker] or 0.0) for p in seen.patients])
    n = len(marker)
    window = min(n, options.window or max(40, n // 4))
    windows = sliding_windows(
        seen.times, marker, size=window, step=min(window, options.step or max(1, window // 4))
    )
    overall = hazard_ratio(seen.times).effects.get("treatment")
    return CutoffStudy(
        marker=options.marker,
        endpoint=options.endpoint,
        tables=(
            _evaluable_table(everyone, seen, arms, options),
            _interaction_table(seen, marker, options),
            _windows_table(windows, seen.account, options),
            _sweep_table(seen, marker, options),
            _optimism_table(seen, marker, options),
        ),
        windows=windows,
        overall=overall,
        warnings=(POOLED_WARNING, _about_ihc_0(cohort)),
    )


def _about_ihc_0(cohort: Cohort) -> str:
    n = sum(patient.arm is not None and patient.ihc == "0" for patient in cohort.patients)
    return _WITH_IHC_0.format(n=n) if n else _NO_IHC_0


def _columns(**labels: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, label=label) for name, label in labels.items())


def _effect_cells(effect: Effect | None) -> tuple[Cell, ...]:
    if effect is None:
        return None, None, None, ""
    return effect.ratio, effect.lower, effect.upper, p_text(effect.p)


_EFFECT_LABELS: Final = {"ratio": "Ratio", "ratio_lo": "95 % from", "ratio_hi": "to", "p": "p"}


def _evaluable_table(
    everyone: AnalysisSet, seen: AnalysisSet, arms: Arms, options: CutoffOptions
) -> Table:
    """Set those with the biomarker beside all who were randomised."""
    rows: list[tuple[Cell, ...]] = []
    for name, group in (("Intention to treat", everyone), ("Evaluable", seen)):
        counts = [int(np.sum(group.times.treated == side)) for side in (True, False)]
        effect = hazard_ratio(group.times).effects.get("treatment")
        rows.append((name, *counts, int(np.sum(group.times.event)), *_effect_cells(effect)))
    return Table(
        name="cutoff_evaluable",
        title="Evaluable against intention to treat: hazard ratio of treatment",
        columns=_columns(
            patients="Patients",
            treatment=arms.treatment,
            control=arms.control,
            events="Events",
            **_EFFECT_LABELS,
        ),
        rows=tuple(rows),
        account=everyone.account,
        notes=(
            *everyone.notes,
            f"Evaluable are patients with {options.marker}. Where their hazard ratio clearly "
            "differs from that of all, those without it are hardly missing by chance.",
        ),
    )


def _interaction_table(seen: AnalysisSet, marker: AnyArray, options: CutoffOptions) -> Table:
    found = interaction(seen.times, marker)
    rows: list[tuple[Cell, ...]] = [
        ("Treatment at the mean", *_effect_cells(found.at_mean)),
        ("Interaction, per standard deviation", *_effect_cells(found.per_sd)),
        ("Interaction, per unit", *_effect_cells(found.per_unit)),
    ]
    notes = [
        f"Cox model with treatment, {options.marker} and their product. An interaction below 1 "
        "means that treatment does more where the biomarker is higher."
    ]
    if found.problem:
        notes.append(f"No estimate: {found.problem}.")
    else:
        notes.append(f"Standard deviation {found.sd:.4g}.")
    return Table(
        name="cutoff_interaction",
        title="Treatment by biomarker, continuous",
        columns=_columns(term="Term", **_EFFECT_LABELS),
        rows=tuple(rows),
        account=seen.account,
        notes=tuple(notes),
    )


def _windows_table(windows: tuple[Window, ...], rows_in: Account, options: CutoffOptions) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            one.lowest,
            one.median,
            one.highest,
            one.patients,
            one.treated,
            one.events,
            *_effect_cells(one.effect),
            one.problem,
        )
        for one in windows
    ]
    return Table(
        name="cutoff_windows",
        title="Hazard ratio of treatment in sliding windows",
        columns=_columns(
            lowest=f"{options.marker} from",
            median="median",
            highest="to",
            patients="Patients",
            treated="on treatment",
            events="Events",
            **_EFFECT_LABELS,
            problem="No ratio because",
        ),
        rows=tuple(rows),
        account=rows_in,
        notes=("Windows overlap, so neighbouring rows share patients. Not stratified.",),
    )


def _sweep_table(seen: AnalysisSet, marker: AnyArray, options: CutoffOptions) -> Table:
    cutoffs = candidate_cutoffs(marker, least_share=options.least_share)
    rows: list[tuple[Cell, ...]] = [
        (
            row.cutoff,
            row.n_below,
            row.n_above,
            row.ratio_below,
            row.ratio_above,
            p_text(row.interaction_p),
            row.prognosis_z,
        )
        for row in sweep(seen.times, marker, cutoffs)
    ]
    notes = [
        "Hazard ratios by Peto's one-step estimate, stratified; p is not adjusted for the search. "
        "The last column compares patients above and below with both arms pooled: that is "
        "prognosis, not benefit."
    ]
    if not rows:
        notes.append("No cut-off leaves enough patients on both sides.")
    return Table(
        name="cutoff_sweep",
        title="Every cut-off",
        columns=_columns(
            cutoff=f"{options.marker} above",
            n_below="Patients up to",
            n_above="above",
            ratio_below="Ratio up to",
            ratio_above="above",
            interaction_p="Interaction p",
            prognosis_z="Prognosis z (pooled)",
        ),
        rows=tuple(rows),
        account=seen.account,
        notes=tuple(notes),
    )


def _optimism_table(seen: AnalysisSet, marker: AnyArray, options: CutoffOptions) -> Table:
    found = chosen_cutoff_optimism(
        seen.times,
        marker,
        least_share=options.least_share,
        replicates=options.replicates,
        seed=options.seed,
    )

    def ratio(log_ratio: float) -> float | None:
        return None if math.isnan(log_ratio) else math.exp(log_ratio)

    def plain(value: float) -> float | None:
        return None if math.isnan(value) else value

    rows: tuple[tuple[Cell, ...], ...] = (
        ("Chosen cut-off", found.cutoff),
        ("Cut-offs that resampled data choose, 2.5 %", plain(found.cutoff_lower)),
        ("Cut-offs that resampled data choose, 97.5 %", plain(found.cutoff_upper)),
        ("Ratio of hazard ratios, above to below, as found", ratio(found.apparent)),
        ("Corrected for optimism", ratio(found.corrected)),
        ("Optimism, as a factor on the ratio", ratio(found.optimism)),
        ("Patients left out of the sample, as a factor", ratio(found.out_of_bag)),
        ("p of the whole search, by permutation", plain(found.search_p)),
        ("Resampled data without any cut-off", found.failed),
    )
    return Table(
        name="cutoff_optimism",
        title="The cut-off with the strongest interaction, and how much it flatters itself",
        columns=_columns(what="What", value="Value"),
        rows=rows,
        account=seen.account,
        notes=(
            f"The search was repeated inside each of {options.replicates} bootstrap samples "
            f"(seed {options.seed}). Factors above 1 are in the direction that a sample found; "
            "1 is no difference between the sides.",
        ),
    )
