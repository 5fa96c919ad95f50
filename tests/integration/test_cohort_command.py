"""``her2 cohort`` from a table to its files."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "cohort"))

from running import Done, her2_words
from trial import HEADER, make_rows, write_rows

from pathology.cohort.columns import COLUMNS
from pathology.runs import read_case_scores
from pathology.runs.csvfile import parse_csv

ROOT = Path(__file__).parents[2]


def cohort(*words: object) -> Done:
    return her2_words(["cohort", *map(str, words)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Done]:
    base = tmp_path_factory.mktemp("cohort")
    rows = make_rows(220)
    # A reason that a spreadsheet would run, and a page would render.
    rows[0] |= {"other_exclusion": "=1+1<script>alert(1)</script>", "arm": ""}
    rows[0] |= {"ihc_score": "1+", "ish_result": "", "specimen_adequate": "yes"}
    table = write_rows(base / "patients.csv", rows)
    out = base / "study"
    done = cohort(
        table, "--out", out, "--control", "TPC", "--biomarker", "h_score", "--replicates", 5,
        "--os-information", 0.598, "--window", 60, "--step", 30,
    )  # fmt: skip
    return table, out, done


def test_the_table_alone_makes_the_whole_report(made: tuple[Path, Path, Done]) -> None:
    _, out, done = made
    assert done.returncode == 0, done.stderr
    tables = set(json.loads((out / "cohort.json").read_bytes())["tables"])
    assert {
        "flow",
        "distribution",
        "selection_as_randomised",
        "selection_corrected",
        "strata",
        "misstratified_hr",
        "misstratified",
        "survival_pfs_hr_positive",
        "survival_os_all",
        "gating",
        "response",
        "cutoff_interaction",
        "cutoff_windows",
        "cutoff_sweep",
        "cutoff_optimism",
        "cutoff_evaluable",
        "curve_pfs_all",
    } <= tables
    assert {path.stem for path in out.glob("*.csv")} == tables | {"tables"}
    assert "finds where prognosis changes" in done.stdout
    assert "had no IHC 0 arm" in done.stdout


def test_every_table_says_rows_in_out_and_why(made: tuple[Path, Path, Done]) -> None:
    _, out, _ = made
    for name, table in json.loads((out / "cohort.json").read_bytes())["tables"].items():
        assert table["rows_in"] == 220, name
        assert table["rows_in"] == table["rows_out"] + sum(table["left_out"].values()), name
    _, index = parse_csv((out / "tables.csv").read_bytes(), name="tables.csv")
    assert {row["rows_in"] for row in index} == {"220"}
    page = (out / "cohort.html").read_text()
    assert page.count("220 rows in, ") == len(index) - len(list(out.glob("curve_*.csv")))


def test_csv_and_json_hold_the_same(made: tuple[Path, Path, Done]) -> None:
    _, out, _ = made
    for name, table in json.loads((out / "cohort.json").read_bytes())["tables"].items():
        columns, rows = parse_csv((out / f"{name}.csv").read_bytes(), name=name)
        assert len(rows) == len(table["rows"])
        for text, record in zip(rows, table["rows"], strict=True):
            assert list(record) == columns
            for column, value in record.items():
                if isinstance(value, float):
                    assert float(text[column]) == pytest.approx(value, abs=6e-5)
                else:
                    assert text[column] == ("" if value is None else str(value))


def test_the_page_stands_alone_and_runs_nothing(made: tuple[Path, Path, Done]) -> None:
    _, out, _ = made
    page = (out / "cohort.html").read_text()
    assert "<script" not in page
    assert "=1+1&lt;script&gt;" in page
    assert "'=1+1<script>" in (out / "flow.csv").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)
    assert page.count("<svg") == 6  # the flow, four curves, the windows
    assert "Research use only" in page
    assert "At risk" in page
    assert "finds where prognosis changes" in page


def test_the_same_table_gives_the_same_bytes(made: tuple[Path, Path, Done], tmp_path: Path) -> None:
    table, _, _ = made
    first, second = tmp_path / "a", tmp_path / "b"
    for out in (first, second):
        assert cohort("survival", table, "--out", out, "--control", "TPC").returncode == 0
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_the_flow_counts_what_the_table_holds(made: tuple[Path, Path, Done]) -> None:
    table, out, _ = made
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    flow = json.loads((out / "cohort.json").read_bytes())["tables"]["flow"]["rows"]
    arms = {row["detail"]: row["patients"] for row in flow if row["step"] == "Arm"}
    assert arms == {arm: sum(row["arm"] == arm for row in rows) for arm in ("T-DXd", "TPC")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pfs_months": "-1"}, r"row 7, column 'pfs_months': -1 is before time zero"),
        ({"ihc_score": "2 +"}, r"row 7, column 'ihc_score': '2 \+' is not known"),
        ({"chemo_lines": "1.5"}, r"row 7, column 'chemo_lines': '1.5' is not a whole number"),
        ({"patient_id": "P0000"}, r"row 7, column 'patient_id': 'P0000' is there twice"),
    ],
)
def test_bad_input_is_a_usage_error_and_writes_nothing(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    rows = make_rows(40)
    rows[5] |= change
    table = write_rows(tmp_path / "t.csv", rows)
    done = cohort(table, "--out", tmp_path / "out", "--control", "TPC")
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert not (tmp_path / "out").exists()


def test_one_arm_empty_and_no_control_are_usage_errors(tmp_path: Path) -> None:
    rows = [row | {"arm": "T-DXd" if row["arm"] else ""} for row in make_rows(60)]
    table = write_rows(tmp_path / "t.csv", rows)
    done = cohort("survival", table, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "column 'arm': one arm is empty, only 'T-DXd' occurs" in done.stderr
    whole = write_rows(tmp_path / "w.csv", make_rows(60))
    done = cohort("survival", whole, "--out", tmp_path / "out")
    assert "which of 'T-DXd' and 'TPC' is the control arm?" in done.stderr
    done = cohort("cutoff", whole, "--out", tmp_path / "out", "--control", "TPC")
    assert done.returncode == 2
    assert "--biomarker" in done.stderr
    done = cohort(tmp_path / "none.csv", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "cannot be read" in done.stderr


def test_a_screening_log_without_arms_is_counted(tmp_path: Path) -> None:
    keep = ("patient_id", "specimen_adequate", "ihc_score", "ish_result")
    rows = [{name: row[name] for name in keep} for row in make_rows(50)]
    table = write_rows(tmp_path / "t.csv", rows)
    done = cohort(table, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "nothing is compared" in done.stdout
    assert (tmp_path / "out" / "distribution.csv").is_file()


def _run(folder: Path) -> Path:
    folder.mkdir()
    (folder / "cases.csv").write_text(
        "case_id,status,ihc_score,deciding_slide_id,ish_category,final_her2_status\n"
        "C0,scored,1+,s0,,negative\nC1,scored,2+,s1,group_5,negative\n"
        "C2,scored,2+,s2,group_1,positive\nC3,scored,2+,s3,,equivocal\n"
        "C4,not_scorable,,,,indeterminate\nC9,scored,0,s9,,negative\n"
    )
    return folder


def test_scores_come_from_a_run(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    scores = read_case_scores(run)
    assert {case: score.ish for case, score in scores.items() if score.ish} == {
        "C1": "negative",
        "C2": "positive",
    }
    rows = [{"patient_id": f"P{k}", "case_id": f"C{k}"} for k in range(6)]
    table = write_rows(tmp_path / "t.csv", rows)
    done = cohort("select", table, "--out", tmp_path / "out", "--results", run)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "cohort.json").read_bytes())
    groups = {row["her2_group"]: row["n"] for row in found["tables"]["distribution"]["rows"]}
    assert groups["IHC 1+"] == 1
    assert groups["IHC 2+/ISH-negative"] == 1
    assert groups["IHC 2+/ISH-positive"] == 1
    assert groups["IHC 2+/ISH not done"] == 1
    assert found["tables"]["distribution"]["left_out"] == {
        "case is not_scorable in the run": 1,
        "no case in the run": 1,
    }
    assert "1 cases of the run have no row in the table." in done.stdout


def test_lists_are_drawn_again_and_never_replaced_unasked(tmp_path: Path) -> None:
    words = ["--ratio", "T-DXd=2,TPC=1", "--blocks", "3,6", "--length", 30, "--seed", 20180511]
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    assert cohort("randomise", "--out", one, *words).returncode == 0
    assert cohort("randomise", "--out", two, *words).returncode == 0
    assert one.read_bytes() == two.read_bytes()
    _, rows = parse_csv(one.read_bytes(), name="one")
    assert len({row["stratum"] for row in rows}) == 12
    arms = [row["arm"] for row in rows]
    assert arms.count("T-DXd") == 2 * arms.count("TPC")
    again = cohort("randomise", "--out", one, *words)
    assert again.returncode == 2
    assert "must not change" in again.stderr
    assert cohort("randomise", "--out", one, *words, "--force").returncode == 0


@pytest.mark.parametrize(
    ("ratio", "blocks", "message"),
    [
        ("A=2,B=1", "4", "not a multiple of 3"),
        ("A=2", "2", "two arms"),
        ("A=2,A=1", "3", "each arm once"),
        ("A=x,B=1", "3", "whole numbers"),
        ("A=2,B=1", "3.5", "whole numbers"),
    ],
)
def test_lists_that_cannot_be_drawn(tmp_path: Path, ratio: str, blocks: str, message: str) -> None:
    done = cohort(
        "randomise", "--out", tmp_path / "x.csv", "--ratio", ratio, "--blocks", blocks,
        "--length", 9, "--seed", 1,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr


def test_power_prints_events_and_boundaries() -> None:
    done = cohort("power", "--hazard-ratio", 0.68, "--ratio", "2,1", "--looks", "0.598,1")
    assert done.stdout.startswith("318 events (Schoenfeld: 317.90)\n")
    assert "look at information 0.598 (191 events): z 2.6738, two-sided p 0.007500" in done.stdout
    assert cohort("power", "--hazard-ratio", 1).returncode == 2


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    table = write_rows(tmp_path / "t.csv", make_rows(60))
    code = (
        "import sys; sys.modules['lifelines'] = None\n"
        "from pathology.cli import main\n"
        f"main(['cohort', 'survival', {str(table)!r}, '--out', {str(tmp_path / 'o')!r}, "
        "'--control', 'TPC'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "her2-ihc[cohort]" in done.stderr


def test_a_selection_loads_neither_torch_nor_lifelines(tmp_path: Path) -> None:
    table = write_rows(tmp_path / "t.csv", make_rows(30))
    code = (
        "import sys\n"
        "from pathology.cli import main\n"
        "try:\n"
        f"    main(['cohort', 'select', {str(table)!r}, '--out', {str(tmp_path / 'o')!r}, "
        "'--control', 'TPC'])\n"
        "except SystemExit as end:\n"
        "    heavy = {'torch', 'lifelines', 'statsmodels'} & set(sys.modules)\n"
        "    sys.exit(f'loaded: {heavy}' if heavy else end.code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", ["report", "select", "survival", "cutoff", "randomise", "power"]
)
def test_every_part_has_help_with_an_example(command: str) -> None:
    text = " ".join(cohort(command, "--help").stdout.split())
    assert f"Example: her2 cohort {command}" in text


def test_the_documentation_lists_every_column() -> None:
    text = (ROOT / "docs" / "cohort.md").read_text(encoding="utf-8")
    for name in COLUMNS:
        assert f"`{name}`" in text
    assert set(HEADER) - set(COLUMNS) == {"h_score"}
