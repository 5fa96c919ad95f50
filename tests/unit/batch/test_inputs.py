from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.batch.inputs import Shard, collect_inputs
from pathology.errors import UsageError
from pathology.runs import make_slide_id


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not empty")
    return path


def names(folder: Path, **options: object) -> list[str]:
    found = collect_inputs([folder], **options)  # type: ignore[arg-type]
    return [request.path.relative_to(folder).as_posix() for request in found.requests]


def test_a_folder_is_searched_with_its_subfolders_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b.svs", "a.tiff", "in/ner/a.svs", "notes.txt", "in/readme.md"):
        touch(tmp_path / name)
    found = collect_inputs([tmp_path])
    assert sorted(names(tmp_path)) == ["a.tiff", "b.svs", "in/ner/a.svs"]
    assert names(tmp_path) == names(tmp_path)
    assert sorted(item.path.name for item in found.skipped) == ["notes.txt", "readme.md"]


def test_a_named_file_is_taken_whatever_its_extension(tmp_path: Path) -> None:
    path = touch(tmp_path / "slide.xyz")
    (request,) = collect_inputs([str(path)], mpp=0.5).requests
    assert (request.path, request.display_path) == (path, str(path))
    assert (request.mpp, request.mpp_source) == (0.5, "argument")


def test_a_file_named_twice_is_taken_once(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.svs")
    assert len(collect_inputs([path, tmp_path, tmp_path / "." / "a.svs"]).requests) == 1


def test_the_same_name_in_two_folders_is_two_slides(tmp_path: Path) -> None:
    touch(tmp_path / "1" / "a.svs")
    touch(tmp_path / "2" / "a.svs")
    assert names(tmp_path) == ["1/a.svs", "2/a.svs"]


def test_a_manifest_among_files_and_folders(tmp_path: Path) -> None:
    touch(tmp_path / "folder" / "a.svs")
    manifest = tmp_path / "list.CSV"
    manifest.write_text("path,mpp\nb.svs,0.25\nc.svs,\n")
    found = collect_inputs([tmp_path / "folder", manifest], mpp=0.5)
    assert [request.path.name for request in found.requests] == ["a.svs", "b.svs", "c.svs"]
    assert [request.mpp for request in found.requests] == [0.5, 0.25, 0.5]
    assert [request.mpp_source for request in found.requests] == [
        "argument",
        "manifest",
        "argument",
    ]


def test_nothing_found_is_a_usage_error_that_counts_what_was_skipped(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match=r"no slides found .*1 other file"):
        collect_inputs([tmp_path])


def test_a_path_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.svs: there is no such file"):
        collect_inputs([tmp_path / "nowhere.svs"])


def test_a_broken_link_is_a_slide_of_its_own(tmp_path: Path) -> None:
    link = tmp_path / "gone.svs"
    link.symlink_to(tmp_path / "nowhere.svs")
    assert len(collect_inputs([link]).requests) == 1
    assert len(collect_inputs([tmp_path]).requests) == 1


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_mpp_is_a_usage_error(tmp_path: Path, mpp: float) -> None:
    with pytest.raises(UsageError, match="--mpp"):
        collect_inputs([touch(tmp_path / "a.svs")], mpp=mpp)


def test_regions_are_paired_by_name(tmp_path: Path) -> None:
    touch(tmp_path / "slides" / "a.svs")
    touch(tmp_path / "slides" / "b.svs")
    mine = touch(tmp_path / "regions" / "a.geojson")
    touch(tmp_path / "regions" / "other.geojson")
    found = collect_inputs([tmp_path / "slides"], regions=tmp_path / "regions")
    assert [request.regions for request in found.requests] == [mine, None]
    assert ["other.geojson" in note for note in found.notes] == [True]


def test_regions_that_all_fit_leave_no_note(tmp_path: Path) -> None:
    touch(tmp_path / "slides" / "a.svs")
    touch(tmp_path / "regions" / "a.geojson")
    assert collect_inputs([tmp_path / "slides"], regions=tmp_path / "regions").notes == ()


def test_a_region_file_that_fits_two_slides_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "slides" / "1" / "a.svs")
    touch(tmp_path / "slides" / "2" / "a.svs")
    touch(tmp_path / "regions" / "a.geojson")
    with pytest.raises(UsageError, match="fits two slides"):
        collect_inputs([tmp_path / "slides"], regions=tmp_path / "regions")


def test_two_region_files_for_one_slide_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.svs")
    touch(tmp_path / "regions" / "a.geojson")
    touch(tmp_path / "regions" / "a.json")
    with pytest.raises(UsageError, match="for the same slide"):
        collect_inputs([tmp_path / "a.svs"], regions=tmp_path / "regions")


def test_regions_must_be_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a.svs")
    with pytest.raises(UsageError, match="no such folder"):
        collect_inputs([tmp_path / "a.svs"], regions=tmp_path / "nowhere")


def test_parts_are_disjoint_and_together_are_all(tmp_path: Path) -> None:
    for number in range(12):
        touch(tmp_path / f"{number}.svs")
    found = collect_inputs([tmp_path])
    parts = [found.part(Shard(index=index, count=3)).requests for index in (1, 2, 3)]
    assert sorted(item.name for part in parts for item in part) == sorted(
        item.name for item in found.requests
    )
    one = collect_inputs([tmp_path / "0.svs"])
    held = [Shard(index=1, count=2), Shard(index=2, count=2)]
    empty = next(part for part in held if not part.holds(make_slide_id(tmp_path / "0.svs")))
    with pytest.raises(UsageError, match="is empty"):
        one.part(empty)


@given(slide_id=st.text(min_size=1), count=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_every_slide_is_in_exactly_one_shard(slide_id: str, count: int) -> None:
    held = [Shard(index=i, count=count).holds(slide_id) for i in range(1, count + 1)]
    assert sum(held) == 1


def test_shards_share_the_work() -> None:
    shard = Shard(index=1, count=2)
    assert 300 < sum(shard.holds(f"slide-{i}") for i in range(800)) < 500


@pytest.mark.parametrize("text", ["", "1", "1/", "a/b", "0/2", "3/2", "1/0", "-1/2", "1/2/3"])
def test_a_wrong_shard_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)
