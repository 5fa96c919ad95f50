"""Agreement between readers, and of results with readers: tables, kappas, intervals. Pure.

The way in is :func:`evaluate_study` for a whole reader study, :func:`compare_readings` for two
readings; the coefficients stand alone in ``coefficients``, ``panel`` and ``continuous``.
"""

from __future__ import annotations

from pathology.agreement.codes import NO_SCORE, NOT_READ, SCORES
from pathology.agreement.coefficients import agreement_weights, cohen_kappa, gwet_ac
from pathology.agreement.comparison import Comparison, Flow, compare_readings
from pathology.agreement.consensus import TIE_RULES, TieRule, consensus
from pathology.agreement.continuous import (
    BlandAltman,
    IntraclassCorrelations,
    bland_altman,
    intraclass,
    intraclass_by_patient,
)
from pathology.agreement.continuous_study import ContinuousAgreement, compare_numbers
from pathology.agreement.leave_one_out import LeaveOneOut
from pathology.agreement.panel import fleiss_kappa, krippendorff_alpha
from pathology.agreement.panel_study import PanelAgreement
from pathology.agreement.patients import patient_codes
from pathology.agreement.shares import CUTS, Share
from pathology.agreement.study import CONSENSUS, Evaluation, Options, Study, evaluate_study
from pathology.agreement.sums import Bootstrap, Estimate, percentiles, resample
from pathology.agreement.tiers import TierComparison, compare_tiers

__all__ = [
    "CONSENSUS",
    "CUTS",
    "NOT_READ",
    "NO_SCORE",
    "SCORES",
    "TIE_RULES",
    "BlandAltman",
    "Bootstrap",
    "Comparison",
    "ContinuousAgreement",
    "Estimate",
    "Evaluation",
    "Flow",
    "IntraclassCorrelations",
    "LeaveOneOut",
    "Options",
    "PanelAgreement",
    "Share",
    "Study",
    "TieRule",
    "TierComparison",
    "agreement_weights",
    "bland_altman",
    "cohen_kappa",
    "compare_numbers",
    "compare_readings",
    "compare_tiers",
    "consensus",
    "evaluate_study",
    "fleiss_kappa",
    "gwet_ac",
    "intraclass",
    "intraclass_by_patient",
    "krippendorff_alpha",
    "patient_codes",
    "percentiles",
    "resample",
]
