from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from pathology.runs import KeptResults, SlideResult


def test_what_is_taken_out_equals_what_was_put_in(scored: Callable[..., SlideResult]) -> None:
    kept, plain = KeptResults(), {}
    failed = SlideResult(slide_id="z", path="Ünï/z.svs", status="failed", reasons=("unreadable",))
    for result in (failed, *(scored(f"s-{n}") for n in range(20)), failed):
        kept[result.slide_id] = plain[result.slide_id] = result
    assert list(kept) == list(plain)
    assert dict(kept) == plain
    assert [one.to_json() for one in kept.values()] == [one.to_json() for one in plain.values()]
    assert kept.statuses == {"failed": 1, "scored": 20}
    assert "s-3" in kept
    assert "s-33" not in kept
    del kept["z"]
    assert kept.statuses == {"scored": 20}
    with pytest.raises(KeyError):
        _ = kept["z"]


def test_a_result_takes_little(scored: Callable[..., SlideResult]) -> None:
    kept = KeptResults()
    for number in range(50):
        kept[f"s-{number}"] = scored(f"s-{number}")
    later = list(kept._packed.values())[1:]
    assert max(map(sys.getsizeof, later)) < 1_000
