from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from pathology.wsi import find_slides
from pathology.wsi.dicom import read_series
from pathology.wsi.discover import FLAT_SUFFIXES, SLIDE_SUFFIXES


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(folder: Path, **changes: object) -> list[str]:
    return [str(item.path.relative_to(folder)) for item in find_slides([folder], **changes).slides]


def skipped(folder: Path) -> dict[str, str]:
    return {
        str(item.path.relative_to(folder)): item.reason for item in find_slides([folder]).skipped
    }


def element(group: int, number: int, kind: bytes, value: bytes, *, explicit: bool = True) -> bytes:
    value += b"\0" * (len(value) % 2)
    tag = struct.pack("<HH", group, number)
    if not explicit:
        return tag + struct.pack("<I", len(value)) + value
    if kind in (b"SQ", b"UN", b"OB"):
        return tag + kind + struct.pack("<xxI", len(value)) + value
    return tag + kind + struct.pack("<H", len(value)) + value


def dicom(
    series: bytes, *, image_type: bytes = b"ORIGINAL\\PRIMARY\\VOLUME\\NONE", explicit: bool = True
) -> bytes:
    """Make the header of a DICOM file, with nested sequences of both kinds of length on the way."""
    syntax = b"1.2.840.10008.1.2.1" if explicit else b"1.2.840.10008.1.2"

    def make(group: int, number: int, kind: bytes, value: bytes) -> bytes:
        return element(group, number, kind, value, explicit=explicit)

    def open_ended(group: int, number: int, content: bytes) -> bytes:
        head = b"SQ\0\0" if explicit else b""
        item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + content
        item += struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        closed = make(0x0008, 0x0100, b"SH", b"x")
        item += struct.pack("<HHI", 0xFFFE, 0xE000, len(closed)) + closed
        end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        return struct.pack("<HH", group, number) + head + b"\xff" * 4 + item + end

    inner = make(0x0008, 0x0100, b"SH", b"code") + make(0x0020, 0x000E, b"UI", b"9.9.9")
    return (
        bytes(128)
        + b"DICM"
        + element(0x0002, 0x0010, b"UI", syntax)
        + make(0x0008, 0x0008, b"CS", image_type)
        + open_ended(0x0008, 0x1140, open_ended(0x0008, 0x1140, inner) + inner)
        + make(0x0010, 0x0010, b"PN", b"Doe^Jane")
        + make(0x0018, 0x9999, b"UN", bytes(5000))
        + make(0x0020, 0x000D, b"UI", b"1.2.3")
        + make(0x0020, 0x000E, b"UI", series)
        + make(0x0048, 0x0006, b"UL", bytes(4))
    )


def test_slides_of_a_folder_are_found_in_order(tmp_path):
    touch(tmp_path, "b.svs", "a.TIF", "sub/c.ndpi", "sub/deeper/d.png", "a/e.Jpeg", "=1, ü.mrxs")
    assert found(tmp_path) == [
        "=1, ü.mrxs",
        "a.TIF",
        "b.svs",
        "a/e.Jpeg",
        "sub/c.ndpi",
        "sub/deeper/d.png",
    ]
    assert not find_slides([tmp_path]).skipped
    assert {item.root for item in find_slides([tmp_path]).slides} == {tmp_path}


def test_every_known_extension_is_found(tmp_path):
    names = [f"{index}{suffix}" for index, suffix in enumerate(SLIDE_SUFFIXES | FLAT_SUFFIXES)]
    touch(tmp_path, *names)
    assert sorted(found(tmp_path)) == sorted(names)


def test_other_files_are_skipped_and_counted(tmp_path):
    touch(tmp_path, "a.svs", "notes.txt", ".hidden.svs", "noextension", ".cache/b.svs", "x/t.csv")
    assert found(tmp_path) == ["a.svs"]
    assert skipped(tmp_path) == {
        "notes.txt": "unknown_extension",
        "noextension": "unknown_extension",
        ".hidden.svs": "hidden",
        ".cache": "hidden",
        "x/t.csv": "unknown_extension",
    }


def test_named_file_is_a_slide_whatever_it_is_called(tmp_path):
    touch(tmp_path, "notes.txt", ".hidden")
    paths = [tmp_path / "notes.txt", tmp_path / "missing.svs", tmp_path / ".hidden"]
    assert [item.path for item in find_slides(paths).slides] == paths
    assert find_slides(paths).slides[0].root == tmp_path


def test_each_slide_once(tmp_path):
    touch(tmp_path, "a.svs", "b.svs")
    again = tmp_path / "x" / ".." / "b.svs"
    (tmp_path / "x").mkdir()
    slides = find_slides([again, tmp_path, tmp_path, tmp_path / "a.svs"]).slides
    assert [item.path for item in slides] == [again, tmp_path / "a.svs"]


def test_same_stem_twice_is_two_slides(tmp_path):
    touch(tmp_path, "x/a.svs", "y/a.svs", "y/a.tif")
    assert found(tmp_path) == ["x/a.svs", "y/a.svs", "y/a.tif"]


def test_links(tmp_path):
    touch(tmp_path, "in/a.svs")
    (tmp_path / "in" / "broken.svs").symlink_to(tmp_path / "gone.svs")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "same.svs").symlink_to(tmp_path / "in" / "a.svs")
    (tmp_path / "in" / "self.svs").symlink_to(tmp_path / "in" / "self.svs")
    assert found(tmp_path / "in") == ["a.svs", "broken.svs", "same.svs", "self.svs"]


def test_pipes_and_unreadable_folders_are_counted(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.svs")
    (tmp_path / "closed").mkdir()
    real = Path.iterdir

    def iterdir(self):
        if self.name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert skipped(tmp_path) == {"pipe.svs": "not_a_file", "closed": "folder_unreadable"}


def test_output_folders_are_not_searched(tmp_path):
    touch(
        tmp_path,
        "a.svs",
        "old/run.json",
        "old/results.csv",
        "old/slides/a/overview.png",
        "new/b.png",
    )
    assert found(tmp_path, exclude=[tmp_path / "new"]) == ["a.svs"]
    assert skipped(tmp_path) == {"old": "run_folder"}
    reasons = [item.reason for item in find_slides([tmp_path], exclude=[tmp_path / "new"]).skipped]
    assert sorted(reasons) == ["excluded", "run_folder"]


def test_mirax_is_one_slide(tmp_path):
    touch(tmp_path, "x.mrxs", "x/Slidedat.ini", "x/Data0000.dat", "x/overview.jpg", "y/z.svs")
    discovery = find_slides([tmp_path])
    assert [item.path.name for item in discovery.slides] == ["x.mrxs", "z.svs"]
    assert discovery.slides[0].companions == (tmp_path / "x",)
    assert not discovery.skipped


def test_hamamatsu_vms_is_one_slide(tmp_path):
    touch(tmp_path, "a.jpg", "a(1,0).jpg", "a_macro.jpg", "other.jpg")
    files = {"ImageFile": "a.jpg", "ImageFile(1,0)": "a(1,0).jpg", "MacroImage": "a_macro.jpg"}
    index = "".join(f"{key}={value}\n" for key, value in files.items())
    (tmp_path / "a.vms").write_text(f"[Virtual Microscope Specimen]\n{index}")
    discovery = find_slides([tmp_path])
    assert [item.path.name for item in discovery.slides] == ["a.vms", "other.jpg"]
    assert [item.name for item in discovery.slides[0].companions] == [
        "a(1,0).jpg",
        "a.jpg",
        "a_macro.jpg",
    ]


@pytest.mark.parametrize("explicit", [True, False])
def test_dicom_series_is_one_slide(tmp_path, explicit):
    label = dicom(b"1.2.826.1", image_type=b"ORIGINAL\\PRIMARY\\LABEL\\NONE", explicit=explicit)
    (tmp_path / "0.dcm").write_bytes(label)
    for name in ("2.dcm", "1.dcm"):
        (tmp_path / name).write_bytes(dicom(b"1.2.826.1", explicit=explicit))
    (tmp_path / "3.dcm").write_bytes(dicom(b"1.2.826.22", explicit=explicit))
    (tmp_path / "4.dcm").write_text("no DICOM at all")
    discovery = find_slides([tmp_path])
    assert [item.path.name for item in discovery.slides] == ["1.dcm", "3.dcm", "4.dcm"]
    assert [item.name for item in discovery.slides[0].companions] == ["0.dcm", "2.dcm"]


def test_files_of_a_series_named_one_by_one_are_one_slide(tmp_path):
    label = dicom(b"1.2.826.1", image_type=b"ORIGINAL\\PRIMARY\\LABEL\\NONE")
    (tmp_path / "0.dcm").write_bytes(label)
    for name in ("1.dcm", "2.dcm"):
        (tmp_path / name).write_bytes(dicom(b"1.2.826.1"))
    (tmp_path / "3.dcm").write_bytes(dicom(b"1.2.826.22"))
    searched = find_slides([tmp_path]).slides
    files = [tmp_path / f"{number}.dcm" for number in (2, 0, 3, 1)]
    assert find_slides(files).slides == searched
    assert find_slides(files[:1]).slides == searched[:1]


def test_a_data_folder_named_beside_its_mirax_is_no_folder_of_slides(tmp_path):
    touch(tmp_path, "x.mrxs", "x/overview.jpg", "y/overview.jpg")
    slides = find_slides([tmp_path / "x", tmp_path / "x.mrxs", tmp_path / "y"]).slides
    assert [item.path for item in slides] == [tmp_path / "x.mrxs", tmp_path / "y" / "overview.jpg"]


def test_folders_that_the_caller_knows_as_output_are_not_searched(tmp_path):
    touch(tmp_path, "a.svs", "killed/b.png")
    assert found(tmp_path, is_output=lambda folder: folder.name == "killed") == ["a.svs"]


@pytest.mark.parametrize("explicit", [True, False])
def test_series_is_read_past_nested_sequences(tmp_path, explicit):
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom(b"1.2.826.1", explicit=explicit))
    series = read_series(path)
    assert series is not None
    assert (series.uid, series.volume) == ("1.2.826.1", True)


def test_damaged_dicom_is_nobodys_series(tmp_path):
    content = dicom(b"1.2.826.1")
    path = tmp_path / "a.dcm"
    # Every cut before the series' identifier, and a file that nests without end.
    cuts = [content[:end] for end in range(0, content.index(b"1.2.826.1"), 61)]
    start = content[: content.index(struct.pack("<HH", 0x0008, 0x1140))]
    nested = struct.pack("<HH", 0x0008, 0x1140) + b"SQ\0\0" + b"\xff" * 4
    nested += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    for damaged in [*cuts, start + nested * 500, content.replace(b"DICM", b"DICX")]:
        path.write_bytes(damaged)
        assert read_series(path) is None
    assert read_series(tmp_path / "missing.dcm") is None
