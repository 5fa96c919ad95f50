"""Cohorts: who was selected, how arms are drawn, survival and cut-off studies. Pure.

Tables come in as texts and go out as :class:`~pathology.cohort.tables.Table`; files are read and
written elsewhere. lifelines (the extra ``cohort``) is imported only when a curve or a Cox model is
asked for.
"""

from __future__ import annotations

from pathology.cohort.blocks import BlockDesign, assignments_table, draw_list, draw_lists
from pathology.cohort.flow import Criteria, Flow, build_flow
from pathology.cohort.gating import Hypothesis, pass_gates
from pathology.cohort.patients import Cohort, Patient, RunScore, parse_cohort
from pathology.cohort.power import implied_events, p_from_interval, required_events
from pathology.cohort.sequential import boundaries, information_fraction
from pathology.cohort.strata import STRATA, Stratum
from pathology.cohort.study import Study, StudyOptions, run_study
from pathology.cohort.studying import CutoffOptions
from pathology.cohort.tables import Account, Column, Table

__all__ = [
    "STRATA",
    "Account",
    "BlockDesign",
    "Cohort",
    "Column",
    "Criteria",
    "CutoffOptions",
    "Flow",
    "Hypothesis",
    "Patient",
    "RunScore",
    "Stratum",
    "Study",
    "StudyOptions",
    "Table",
    "assignments_table",
    "boundaries",
    "build_flow",
    "draw_list",
    "draw_lists",
    "implied_events",
    "information_fraction",
    "p_from_interval",
    "parse_cohort",
    "pass_gates",
    "required_events",
    "run_study",
]
