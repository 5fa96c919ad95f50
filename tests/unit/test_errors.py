from __future__ import annotations

import pickle

import pytest

from pathology.errors import (
    FAILED_REASONS,
    ConfigError,
    NotScorable,
    PathologyError,
    ReasonCode,
    RegionsError,
    SlideError,
    UsageError,
)


def test_every_reason_is_either_a_failure_or_a_refusal() -> None:
    statuses = {code: SlideError("x", reason=code).status for code in ReasonCode}
    assert {code for code, status in statuses.items() if status == "failed"} == FAILED_REASONS
    assert statuses[ReasonCode.NO_TISSUE] == "not_scorable"


def test_the_fix_is_a_sentence_of_its_own() -> None:
    assert str(PathologyError("a is wrong.", fix="Do b.")) == "a is wrong. Do b."
    assert str(PathologyError("a is wrong")) == "a is wrong"


@pytest.mark.parametrize("kind", [SlideError, NotScorable, RegionsError])
def test_slide_errors_survive_a_process_boundary(kind: type[SlideError]) -> None:
    error = kind("x.svs: broken", reason=ReasonCode.UNREADABLE, fix="Copy it again.")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert (copy.message, copy.reason, copy.fix) == (error.message, error.reason, error.fix)


def test_configuration_errors_are_usage_errors() -> None:
    assert issubclass(ConfigError, UsageError)
