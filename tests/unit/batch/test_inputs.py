from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.batch.inputs import Shard, collect_inputs
from pathology.config import load_config
from pathology.errors import UsageError
from pathology.pipeline import slide_identity
from pathology.runs import RunKey, write_run_info


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
    (note,) = found.notes
    assert note.startswith(f"1 of 2 slides have a region file in {tmp_path / 'regions'}; 1 region")
    assert note.endswith(": other.geojson")


@pytest.mark.parametrize("name", ["a.geojson.gz", "a.svs.geojson", "a.json"])
def test_every_name_of_a_region_file_is_known(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "slides" / "a.svs")
    mine = touch(tmp_path / "regions" / name)
    touch(tmp_path / "regions" / "readme.txt")
    found = collect_inputs([tmp_path / "slides"], regions=tmp_path / "regions")
    assert [request.regions for request in found.requests] == [mine]
    (note,) = found.notes
    assert note.startswith("1 of 1 slides have a region file")
    assert note.endswith("; 0 region files there are not used")


def test_slides_that_differ_in_their_ending_have_a_region_file_each(tmp_path: Path) -> None:
    for name in ("slides/a.svs", "slides/a.tif", "regions/a.svs.geojson", "regions/a.geojson"):
        touch(tmp_path / name)
    found = collect_inputs([tmp_path / "slides"], regions=tmp_path / "regions")
    files = [request.regions.name for request in found.requests if request.regions]
    assert files == ["a.svs.geojson", "a.geojson"]


def test_regions_that_fit_no_slide_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "slides" / "a.svs")
    touch(tmp_path / "regions" / "b.geojson")
    with pytest.raises(UsageError, match=r"0 of 1 slides have a region file .*: b\.geojson"):
        collect_inputs([tmp_path / "slides"], regions=tmp_path / "regions")


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


def test_an_empty_part_says_so(tmp_path: Path) -> None:
    one = collect_inputs([touch(tmp_path / "0.svs")])
    first, second = (one.part(Shard(index=index, count=2)) for index in (1, 2))
    empty, full = (first, second) if not first.requests else (second, first)
    assert (len(full.requests), full.notes) == (1, ())
    assert empty.requests == ()
    assert "this part of 1 slides is empty" in empty.notes[0]


def test_ids_do_not_depend_on_how_a_folder_was_typed(tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    touch(folder / "a.svs")
    touch(folder / "sub" / "b.svs")
    ids = collect_inputs([folder]).ids
    for cwd, typed in (
        (tmp_path, "slides"),
        (tmp_path, "slides/"),
        (tmp_path, "./slides/sub/.."),
        (folder, "."),
        (folder / "sub", ".."),
    ):
        with contextlib.chdir(cwd):
            assert collect_inputs([typed]).ids == ids
            assert [request.key for request in collect_inputs([typed]).requests] == [
                "slides/a.svs",
                "slides/sub/b.svs",
            ]
    with contextlib.chdir(folder):
        assert collect_inputs(["a.svs"]).ids == ids[:1]
        assert collect_inputs([folder / "a.svs"]).ids == ids[:1]


def test_ids_from_a_manifest_do_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    for name in ("1", "2"):
        touch(tmp_path / name / "slides" / "a.svs")
        (tmp_path / name / "list.csv").write_text("path\nslides/a.svs\n")
    here, there = (collect_inputs([tmp_path / name / "list.csv"]) for name in ("1", "2"))
    assert here.ids == there.ids
    assert here.requests[0].path != there.requests[0].path


def test_folders_of_one_name_get_ids_of_their_own_in_any_order(tmp_path: Path) -> None:
    folders = [tmp_path / name / "slides" for name in ("1", "2")]
    for folder in folders:
        touch(folder / "a.svs")
    touch(folders[0] / "only.svs")
    ids = {}
    for inputs in (folders, folders[::-1]):
        found = collect_inputs(inputs)
        now = dict(zip((str(item.path) for item in found.requests), found.ids, strict=True))
        assert len(set(now.values())) == 3
        assert now == (ids or now)
        ids = now
    assert ids[str(folders[0] / "only.svs")] in collect_inputs(folders[:1]).ids


@pytest.mark.parametrize("manifest_first", [True, False])
def test_a_manifest_comes_before_a_folder_that_holds_the_same_slide(
    tmp_path: Path, manifest_first: bool
) -> None:
    touch(tmp_path / "slides" / "a.svs")
    touch(tmp_path / "slides" / "b.svs")
    manifest = tmp_path / "list.csv"
    manifest.write_text("path,mpp,case_id\nslides/a.svs,0.25,C1\n")
    inputs = [manifest, tmp_path / "slides"] if manifest_first else [tmp_path / "slides", manifest]
    found = collect_inputs([*inputs, tmp_path / "slides" / "a.svs"])
    assert [(item.path.name, item.mpp, item.case_id) for item in found.requests] == [
        ("a.svs", 0.25, "C1"),
        ("b.svs", None, ""),
    ]


def test_manifests_that_disagree_on_a_slide_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.svs")
    (tmp_path / "sub").mkdir()
    one, two = tmp_path / "one.csv", tmp_path / "sub" / "two.csv"
    one.write_text("path,case_id\na.svs,C1\n")
    two.write_text("path,case_id\n../a.svs,C1\n")
    assert len(collect_inputs([one, two]).requests) == 1
    two.write_text("path,case_id\n../a.svs,C2\n")
    with pytest.raises(UsageError, match=r"a\.svs: is listed in two rows"):
        collect_inputs([one, two])


def mirax(folder: Path) -> Path:
    touch(folder / "x" / "Slidedat.ini")
    touch(folder / "x" / "overview.jpg")
    return touch(folder / "x.mrxs")


def vms(folder: Path) -> tuple[Path, Path]:
    index = touch(folder / "a.vms")
    index.write_text("[Virtual Microscope Specimen]\nImageFile=a.jpg\n")
    return index, touch(folder / "a.jpg")


def test_files_of_one_slide_named_one_by_one_are_one_slide(tmp_path: Path) -> None:
    slide, (index, image) = mirax(tmp_path), vms(tmp_path)
    found = collect_inputs([image, tmp_path / "x", index, slide])
    assert sorted(item.path.name for item in found.requests) == ["a.vms", "x.mrxs"]
    assert sorted(found.ids) == sorted(collect_inputs([tmp_path]).ids)


@pytest.mark.parametrize("how", ["folder", "file", "manifest"])
def test_a_change_of_a_companion_file_is_a_change_of_the_slide(tmp_path: Path, how: str) -> None:
    index, image = vms(tmp_path / "slides")
    manifest = tmp_path / "list.csv"
    manifest.write_text("path\nslides/a.vms\n")
    given = {"folder": index.parent, "file": index, "manifest": manifest}[how]
    (before,) = collect_inputs([given]).requests
    assert before.companions == (image,)
    old = slide_identity(before)
    image.write_bytes(b"another image")
    assert not old.matches(slide_identity(before))


@pytest.mark.parametrize("left", ["lock", "run.json"])
def test_the_output_of_a_killed_run_is_not_searched(tmp_path: Path, left: str) -> None:
    touch(tmp_path / "a.svs")
    touch(tmp_path / "killed" / "slides" / "a-1" / "overview.png")
    if left == "lock":
        (tmp_path / "killed" / ".her2.lock").touch()
    else:
        key = RunKey.of(load_config(), model="m", model_sha256="0" * 64)
        write_run_info(tmp_path / "killed", key, None)
    found = collect_inputs([tmp_path])
    assert [request.path.name for request in found.requests] == ["a.svs"]
    assert [item.reason for item in found.skipped] == ["run_folder"]


def test_a_run_json_of_another_program_hides_no_slide(tmp_path: Path) -> None:
    touch(tmp_path / "a.svs")
    (tmp_path / "run.json").write_text('{"program": "another"}')
    assert names(tmp_path) == ["a.svs"]


def test_an_input_that_is_the_output_folder_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "a.svs")
    with pytest.raises(UsageError, match="is the output folder, which is not searched"):
        collect_inputs([tmp_path], exclude=[tmp_path])


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


def test_an_empty_input_is_not_the_present_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a.svs")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="an INPUT is empty"):
        collect_inputs([""])


def test_no_run_has_zero_parts() -> None:
    with pytest.raises(UsageError, match="--shard 1/0: there must be at least one part"):
        Shard.parse("1/0")
