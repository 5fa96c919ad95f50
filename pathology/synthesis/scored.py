"""The score that the true cells of a synthetic picture have under the program's own rules."""

from __future__ import annotations

import numpy as np

from pathology.config import MeasurementConfig, ScoringConfig, load_config
from pathology.scoring import Evidence, SlideScore, score_evidence
from pathology.synthesis.truth import FieldCells

__all__ = ["true_score"]


def true_score(
    cells: FieldCells,
    mpp: float,
    params: ScoringConfig | None = None,
    measurement: MeasurementConfig | None = None,
) -> SlideScore:
    """Score the true cells by the program's own rules.

    Parameters
    ----------
    cells
        The truth; only visible tumour cells count.
    mpp
        Pixel size of their coordinates, µm.
    params
        Parameters of the rules; None takes the default configuration's.
    measurement
        Cut-offs of intensity and completeness; None takes the default configuration's.
    """
    rules = measurement or load_config().measurement
    params = params or load_config().scoring
    mine = cells.take((cells.cell_class == 0) & cells.visible)
    cuts = [rules.weak_od, rules.moderate_od, rules.intense_od]
    stained = mine.completeness >= rules.min_stained_share
    level = np.searchsorted(cuts, mine.membrane_od, side="right") + 1
    return score_evidence(
        Evidence(
            x_um=(mine.x_px * mpp).astype(np.float32),
            y_um=(mine.y_px * mpp).astype(np.float32),
            intensity=np.where(stained, level, 0).astype(np.uint8),
            complete=stained & (mine.completeness >= rules.complete_share),
            membrane_od=mine.ray_od.mean(axis=1).astype(np.float32),
            # Only the share of tissue that could not be read matters, and that is none.
            tissue_mm2=1.0,
        ),
        params.model_copy(update={"bootstrap_replicates": 0}),
    )
