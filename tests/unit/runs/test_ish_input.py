from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pathology.errors import UsageError
from pathology.runs import SlideResult
from pathology.runs.ish_input import ISH_COLUMNS, parse_ish
from pathology.runs.ish_join import BlockIndex, gather_records
from pathology.runs.ish_record import BlockKey, IshRecord

Make = Callable[..., SlideResult]
SHA = "a" * 64


@pytest.fixture
def index(scored: Make) -> BlockIndex:
    return BlockIndex.of(
        [
            scored("a", "2+", case_id="C1", block_id="B1"),
            scored("b", "1+", case_id="C1", block_id="B2"),
            scored("c", "2+", case_id="C2", block_id="B1"),
            scored("d", "2+", case_id="C3"),
            scored("e", "2+"),
            scored("f", "2+", block_id="B7"),
            scored("g", "2+", block_id="B7"),
            scored("h", "2+", case_id="C4", block_id="B8"),
            scored("i", "2+", case_id="C4", block_id="B8"),
            scored("k", "2+", case_id="C9", block_id="B1", role="control"),
        ]
    )


def read(text: str, index: BlockIndex, name: str = "ish.csv") -> list[IshRecord]:
    return gather_records(parse_ish(text.encode(), path=Path(name)), index, source=SHA)


def test_the_three_forms_say_the_same(index: BlockIndex) -> None:
    cells = "case_id,block_id,cell,her2,cep17,observer\n" + "".join(
        f"C1,B1,{n},4,{2 + n % 2},Ann\n" for n in range(20)
    )
    (one,) = read(cells, index)
    assert (one.cells, one.her2, one.cep17, one.her2_per_cell) == (20, 80, 50, (4,) * 20)
    (two,) = read(
        "case_id,block_id,cells,her2_total,cep17_total,observer\nC1,B1,20,80,50,Ann\n", index
    )
    assert one.block_reading() == two.block_reading()
    (three,) = read(
        json.dumps(
            {
                "results": [
                    {
                        "case_id": "C1",
                        "block_id": "B1",
                        "her2": [4] * 20,
                        "cep17": [2, 3] * 10,
                        "observer": "Ann",
                        "cells": None,
                    }
                ]
            }
        ),
        index,
        "ish.JSON",
    )
    assert three.same_content(one)
    (call,) = read("slide_id,call,cells\na,Group_4,24\n", index)
    assert (call.key, call.call, call.cells) == (one.key, "group_4", 24)


def test_spreadsheet_habits_are_taken(index: BlockIndex) -> None:
    text = (
        "\ufeffcase_id , block_id,cells,her2_total,cep17_total,controls_ok,probe\r\n\r\n"
        "C1, B1 ,20.0,80,50.00,TRUE,Dual\r\n,,,,,,\r\n"
    )
    (record,) = read(text, index)
    assert (record.cells, record.cep17, record.controls_ok, record.row) == (20, 50, True, 3)


def test_every_column_is_stored(index: BlockIndex) -> None:
    values = {
        "case_id": "C1", "block_id": "B1", "slide_id": "a", "probe": "dual", "reading": "recount",
        "population": "2", "population_pct": "12.5", "cells": "20", "her2_total": "80",
        "cep17_total": "50", "observer": "Bob", "blinded": "yes", "includes_2plus_area": "no",
        "assay": "DISH", "controls_ok": "true", "invasive_areas": "3", "weak_signals_pct": "0.5",
        "cytoplasm_signals_pct": "10", "nuclei_resolved": "true", "autofluorescence": "false",
    }  # fmt: skip
    assert set(ISH_COLUMNS) - set(values) == {"cell", "her2", "cep17", "call"}
    (record,) = read(f"{','.join(values)}\n{','.join(values.values())}\n", index)
    stored = record.model_dump()
    assert (stored["stage"], stored["population"], stored["population_pct"]) == (
        "recount",
        2,
        "12.5",
    )
    assert (stored["blinded"], stored["includes_2plus_area"], stored["assay"]) == (
        True,
        False,
        "DISH",
    )
    assert (stored["weak_signals_pct"], stored["cytoplasm_signals_pct"]) == ("0.5", "10")
    assert (stored["nuclei_resolved"], stored["autofluorescence"]) == (True, False)


TOTALS = "case_id,block_id,cells,her2_total,cep17_total"
CELLS = "case_id,block_id,her2,cep17"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"{TOTALS}\nC1,B1,20,-80,40\n", "line 2, column 'her2_total': '-80' is negative"),
        (f"{TOTALS}\nC1,B1,20,80.5,40\n", "line 2, column 'her2_total': '80.5' is not a whole"),
        (f"{TOTALS}\nC1,B1,20,many,40\n", "column 'her2_total': 'many' is not a whole"),
        (f"{TOTALS}\nC1,B1,20,,40\n", "column 'her2_total': is empty"),
        (f"{TOTALS}\nC1,B1,,80,40\n", "column 'cells': is empty"),
        (f"{TOTALS}\nC1,B1,0,80,40\n", "column 'cells': is 0, but signals"),
        (f"{TOTALS}\nC1,B1,20,80,\n", "line 2, column 'cep17_total': is empty, and this is a dual"),
        (f"{CELLS}\nC1,B1,4,2\nC1,B1,4,\n", "line 3, column 'cep17': is empty, and this is a dual"),
        (f"{CELLS},probe\nC1,B1,4,2,single\n", "column 'cep17': is given, and a single probe"),
        (f"{CELLS}\nC1,B1,,\n", "line 2, column 'her2': is empty: the row gives no count"),
        (f"{CELLS},cells\nC1,B1,4,2,20\n", "column 'cells': is given in a row of one cell"),
        (f"{CELLS},call\nC1,B1,4,2,positive\n", "column 'call': is given together with 'her2'"),
        ("block_id,case_id,call\nB1,C1,amplified\n", "column 'call': 'amplified' is no call"),
        ("block_id,case_id,call\nB1,C1,group 6\n", "column 'call': 'group 6' is no call"),
        ("block_id,case_id,call,probe\nB1,C1,group 1,single\n", "is a group of the dual probe"),
        ("block_id,case_id,call,probe\nB1,C1,positive,triple\n", "column 'probe': 'triple'"),
        ("block_id,case_id,call,reading\nB1,C1,positive,third\n", "column 'reading': 'third'"),
        ("block_id,case_id,call,blinded\nB1,C1,positive,maybe\n", "column 'blinded': 'maybe'"),
        ("block_id,case_id,call,population\nB1,C1,positive,0\n", "numbered from 1"),
        ("block_id,case_id,call,population\nB1,C1,positive,2\n", "'population_pct': is empty"),
        ("block_id,case_id,call,population_pct\nB1,C1,positive,5\n", "is for populations from 2"),
        (
            "block_id,case_id,call,weak_signals_pct\nB1,C1,positive,101\n",
            "'101' is no percentage",
        ),
        (
            f"{TOTALS}\nC1,B1,20,80,40\nC1,B1,20,80,40\n",
            "line 3, column 'block_id': a second first",
        ),
        (f"{CELLS},cell\nC1,B1,4,2,1\nC1,B1,4,2,1\n", "line 3, column 'cell': '1' is there twice"),
        (f"{CELLS},cell\nC1,B1,4,2,1\nC1,B1,4,2,\n", "line 3, column 'cell': is given for some"),
        (f"{CELLS},observer\nC1,B1,4,2,Ann\nC1,B1,4,2,Bob\n", "line 3, column 'observer': 'Bob'"),
        (f"{TOTALS}\nC1,B5x,20,80\n", "line 2: 4 values under 5 column names"),
        (f"{TOTALS}\nC8,B1,20,80,40\n", "line 2, column 'case_id': 'C8' is not in this run"),
        (f"{TOTALS}\nC9,B1,20,80,40\n", "column 'case_id': 'C9' is not in this run"),
        (f"{TOTALS}\n,B5,20,80,40\n", "line 2, column 'block_id': 'B5' is not in this run"),
        (f"{TOTALS}\n,B1,20,80,40\n", "column 'block_id': 'B1' is in 2 cases or slides"),
        (
            f"{TOTALS}\n,B7,20,80,40\n",
            "'B7' is in 2 cases or slides of this run (slide f, slide g)",
        ),
        (f"{TOTALS}\nC1,,20,80,40\n", "column 'block_id': is empty, and case 'C1' has 2 blocks"),
        (f"{TOTALS}\nC3,B1,20,80,40\n", "column 'block_id': 'B1', but the run does not say which"),
        (f"{TOTALS}\n,,20,80,40\n", "column 'block_id': is empty"),
        ("slide_id,call\nz,positive\n", "column 'slide_id': 'z' is not in this run"),
        ("slide_id,call\nk,positive\n", "column 'slide_id': 'k' is a control slide"),
        (
            "slide_id,case_id,call\na,C2,positive\n",
            "column 'case_id': 'C2', but slide a is of 'C1'",
        ),
        ("slide_id,block_id,call\na,B2,positive\n", "column 'block_id': 'B2', but slide a is of"),
        ("block_id;call\nB1;positive\n", "line 1: the columns are separated by semicolons"),
        ("block,call\nB1,positive\n", "line 1: unknown column 'block'"),
        ("call,call\nB1,positive\n", "line 1: column 'call' is there twice"),
        ("case_id,call\n", "there are no ISH results"),
        ("", "there are no ISH results"),
        ('case_id,call\n"C3,positive\n', "not valid CSV"),
    ],
)
def test_bad_input_names_row_and_column(text: str, named: str, index: BlockIndex) -> None:
    with pytest.raises(UsageError) as caught:
        read(text, index)
    assert named in str(caught.value)
    assert str(caught.value).startswith("ish.csv: ")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "not valid JSON"),
        ("{}", "holds no list of results"),
        ('{"results": {}}', "holds no list of results"),
        ("[1]", "item 1: is no object"),
        ('[{"block": "B1"}]', "item 1: unknown column 'block'"),
        ('[{"call": "positive", "call": "negative"}]', "'call' is there twice"),
        ('[{"case_id": "C3", "her2": [4, 5], "cep17": [2]}]', "item 1: the lists her2, cep17"),
        ('[{"case_id": "C3", "her2": [], "cep17": []}]', "item 1: the list 'her2' is empty"),
        ('[{"case_id": "C3", "call": ["positive"]}]', "column 'call': a list is no plain value"),
        ('[{"case_id": "C3", "her2": [4, -1], "cep17": [2, 2]}]', "item 1, column 'her2': '-1'"),
        ('[{"case_id": "C3", "cells": 20, "her2_total": NaN}]', "'nan' is not a whole number"),
        ("[]", "there are no ISH results"),
    ],
)
def test_bad_json_names_the_item(text: str, named: str, index: BlockIndex) -> None:
    with pytest.raises(UsageError) as caught:
        read(text, index, "ish.json")
    assert named in str(caught.value)


def test_files_that_are_no_text(index: BlockIndex) -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        parse_ish(b"\xff\xfe", path=Path("ish.csv"))
    with pytest.raises(UsageError, match="not valid JSON"):
        parse_ish(b"\xff\xfe", path=Path("ish.json"))


@pytest.mark.parametrize(
    ("ids", "key"),
    [
        ({"case_id": "C1", "block_id": "B1"}, BlockKey("C1", "B1", None)),
        ({"block_id": "B2"}, BlockKey("C1", "B2", None)),
        ({"case_id": "C2"}, BlockKey("C2", "B1", None)),
        ({"case_id": "C4"}, BlockKey("C4", "B8", None)),
        ({"slide_id": "i"}, BlockKey("C4", "B8", None)),
        ({"slide_id": "d", "block_id": "B1"}, BlockKey("C3", None, "d")),
        ({"case_id": "C3"}, BlockKey("C3", None, "d")),
        ({"slide_id": "e"}, BlockKey(None, None, "e")),
        ({"case_id": "e"}, BlockKey(None, None, "e")),
        ({"slide_id": "f"}, BlockKey(None, "B7", "f")),
        ({"case_id": "C1", "block_id": "B99"}, BlockKey("C1", "B99", None)),
    ],
)
def test_rows_find_their_block(ids: dict[str, str], key: BlockKey, index: BlockIndex) -> None:
    (record,) = read(f"{','.join(ids)},call\n{','.join(ids.values())},positive\n", index)
    assert record.key == key


def test_texts_that_begin_like_formulas_are_guarded_ids(scored: Make) -> None:
    index = BlockIndex.of([scored("a", "2+", case_id="=C", block_id="-1")])
    (record,) = read("case_id,block_id,call\n'=C,'-1,positive\n", index)
    assert record.key == BlockKey("=C", "-1", None)
