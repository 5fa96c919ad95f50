from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pathology.errors import SlideError
from pathology.provenance import SlideIdentity, file_identity, sha256_file, versions


def test_identity_follows_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(b"1234")
    os.utime(path, ns=(5, 7))
    assert file_identity(path) == SlideIdentity(size=4, mtime_ns=7)
    before = file_identity(path, quickhash="q", inputs_sha256="a" * 64)
    assert (before.quickhash, before.inputs_sha256) == ("q", "a" * 64)


def test_companion_files_count(tmp_path: Path) -> None:
    slide, data, other = tmp_path / "a.mrxs", tmp_path / "a", tmp_path / "b.dcm"
    slide.write_bytes(b"12")
    other.write_bytes(b"123456")
    (data / "deep").mkdir(parents=True)
    (data / "Slidedat.ini").write_bytes(b"345")
    (data / "deep" / "x").write_bytes(b"6")
    for file in (slide, other, data / "Slidedat.ini", data / "deep" / "x"):
        os.utime(file, ns=(0, 10))
    assert file_identity(slide) == SlideIdentity(size=6, mtime_ns=10)
    os.utime(data / "deep" / "x", ns=(0, 11))
    assert file_identity(slide).mtime_ns == 11
    # A file that is named twice is counted once.
    assert file_identity(slide, companions=[other, other, data]).size == 12
    assert file_identity(data).size == 4


def test_only_a_mirax_slide_owns_the_folder_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_bytes(b"12")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"6")
    assert file_identity(tmp_path / "a.svs").size == 2


def test_missing_files_and_dead_links_are_named(tmp_path: Path) -> None:
    link = tmp_path / "link.svs"
    link.symlink_to(tmp_path / "nothing")
    for path in (link, tmp_path / "none.svs"):
        with pytest.raises(SlideError, match=path.name) as caught:
            file_identity(path)
        assert caught.value.reason == "file_missing"
        assert caught.value.fix


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "permission_denied"),
        (OSError(5, "Input/output error"), "unreadable"),
    ],
)
def test_other_errors_have_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str
) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(b"")

    def refuse(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        raise error

    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(SlideError) as caught:
        file_identity(path)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"quickhash": None}, True),
        ({"quickhash": "x"}, False),
        ({"size": 2}, False),
        ({"mtime_ns": 2}, False),
        ({"inputs_sha256": "b" * 64}, False),
    ],
)
def test_any_change_is_seen(change: dict[str, object], same: bool) -> None:
    before = SlideIdentity(size=1, mtime_ns=1, quickhash="q")
    assert before.matches(before.model_copy(update=change)) is same
    unopened = SlideIdentity(size=1, mtime_ns=1)
    assert not unopened.matches(before)


def test_identities_are_checked() -> None:
    with pytest.raises(ValidationError, match="size"):
        SlideIdentity(size=-1, mtime_ns=0)
    with pytest.raises(ValidationError, match="inputs_sha256"):
        SlideIdentity(size=1, mtime_ns=0, inputs_sha256="short")


def test_hash_of_a_file_longer_than_one_piece(tmp_path: Path) -> None:
    content = bytes(range(256)) * 8192 + b"end"
    (tmp_path / "a").write_bytes(content)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    with pytest.raises(FileNotFoundError):
        sha256_file(tmp_path / "none")


def test_versions_are_found_without_importing_anything_heavy() -> None:
    code = """
import sys
from pathology.provenance import versions
found = versions()
assert found["numpy"][0].isdigit() and found["python"], found
sys.exit(int("torch" in sys.modules or "numpy" in sys.modules))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert versions()["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_package_that_is_not_there_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathology.provenance.PACKAGES", ("no-such-package-at-all",))
    assert versions()["no-such-package-at-all"] == "absent"
