"""A whole acceptance: verdicts, slides, comparisons, and what they were made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pathology.acceptance.criteria import Criteria
from pathology.acceptance.judge import SetEvidence
from pathology.acceptance.verdicts import Verdict

__all__ = ["Acceptance", "Overall"]

Overall = Literal["pass", "fail", "incomplete"]


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Hold an acceptance.

    Parameters
    ----------
    criteria
        What was asked.
    verdicts
        The answers, by set of slides.
    evidence
        What they rest on, by set of slides.
    model, model_sha256
        Name with version, and SHA-256 (hex) of the weights.
    configurations
        Hash of the configuration by set of slides.
    guideline, calibration
        That the site's slides were scored with; calibration None for none.
    versions
        Of Python, the platform and the packages.
    host
        Name of the machine.
    devices
        As they were asked for.
    time
        When, ISO 8601, UTC.
    """

    criteria: Criteria
    verdicts: tuple[Verdict, ...]
    evidence: tuple[SetEvidence, ...]
    model: str
    model_sha256: str
    configurations: Mapping[str, str]
    guideline: str
    calibration: str | None
    versions: Mapping[str, str] = field(default_factory=dict)
    host: str
    devices: tuple[str, ...]
    time: str

    @property
    def overall(self) -> Overall:
        """``fail`` where a criterion fails; ``incomplete`` where a required one was not tested."""
        if any(verdict.outcome == "fail" for verdict in self.verdicts):
            return "fail"
        lacking = any(
            verdict.required and verdict.outcome == "not_tested" for verdict in self.verdicts
        )
        judged = any(verdict.outcome == "pass" for verdict in self.verdicts)
        return "incomplete" if lacking or not judged else "pass"

    def count(self, outcome: str) -> int:
        """Return the number of verdicts with an outcome."""
        return sum(verdict.outcome == outcome for verdict in self.verdicts)
