"""Inputs under pseudonyms: the same ones every time, and never two slides under one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pathology.batch import Inputs
from pathology.batch.messages import Job
from pathology.batch.pseudonymise import HiddenInputs, _hide, hide_inputs
from pathology.batch.results import failed_result
from pathology.config import load_config
from pathology.errors import OutputError, ReasonCode, UsageError
from pathology.pipeline import SlideRequest, slide_identity
from pathology.runs import Pseudonyms
from pathology.testing import FakeModel

CONFIG = load_config()
TEXT = st.text("abcXYZé 0123456789-_", min_size=2, max_size=12).map("Q".__add__)
NAMES = st.lists(TEXT, min_size=1, max_size=6, unique_by=lambda name: name.casefold().strip())


def hide(folder: Path, *requests: SlideRequest, out: str = "out") -> HiddenInputs:
    file = folder / "list.json"
    return hide_inputs(Inputs(requests=requests), folder / out, CONFIG, file=file)


def request(name: str, **known: str) -> SlideRequest:
    return SlideRequest(path=Path(f"/data/{name}.svs"), key=f"data/{name}.svs", **known)  # type: ignore[arg-type]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(NAMES, TEXT)
def test_every_slide_has_one_name_whatever_comes_with_it(
    tmp_path: Path, names: list[str], case: str
) -> None:
    requests = [request(name, case_id=case, block_id="A", stain_run=case) for name in names]
    first = hide(tmp_path, *requests)
    again = hide(tmp_path, *reversed(requests), out="other")
    assert first.inputs.ids == again.inputs.ids == sorted(set(first.inputs.ids))
    assert len(first.inputs.ids) == len(names)
    alone = [hide(tmp_path, entry).inputs.ids[0] for entry in requests]
    assert sorted(alone) == first.inputs.ids
    for entry in first.inputs.requests:
        shown = (entry.display_path, entry.key, entry.case_id, entry.block_id, entry.stain_run)
        assert all(re.fullmatch(r"(slide|case|block|run)-[a-z2-7]{10}", text) for text in shown)
        assert entry.hidden is not None
        assert case not in entry.hidden.text(f"{entry.path} of {case}")


def test_the_hash_of_the_inputs_is_of_pseudonyms(tmp_path: Path) -> None:
    # Else a case number could be found by trying all of them.
    (tmp_path / "a.svs").write_bytes(b"1")
    plain = SlideRequest(path=tmp_path / "a.svs", key="a", case_id="C1")
    (hidden,) = hide(tmp_path, plain).inputs.requests
    bare = SlideRequest(path=plain.path, display_path=hidden.name, key="b", case_id=hidden.case_id)
    assert slide_identity(hidden) == slide_identity(bare)
    assert slide_identity(hidden) != slide_identity(plain)


def test_a_failure_of_the_machine_names_nobody(tmp_path: Path) -> None:
    out = tmp_path / "Aprikose"
    (hidden,) = hide(
        tmp_path, request("Zwetschge", case_id="Smith"), out="Aprikose"
    ).inputs.requests
    job = Job(slide_id=hidden.name, request=hidden, out_dir=out, config=CONFIG)
    text = f"{out}/slides/{hidden.name}: no space left for {hidden.path}, Smith"
    model = FakeModel()
    result = failed_result(job, model, ReasonCode.DISK_FULL, text, fix="Free Zwetschge.")
    assert result.error is not None
    shown = f"DIR/slides/{hidden.name}: no space left for {hidden.name}, {hidden.case_id}"
    assert result.error.message == shown
    assert result.error.fix == "Free [name]."


def test_two_slides_under_one_pseudonym_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathology.runs.pseudonyms._LETTERS", 1)
    with pytest.raises(UsageError, match="two slides would have the pseudonym"):
        hide(tmp_path, *(request(f"s{number}") for number in range(33)))


def test_the_site_of_the_calibration_is_kept(tmp_path: Path) -> None:
    known, other = request("a", site="North"), request("b", site="South")
    names = Pseudonyms.begin(tmp_path / "list.json")
    made = [_hide("x-1", entry, names, tmp_path, "North") for entry in (known, other)]
    assert made[0].site == "North"
    assert made[1].site.startswith("site-")


def test_the_list_is_whole_before_the_first_slide(tmp_path: Path) -> None:
    hidden = hide(tmp_path, request("a", case_id="Smith"))
    hidden.save()
    content = json.loads((tmp_path / "list.json").read_text())
    assert list(content["names"]["case"].values()) == ["Smith"]
    assert list(content["names"]["path"].values()) == ["/data/a.svs"]


def test_a_damaged_list_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("{}")
    with pytest.raises(OutputError, match="is not a list of pseudonyms"):
        hide(tmp_path, request("a"))
