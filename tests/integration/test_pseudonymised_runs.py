"""Runs under pseudonyms: no byte of the folder tells who the slides are of."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))

from faulty_reader import FakeFactory
from running import Done, her2, her2_words, result_bytes
from tiny_slides import write_slide

from pathology.review.context import open_context
from pathology.review.problems import Refused
from pathology.review.relink import relink
from pathology.review.run import ReviewRun
from pathology.review.security import Policy
from pathology.review.users import Role, User
from pathology.runs import Pseudonyms, read_results, read_run_info

#: In names of files, folders, cases, blocks, sites, runs, and in what was drawn.
TELLING = (
    *("zwetschge", "19700131", "quittenbaum", "mirabelle", "77123", "holunder", "kirschgarten"),
    *("schlehdorn", "pflaumenmus", "aprikose", "hagebutte", "sanddorn", "vogelbeere", "jane"),
)
FAULTS = ((640, "raise at Jane Quittenbaum/Hagebutte raises.tif"), (672, "memory"), (704, "kill"))
POLICY = Policy(host="127.0.0.1", port=8765)
RING = [[96, 96], [448, 96], [448, 448], [96, 448], [96, 96]]


def region(name: str) -> dict[str, object]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [RING]},
        "properties": {"name": "Hagebutte", "classification": {"name": name}},
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make slides of every fate in folders with telling names, and a manifest of them."""
    root = tmp_path_factory.mktemp("source") / "Jane Quittenbaum"
    widths = {
        "ZWETSCHGE_JANE_19700131": 576,
        "Hagebutte raises": 640,
        "Hagebutte memory": 672,
        "Hagebutte ends": 704,
        "Sanddorn blank": 608,
        "Sanddorn regions": 592,
    }
    for name, width in widths.items():
        write_slide(root / f"{name}.tif", width=width, dab=0.9)
    write_slide(root / "Sanddorn no size.tif", mpp=None)
    (root / "Vogelbeere cut.tif").write_bytes((root / "Hagebutte ends.tif").read_bytes()[:3000])
    (root / "Vogelbeere empty.svs").write_bytes(b"")
    collection = {"type": "FeatureCollection", "features": [region("Tumor"), region("Hagebutte")]}
    (root / "ZWETSCHGE_JANE_19700131.geojson").write_text(json.dumps(collection))
    (root / "Sanddorn bad.geojson").write_text('{"type": "Sanddorn"}')
    slides = [*widths, "Sanddorn no size", "Vogelbeere cut", "Vogelbeere lost"]
    with (root / "Pflaumenmus.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "case_id", "block_id", "site", "stain_run", "regions", "assay"])
        for number, name in enumerate(slides):
            drawn = {"ZWETSCHGE_JANE_19700131": f"{name}.geojson", "Sanddorn regions": ""}
            path = drawn.get(name, "")
            if name == "Sanddorn regions":
                path = "Sanddorn bad.geojson"
            row = [f"{name}.tif", f"Mirabelle-77123-{number // 3}", f"Holunder {number % 2}"]
            table.writerow([*row, "Kirschgarten", "Schlehdorn 2026-01-31", path, "4B5"])
    return root


def her2_plain(*words: str | Path) -> Done:
    """Run a command that takes no configuration."""
    return her2_words([str(word) for word in words])


def score(source: Path, out: Path, *words: str | Path) -> tuple[int, str, str]:
    done = her2(
        *("score", source / "Pflaumenmus.csv", source / "Vogelbeere empty.svs", "--out", out),
        *("--pseudonymise", *words),
        factory=FakeFactory(faults=FAULTS),
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def run(source: Path) -> Path:
    out = source.parent / "Aprikose results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["/home/jane/her2", "score", str(source), "--out", str(out)])
        status, text, _ = score(source, out)
    assert status == 70, text
    return out


def leaks(folder: Path) -> Iterator[str]:
    """Say where a telling word stands: in names, raw bytes, and what is packed in them."""
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        content = [place.encode()]
        if path.is_file():
            content.append(path.read_bytes())
            if path.suffix == ".parquet":
                table = pq.read_table(path)
                content.append(f"{table.schema.metadata} {table.to_pylist()}".encode())
            elif path.suffix in (".png", ".jpg"):
                with Image.open(path) as picture:
                    content.append(f"{picture.info} {dict(picture.getexif())}".encode())
            elif path.suffix == ".gz":
                content.append(gzip.decompress(path.read_bytes()))
        for word in TELLING:
            # Four letters stand in packed bytes by chance.
            looked = content if len(word) > 4 or path.suffix in TEXT else content[:1] + content[2:]
            if any(word.encode() in item.lower() for item in looked):
                yield f"{place}: {word}"


TEXT = (".csv", ".json", ".jsonl", ".geojson", "")


def test_no_byte_of_the_folder_tells(run: Path) -> None:
    assert list(leaks(run)) == []


def test_all_fates_were_met(run: Path) -> None:
    found = {str(code) for result in read_results(run) for code in result.reasons}
    assert found >= {
        *("internal_error", "out_of_memory", "worker_crashed", "missing_mpp", "invalid_regions"),
        *("file_missing", "unreadable"),
    }
    results = read_results(run)
    assert len(results) == 10
    assert sum(result.status == "scored" for result in results) >= 1
    errors = [result.error.message for result in results if result.error is not None]
    assert not [text for text in errors if not text.startswith(("slide-", "the region file"))]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert any("ZeroDivisionError" in entry.get("traceback", "") for entry in log)


def test_the_test_sees_leaks(source: Path, tmp_path: Path) -> None:
    shutil.copy(source / "Pflaumenmus.csv", tmp_path / "a.csv")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png", comment="x")
    (tmp_path / "c.gz").write_bytes(gzip.compress(b"Mirabelle"))
    (tmp_path / "Sanddorn").mkdir()
    assert {entry.partition(":")[0] for entry in leaks(tmp_path)} == {"a.csv", "c.gz", "Sanddorn"}


def test_the_list_lies_apart_and_says_who_is_who(run: Path, source: Path) -> None:
    file = run.with_name("Aprikose results.pseudonyms.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    names = json.loads(file.read_text())["names"]
    results = {result.slide_id: result for result in read_results(run)}
    assert set(names["slide"]) == set(names["path"]) == set(results)
    paths = {Path(path).name: slide for slide, path in names["path"].items()}
    slide = results[paths["ZWETSCHGE_JANE_19700131.tif"]]
    assert names["case"][slide.case_id or ""] == "Mirabelle-77123-0"
    assert names["block"][slide.block_id or ""] == "Mirabelle-77123-0/Holunder 0"
    assert names["site"][slide.site or ""] == "Kirschgarten"
    assert slide.region_source == "annotation"
    assert slide.path == slide.slide_id
    assert slide.assay == "4B5"


@pytest.mark.slow
def test_the_scores_are_those_of_a_run_with_names(run: Path, source: Path, tmp_path: Path) -> None:
    done = her2(
        *("score", source / "Pflaumenmus.csv", source / "Vogelbeere empty.svs"),
        *("--out", tmp_path / "named"),
        factory=FakeFactory(faults=FAULTS),
    )
    assert done.returncode == 70
    ids = json.loads(run.with_name("Aprikose results.pseudonyms.json").read_text())["names"]
    before = {result.slide_id: result for result in read_results(tmp_path / "named")}
    for result in read_results(run):
        old = before[ids["slide"][result.slide_id]]
        for column in ("status", "reasons", "ihc_score", "counts", "flags", "tiles", "h_score"):
            assert getattr(result, column) == getattr(old, column), column
    assert list(leaks(tmp_path / "named"))


def test_the_same_command_goes_on_and_reads_nothing_twice(
    run: Path, source: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    before = result_bytes(run)
    done = her2(
        *("score", source / "Pflaumenmus.csv", source / "Vogelbeere empty.svs", "--out", run),
        "--pseudonymise",
        factory=FakeFactory(faults=FAULTS, journal=journal),
    )
    assert done.returncode == 70
    assert result_bytes(run) == before
    read = {line.split()[1] for line in journal.read_text().splitlines() if "read" in line}
    assert read <= {"640", "672", "704"}  # what had failed is tried again
    assert list(leaks(run)) == []


@pytest.mark.slow
def test_one_list_gives_one_name_in_two_runs(source: Path, tmp_path: Path) -> None:
    file = tmp_path / "study.json"
    slides = [source / "ZWETSCHGE_JANE_19700131.tif", source / "Sanddorn blank.tif"]
    for out in ("one", "two"):
        done = her2(
            "score", *slides, "--out", tmp_path / out, "--pseudonymise", "--pseudonyms", file
        )
        assert done.returncode == 0, done.stderr
        assert "ZWETSCHGE" not in done.stdout + done.stderr
        assert str(file) in done.stdout
    assert result_bytes(tmp_path / "one") == result_bytes(tmp_path / "two")
    assert not (tmp_path / "one.pseudonyms.json").exists()
    done = her2("score", *slides, "--out", tmp_path / "three", "--pseudonymise")
    assert done.returncode == 0
    ids = [{row.slide_id for row in read_results(tmp_path / out)} for out in ("one", "three")]
    assert not ids[0] & ids[1]


@pytest.mark.slow
def test_a_folder_is_bound_to_its_kind_of_names(source: Path, tmp_path: Path) -> None:
    slide, hidden, named = source / "Sanddorn blank.tif", tmp_path / "hidden", tmp_path / "named"
    assert her2("score", slide, "--out", hidden, "--pseudonymise").returncode == 0
    assert her2("score", slide, "--out", named).returncode == 0
    done = her2("score", slide, "--out", hidden)
    assert done.returncode == 2
    assert "names: pseudonyms there, original now; give --pseudonymise" in done.stderr
    for words in ((), ("--force",)):
        done = her2("score", slide, "--out", named, "--pseudonymise", *words)
        assert done.returncode == 2
        assert "holds a run with the names of files" in done.stderr
    assert not (tmp_path / "named.pseudonyms.json").exists()
    done = her2("score", slide, "--out", hidden, "--pseudonymise", "--pseudonyms", tmp_path / "b")
    assert done.returncode == 2
    assert "is missing" in done.stderr
    Pseudonyms.begin(tmp_path / "b")
    done = her2("score", slide, "--out", hidden, "--pseudonymise", "--pseudonyms", tmp_path / "b")
    assert done.returncode == 2
    assert "pseudonyms of another list" in done.stderr
    done = her2("score", slide, "--out", hidden, "--pseudonymise", "--pseudonyms", hidden / "b")
    assert done.returncode == 2
    assert "lies in the output folder" in done.stderr
    done = her2("score", slide, "--out", tmp_path / "c", "--pseudonyms", tmp_path / "b")
    assert done.returncode == 2
    assert "--pseudonyms is for --pseudonymise" in done.stderr
    (tmp_path / "hidden.pseudonyms.json").unlink()
    assert her2("score", slide, "--out", hidden, "--pseudonymise").returncode == 2
    assert not (tmp_path / "hidden.pseudonyms.json").exists()


@pytest.mark.slow
def test_shards_and_merge_keep_the_names(run: Path, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Aprikose"
    folder.mkdir()
    file = folder / "list.json"
    for part in ("1/2", "2/2"):
        score(source, folder / "shared", "--pseudonyms", file, "--shard", part)
        score(source, folder / part[0], "--pseudonyms", file, "--shard", part)
    assert list(leaks(folder / "shared")) == []
    done = her2_plain("merge", folder / "1", folder / "2", "--out", folder / "whole")
    assert done.returncode in (0, 1, 70), done.stderr
    assert list(leaks(folder / "whole")) == []
    assert result_bytes(folder / "whole") == result_bytes(folder / "shared")
    key, _ = read_run_info(folder / "whole")
    assert key.pseudonyms == Pseudonyms.begin(file).fingerprint
    assert len(read_results(folder / "whole")) == len(read_results(run))


def test_rescored_runs_keep_the_names(run: Path, source: Path) -> None:
    out = run.with_name("Aprikose again")
    drawn = run.with_name("Quittenbaum regions")
    names = json.loads(run.with_name("Aprikose results.pseudonyms.json").read_text())["names"]
    slide = {Path(p).stem: s for s, p in names["path"].items()}["ZWETSCHGE_JANE_19700131"]
    drawn.mkdir()
    shutil.copy(source / "ZWETSCHGE_JANE_19700131.geojson", drawn / f"{slide}.geojson")
    shutil.copy(source / "ZWETSCHGE_JANE_19700131.geojson", drawn)
    done = her2(
        *("rescore", run, "--out", out, "--regions", drawn, "--set", "scoring.min_tumour_cells=2"),
    )
    assert done.returncode in (0, 1, 70), done.stderr
    assert list(leaks(out)) == []
    key, _ = read_run_info(out)
    assert key.pseudonyms == read_run_info(run)[0].pseudonyms
    assert {r.slide_id for r in read_results(out)} == {r.slide_id for r in read_results(run)}


def test_exports_keep_the_names_and_make_no_list(run: Path) -> None:
    done = her2_plain("export", run, "--to", "geojson,html,tables,fhir")
    assert done.returncode == 0, done.stderr
    assert "pseudonyms that the run was scored under" in done.stdout
    ids = {row.slide_id for row in read_results(run)}
    with next(run.glob("exports/tables/slides.csv")).open(newline="") as file:
        assert {row["slide_id"] for row in csv.DictReader(file)} == ids
    assert not (run / "pseudonyms.json").exists()
    assert list(leaks(run)) == []
    done = her2_plain("export", run, "--to", "tables", "--pseudonyms", run.parent / "x.json")
    assert done.returncode == 2
    assert "not replaced twice" in done.stderr


def test_a_review_finds_the_slides_by_content_and_notes_no_path(run: Path, source: Path) -> None:
    names = json.loads(run.with_name("Aprikose results.pseudonyms.json").read_text())["names"]
    places = {slide: Path(path) for slide, path in names["path"].items()}
    scored = [result.slide_id for result in read_results(run) if result.status == "scored"]
    review = ReviewRun.open(run, slides=source)
    assert [review.file(slide) for slide in scored] == [places[slide] for slide in scored]
    with review.open_slide(scored[0]) as slide:
        assert slide.info.path == places[scored[0]]
    assert ReviewRun.open(run).file(scored[0]) == Path(scored[0])
    context = open_context(run, local=User(name="Ada", role=Role.READER), policy=POLICY)
    try:
        with pytest.raises(Refused, match="may not name a file"):
            relink(context, None, scored[0], places[scored[0]])
    finally:
        context.close()
    assert list(leaks(run)) == []


def test_ish_and_readers_name_the_pseudonyms(run: Path, tmp_path: Path) -> None:
    results = [result for result in read_results(run) if result.status == "scored"]
    ish = tmp_path / "Quittenbaum ish.csv"
    with ish.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["case_id", "block_id", "call"])
        blocks = {(result.case_id, result.block_id) for result in results}
        table.writerows([case, block, "negative"] for case, block in sorted(blocks, key=str))
    done = her2_plain("ish", run, "--results", ish)
    assert done.returncode == 0, done.stdout + done.stderr
    readers = tmp_path / "readers.csv"
    with readers.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["slide_id", "reader", "score"])
        for reader in "AB":
            table.writerows([result.slide_id, reader, result.ihc_score] for result in results)
    done = her2_plain("evaluate", run, "--readers", readers, "--out", tmp_path / "study")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(leaks(run)) == []
