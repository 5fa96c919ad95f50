from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("clients", "seconds"), [(200, 1.0), pytest.param(200, 60.0, marks=pytest.mark.slow)]
)
def test_many_at_once_lose_no_event(
    run: Path, monkeypatch: pytest.MonkeyPatch, clients: int, seconds: float
) -> None:
    spec = importlib.util.spec_from_file_location("load_review", ROOT / "scripts/load_review.py")
    assert spec is not None
    assert spec.loader is not None
    script: Any = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)  # dataclasses look there
    spec.loader.exec_module(script)
    for name in "abc":
        (run / "slides" / name).rename(run / "slides" / f"s{'abc'.index(name)}")
    for k in range(3):
        path = run / "slides" / f"s{k}" / "result.json"
        content = path.read_text(encoding="utf-8")
        path.write_text(
            content.replace(f'"slide_id": "{"abc"[k]}"', f'"slide_id": "s{k}"'), encoding="utf-8"
        )
    (run / "results.csv").unlink()
    load, found = script.serve(run, clients, seconds)
    assert not load.problems
    assert found.ok
    assert load.answers["look", 200] >= 200
    assert load.changed > 0
    assert load.lost(found) == 0
