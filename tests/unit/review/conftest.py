from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from reviewing import POLICY, make_run, users

from pathology.review import users as users_module
from pathology.review.context import ReviewContext, open_context
from pathology.review.users import Users


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that no test changes."""
    return make_run(tmp_path_factory.mktemp("review"))


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A run of the test's own."""
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    return copy


@pytest.fixture(scope="session")
def named() -> Users:
    """Users with cheap hashes: the tests sign in hundreds of times."""
    patch = pytest.MonkeyPatch()
    patch.setattr(users_module, "SCRYPT", {"n": 2, "r": 8, "p": 1})
    try:
        return users()
    finally:
        patch.undo()


@pytest.fixture
def context(run: Path, named: Users) -> Iterator[ReviewContext]:
    found = open_context(run, users=named, policy=POLICY)
    yield found
    found.close()
