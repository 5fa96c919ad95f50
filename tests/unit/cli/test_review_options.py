from __future__ import annotations

from pathlib import Path

import pytest

from pathology.cli.review import review
from pathology.errors import UsageError


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(*_: object, **__: object) -> None:
        pytest.fail("the page was served")

    monkeypatch.setattr("pathology.review.serve.serve", serve)


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"head": "3:00"}, "--head is for --verify"),
        ({"blinded": "study", "end_blinded": True}, "--end-blinded ends it"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path: Path, options: dict[str, object], part: str
) -> None:
    with pytest.raises(UsageError, match=part):
        review(tmp_path, **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
