"""Which settings a run can be scored again with."""

from __future__ import annotations

import pytest

from pathology.assets import config_path
from pathology.batch.rescore_config import rescore_config
from pathology.config import load_config
from pathology.errors import ConfigError
from pathology.stain.calibrating import apply_calibration
from pathology.stain.calibration_file import load_calibration

RUN = load_config(overrides=["scoring.min_tumour_cells=40", "measurement.intense_od=0.5"])
REFERENCE = load_calibration(config_path("calibration/reference.yaml"))


def test_changes_come_on_top_of_the_run() -> None:
    found = rescore_config(RUN, overrides=["scoring.borderline_pp=3"])
    assert found.scoring.min_tumour_cells == 40
    assert found.measurement.intense_od == 0.5
    assert found.scoring.borderline_pp == 3
    assert rescore_config(RUN).hash == RUN.hash


def test_a_calibration_replaces_the_cut_offs_of_the_run() -> None:
    found = rescore_config(RUN, calibration=REFERENCE)
    assert found.measurement.intense_od == 0.6
    assert found.scoring.min_tumour_cells == 40
    assert found.calibration.title == REFERENCE.title
    with pytest.raises(ConfigError, match=r"measurement\.intense_od"):
        rescore_config(RUN, calibration=REFERENCE, overrides=["measurement.intense_od=0.7"])


def test_the_calibration_of_the_run_is_kept_or_dropped_but_never_bent() -> None:
    run = apply_calibration(load_config(), REFERENCE)
    kept = rescore_config(run, overrides=["scoring.min_tumour_cells=40"])
    assert kept.calibration == run.calibration
    assert rescore_config(run).hash == run.hash
    with pytest.raises(ConfigError, match="--calibration none"):
        rescore_config(run, overrides=["measurement.intense_od=0.7"])
    plain = rescore_config(run, uncalibrated=True, overrides=["measurement.intense_od=0.7"])
    assert plain.calibration is None
    assert plain.measurement.intense_od == 0.7


@pytest.mark.parametrize(
    "override", ["measurement.cytoplasm_inner=0.5", "inference.cpu_batch=2", "reading.icc=true"]
)
def test_pixels_are_out_of_reach(override: str) -> None:
    with pytest.raises(ConfigError, match="acts on pixels"):
        rescore_config(RUN, overrides=[override])


def test_what_changes_no_result_may_differ() -> None:
    assert rescore_config(RUN, overrides=["runtime.workers=7"]).hash == RUN.hash
