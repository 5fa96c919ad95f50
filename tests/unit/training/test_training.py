from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pathology.assets import config_path
from pathology.errors import ConfigError
from pathology.training.config import TrainingConfig, load_training_config
from pathology.training.loop import TrainingState, train_network
from pathology.training.measure import _match
from pathology.training.samples import Sample, render_samples


@pytest.fixture(scope="module")
def tiny() -> TrainingConfig:
    return load_training_config(config_path("training/tiny.yaml"))


@pytest.fixture(scope="module")
def samples(tiny: TrainingConfig) -> list[Sample]:
    return render_samples(range(4), tiny.field_px, workers=1)


def test_training_lowers_the_loss_and_is_reproducible(
    tiny: TrainingConfig, samples: list[Sample]
) -> None:
    threads = torch.get_num_threads()
    states: list[TrainingState] = []
    try:
        config = tiny.model_copy(update={"steps": 24})
        first = train_network(config, samples, report=states.append)
        second = train_network(config, samples)
    finally:
        torch.set_num_threads(threads)
    totals = [state.losses["total"] for state in states]
    assert np.mean(totals[-6:]) < 0.9 * np.mean(totals[:3])
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_the_order_of_rendering_does_not_matter(tiny: TrainingConfig, tmp_path: Path) -> None:
    plain = render_samples(range(2), tiny.field_px, workers=1)
    kept = render_samples(range(2), tiny.field_px, workers=1, folder=tmp_path)
    again = render_samples(range(2), tiny.field_px, workers=1, folder=tmp_path)
    for one, two, three in zip(plain, kept, again, strict=True):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, getattr(two, name))
            np.testing.assert_array_equal(value, getattr(three, name))


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    text = config_path("training/tiny.yaml").read_text(encoding="utf-8")
    path = tmp_path / "wrong.yaml"
    path.write_text(text.replace("batch: 2", "batch: 0"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"wrong\.yaml: batch"):
        load_training_config(path)
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_training_config(tmp_path / "none.yaml")


def test_cells_are_matched_one_to_one_nearest_first() -> None:
    truth = np.array([[0.0, 0.0], [2.0, 0.0], [50.0, 0.0]])
    found = np.array([[1.6, 0.0], [2.5, 0.0], [60.0, 0.0]])
    # (1, 0) is the closest pair, at 0.4; then only (0, 1) at 2.5 is left within 3 µm.
    assert _match(truth, found).tolist() == [[1, 0], [0, 1]]
    assert _match(truth, found[:0]).shape == (0, 2)
