"""Files of others in a folder given as ``--out`` are kept, whatever they are called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.errors import OutputError
from pathology.runs.outputs import WRITTEN, OutputFolder

THEIRS = b"a year of work"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "study"


def folder_of(out: Path, command: str = "her2 cohort") -> OutputFolder:
    """Open the folder as the next start of the program does."""
    return OutputFolder(out, command=command)


def foreign(path: Path, content: bytes = THEIRS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def writing(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def entries(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*"))


def test_own_files_are_written_over_by_a_later_run(out: Path) -> None:
    for content in (b"1", b"2", b"1", b"3"):
        folder = folder_of(out)
        folder.check(["tables/flow.csv"])
        assert folder.write("tables/flow.csv", content) == out / "tables" / "flow.csv"
        assert (out / "tables" / "flow.csv").read_bytes() == content
    assert entries(out) == [WRITTEN, "tables", "tables/flow.csv"]
    assert len((out / WRITTEN).read_bytes().splitlines()) == 1 + 3


def test_a_file_of_another_is_kept_and_named(out: Path) -> None:
    file = foreign(out / "flow.csv")
    for refused in (
        lambda: folder_of(out).check(["new.csv", "flow.csv"]),
        lambda: folder_of(out).write("flow.csv", b"ours"),
        lambda: folder_of(out).put("flow.csv", writing(b"ours")),
    ):
        with pytest.raises(
            OutputError, match=r"flow\.csv: is there already.*her2 cohort"
        ) as caught:
            refused()
        assert "--out" in caught.value.fix
    assert file.read_bytes() == THEIRS
    assert entries(out) == ["flow.csv"]
    # Beside it there is room.
    folder_of(out).write("new.csv", b"ours")
    assert file.read_bytes() == THEIRS


def test_an_own_file_that_somebody_changed_is_kept(out: Path) -> None:
    folder = folder_of(out)
    folder.write("cohort.xlsx", b"ours")
    (out / "cohort.xlsx").write_bytes(b"ours, with remarks")
    assert not folder.owns("cohort.xlsx")
    with pytest.raises(OutputError, match=r"cohort\.xlsx"):
        folder.write("cohort.xlsx", b"again")
    assert (out / "cohort.xlsx").read_bytes() == b"ours, with remarks"


def test_what_another_command_wrote_is_kept(out: Path) -> None:
    folder_of(out, "her2 export").write("slides.csv", b"exported")
    with pytest.raises(OutputError, match="`her2 cohort` did not write"):
        folder_of(out).write("slides.csv", b"studied")
    assert (out / "slides.csv").read_bytes() == b"exported"
    folder_of(out, "her2 export").write("slides.csv", b"exported again")


def test_a_list_of_the_folder_outlives_no_name(out: Path) -> None:
    folder_of(out).write("Smith_Jane.pdf", b"report")
    (out / "Smith_Jane.pdf").unlink()
    assert b"Smith" not in (out / WRITTEN).read_bytes()


def test_links_and_folders_are_no_files_of_ours(out: Path) -> None:
    folder_of(out).write("a.csv", b"ours")
    (out / "b.csv").mkdir()
    names = ["b.csv"]
    if sys.platform != "win32":
        (out / "c.csv").symlink_to(out / "a.csv")
        (out / "d.csv").symlink_to(out / "nowhere")
        names += ["c.csv", "d.csv"]
    for name in names:
        with pytest.raises(OutputError, match=name):
            folder_of(out).check([name])
        with pytest.raises(OutputError, match=name):
            folder_of(out).write(name, b"new")
    assert (out / "a.csv").read_bytes() == b"ours"
    assert "nowhere" not in entries(out)


def test_a_file_named_like_the_list_is_kept(out: Path) -> None:
    file = foreign(out / WRITTEN)
    with pytest.raises(OutputError, match="is not the list of files"):
        folder_of(out).write("a.csv", b"ours")
    assert file.read_bytes() == THEIRS
    assert entries(out) == [WRITTEN]


def test_a_torn_line_of_the_list_costs_no_other(out: Path) -> None:
    for name in ("a.csv", "b.csv"):
        folder_of(out).write(name, name.encode())
    record = out / WRITTEN
    record.write_bytes(record.read_bytes()[:-20])
    folder_of(out).write("c.csv", b"c")
    folder = folder_of(out)
    assert [folder.owns(name) for name in ("a.csv", "b.csv", "c.csv")] == [True, False, True]


def test_what_another_process_wrote_meanwhile_is_ours(out: Path) -> None:
    first, second = folder_of(out), folder_of(out)
    first.write("a.csv", b"1")
    second.write("b.csv", b"2")
    first.write("b.csv", b"3")
    assert folder_of(out).owns("b.csv")


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: folder.write("a.csv", b"new"),
        lambda folder: folder.put("a.csv", writing(b"new")),
    ],
    ids=["write", "put"],
)
def test_a_kill_before_the_rename_leaves_the_old_file_ours(
    out: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[OutputFolder], Path]
) -> None:
    folder_of(out).write("a.csv", b"old")

    def killed(_self: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write(folder_of(out))
    assert (out / "a.csv").read_bytes() == b"old"
    assert entries(out) == [WRITTEN, "a.csv"]
    write(folder_of(out))
    assert (out / "a.csv").read_bytes() == b"new"


def test_a_file_of_the_same_bytes_is_left_alone_and_becomes_ours(out: Path) -> None:
    file = foreign(out / "slide.tif", b"pixels")
    os.utime(file, ns=(10**18, 10**18))
    folder = folder_of(out)
    folder.put("slide.tif", writing(b"pixels"))
    assert file.stat().st_mtime_ns == 10**18
    assert entries(out) == [WRITTEN, "slide.tif"]
    folder_of(out).put("slide.tif", writing(b"other pixels"))
    assert file.read_bytes() == b"other pixels"


def test_no_folder_is_made_by_a_question(out: Path) -> None:
    folder = folder_of(out)
    folder.check(["a.csv"])
    assert not folder.owns("a.csv")
    assert not out.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = foreign(tmp_path / "file")
    with pytest.raises(OutputError, match="file: cannot be made"):
        folder_of(file).write("a.csv", b"")
    assert file.read_bytes() == THEIRS


NAMES = st.sampled_from(["a.csv", "b.csv", "tables/a.csv"])
CONTENTS = st.binary(max_size=1)
STEPS = st.lists(
    st.tuples(st.sampled_from(["command", "other command", "person", "remove"]), NAMES, CONTENTS),
    max_size=12,
)


@given(STEPS)
@settings(deadline=None)
def test_no_sequence_of_commands_loses_what_a_person_wrote(
    steps: list[tuple[str, str, bytes]],
) -> None:
    with TemporaryDirectory() as name:
        out = Path(name)
        written: dict[str, set[bytes]] = {"command": set(), "other command": set()}
        for who, file, content in steps:
            path = out / file
            before = path.read_bytes() if path.exists() else None
            if who == "remove":
                path.unlink(missing_ok=True)
            elif who == "person":
                foreign(path, content)
            else:
                free = before is None or before == content or before in written[who]
                try:
                    OutputFolder(out, command=who).write(file, content)
                except OutputError:
                    assert not free
                    assert path.read_bytes() == before
                else:
                    assert free
                    assert path.read_bytes() == content
                    written[who].add(content)
