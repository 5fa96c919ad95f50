"""Settings and fixtures that all tests share."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "her2", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("her2")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files anew instead of comparing with them",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # third-party code may draw from it


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real slides, named by HER2_REAL_DATA; the test is skipped without it."""
    folder = os.environ.get("HER2_REAL_DATA")
    if not folder:
        pytest.skip("HER2_REAL_DATA is not set: no real slides")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"HER2_REAL_DATA names {path}, which is not a folder")
    return path
