"""Pseudonyms: the same for the same name, nothing of it in them, and a file for its owner alone."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.errors import OutputError, UsageError
from pathology.runs import ErrorBlock, Pseudonyms, RegionsBlock, SlideResult, pseudonyms_file

KEY, OTHER = bytes(32), bytes([1]) * 32
NAMES = st.text("abcdefghXYZ0123456789_", min_size=6, max_size=20).map("N".__add__)


def failed(name: str, message: str) -> SlideResult:
    return SlideResult(
        slide_id=f"{name}-0123456789",
        path=f"ward 7/{name}.svs",
        case_id=f"case {name}",
        block_id=f"B {name}",
        site=f"site {name}",
        stain_run=f"run {name}",
        status="failed",
        reasons=("unreadable",),
        error=ErrorBlock(message=message, fix=f"Copy {name}.svs again."),
        warnings=(f"/home/{name}/ward 7/{name}.svs: read twice",),
        regions=RegionsBlock(name=f"{name}.geojson", sha256="0" * 64),
    )


@given(NAMES)
def test_nothing_of_a_name_is_left(name: str) -> None:
    result = Pseudonyms(KEY).result(failed(name, f"ward 7/{name}.svs: empty file of case {name}"))
    text = result.to_json().decode().replace("0" * 64, "")
    assert name not in text
    assert "ward 7/" not in text
    assert SlideResult.from_json(result.to_json()) == result


@given(st.lists(NAMES, min_size=2, max_size=20, unique=True))
def test_different_names_stay_different_and_need_the_key(names: list[str]) -> None:
    first, again, other = Pseudonyms(KEY), Pseudonyms(KEY), Pseudonyms(OTHER)
    made = [first.name("case", name) for name in names]
    assert len(set(made)) == len(names)
    assert made == [again.name("case", name) for name in names]
    assert not set(made) & {other.name("case", name) for name in names}
    assert first.name("slide", names[0])[6:] != first.name("case", names[0])[5:]
    assert first.block("a", names[0]) != first.block("b", names[0])


def test_the_list_is_for_its_owner_and_is_read_back(tmp_path: Path) -> None:
    names = Pseudonyms.load(tmp_path)
    pseudonym = names.name("case", "Smith")
    path = names.save(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["names"]["case"] == {pseudonym: "Smith"}
    again = Pseudonyms.load(tmp_path)
    assert again.name("case", "Smith") == pseudonym
    before = path.stat().st_mtime_ns
    again.save(tmp_path)
    assert path.stat().st_mtime_ns == before
    # A second run of a study may use the same file.
    assert Pseudonyms.load(tmp_path / "other", path).name("case", "Smith") == pseudonym


@pytest.mark.parametrize("content", [b"", b"{}", b'{"key": "00", "names": {}}', b"[]"])
def test_a_damaged_list_is_never_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pseudonyms.json"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"pseudonyms\.json: is not a list of pseudonyms"):
        Pseudonyms.load(tmp_path)
    assert path.read_bytes() == content


def test_a_list_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    names = Pseudonyms(KEY)
    with pytest.raises(OutputError, match="--names original"):
        names.save(tmp_path / "missing")


def test_two_names_never_share_a_pseudonym(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathology.runs.pseudonyms._LETTERS", 1)
    names = Pseudonyms(KEY)

    def name_all() -> None:
        for number in range(33):  # one more than there are letters
            names.name("slide", f"N{number}")

    with pytest.raises(UsageError, match=r"two slides would have the pseudonym slide-\w"):
        name_all()
    assert names.name("slide", "N0") == names.name("slide", "N0")


def test_a_list_is_begun_once(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Pseudonyms.begin(file).fingerprint, range(16)))
    assert len(set(made)) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made[0] not in file.read_text()


def test_what_others_added_to_a_list_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    one, other = Pseudonyms.begin(file), Pseudonyms.begin(file)
    first, second = one.name("case", "Smith"), other.name("case", "Jones")
    one.save(tmp_path, file)
    file.chmod(0o644)
    other.save(tmp_path, file)
    assert json.loads(file.read_text())["names"]["case"] == {first: "Smith", second: "Jones"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    other.save(tmp_path, file)  # nothing to add, but rights to take away
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_list_is_never_replaced_by_that_of_another_key(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    mine = Pseudonyms.begin(file)
    file.unlink()
    other = Pseudonyms.begin(file)
    with pytest.raises(OutputError, match="replaced by another list"):
        mine.save(tmp_path, file)
    assert Pseudonyms.begin(file).fingerprint == other.fingerprint


def test_the_list_lies_beside_the_folder(tmp_path: Path) -> None:
    assert pseudonyms_file(tmp_path / "out" / ".") == tmp_path / "out.pseudonyms.json"
    assert pseudonyms_file(tmp_path / "out", tmp_path / "study.json") == tmp_path / "study.json"
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for inside in (tmp_path / "out" / "p.json", tmp_path / "link" / "p.json"):
        with pytest.raises(UsageError, match="lies in the output folder"):
            pseudonyms_file(tmp_path / "out", inside)
