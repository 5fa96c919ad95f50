from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from pydantic import ValidationError

from pathology.errors import ReasonCode, SlideError
from pathology.provenance import SlideIdentity
from pathology.runs import (
    COLUMN_KINDS,
    RESULT_COLUMNS,
    BoxBlock,
    GridBlock,
    OutputFile,
    RegionsBlock,
    SlideResult,
    SpacingBlock,
    StainBlock,
    count_columns,
    generate_result_schema,
    load_result_schema,
    result_from_error,
)
from pathology.runs import jsonschema as schema_module
from pathology.scoring.counts import PatternCounts

Make = Callable[..., SlideResult]

# Typed out from the contract, on purpose: a moved or renamed column must fail here.
CONTRACT = """
slide_id, path, case_id, status, reasons, ihc_score, her2_status, her2_tier, ish_reflex,
n_tumour_cells, n_complete_intense, n_complete_weak_moderate, n_incomplete_moderate_intense,
n_incomplete_faint, n_unstained, pct_complete_intense, pct_complete_weak_moderate,
pct_incomplete_moderate_intense, pct_incomplete_faint, pct_unstained, mean_membrane_od, h_score,
deciding_rule, deciding_lo, deciding_hi, distance_to_cutoff_pp, boot_share_null,
boot_share_ultralow, boot_share_1, boot_share_2, boot_share_3, ultralow_upper_pct, borderline,
flags, region_source, n_in_situ_excluded, control_status, tissue_mm2, tumour_mm2, tiles,
failed_tiles, mpp, mpp_source, assay, guideline, calibration, model, model_sha256,
block_id, role, expected_score, membrane_od_p5, membrane_od_p25, membrane_od_p50, membrane_od_p75,
membrane_od_p95, membrane_completeness_median, membrane_completeness_iqr, membrane_cytoplasm_ratio,
qcs_positive_pct, bystander_pct, heterogeneity_index, deciding_pct, cutoff_pct, nearest_score,
nearest_score_pp
"""


def test_columns_are_those_of_the_contract() -> None:
    assert tuple(name.strip() for name in CONTRACT.split(",")) == RESULT_COLUMNS


def test_kinds_of_columns() -> None:
    assert COLUMN_KINDS["ish_reflex"] == COLUMN_KINDS["borderline"] == "bool"
    assert COLUMN_KINDS["tiles"] == COLUMN_KINDS["n_unstained"] == "int"
    assert COLUMN_KINDS["mpp"] == COLUMN_KINDS["distance_to_cutoff_pp"] == "float"
    assert COLUMN_KINDS["reasons"] == COLUMN_KINDS["flags"] == "codes"
    assert COLUMN_KINDS["slide_id"] == COLUMN_KINDS["ihc_score"] == "text"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reasons": ("no_tissue",)}, "reasons must be empty"),
        ({"ish_reflex": True}, "ish_reflex"),
        ({"ish_reflex": None}, "ish_reflex"),
        ({"her2_status": "negative"}, "her2_status negative does not go with 3+"),
        ({"her2_tier": "her2_low"}, "her2_tier"),
        ({"her2_tier": "null"}, "her2_tier"),
        ({"ihc_score": "4+"}, "ihc_score"),
        ({"ihc_score": None}, "indeterminate"),
        ({"status": "done"}, "status"),
        ({"n_unstained": 66}, "add up"),
        ({"n_unstained": None}, "add up"),
        ({"pct_unstained": 66.9}, "pct_unstained"),
        ({"pct_unstained": None}, "pct_unstained"),
        ({"n_tumour_cells": None}, "n_tumour_cells"),
        ({"counts": PatternCounts(unstained=1)}, "counts must add up"),
        ({"mpp_source": None}, "mpp and mpp_source"),
        ({"model_sha256": "B" * 64}, "model_sha256"),
        ({"model": ""}, "model"),
        ({"case_id": ""}, "case_id"),
        ({"failed_tiles": 5}, "failed_tiles"),
        ({"deciding_lo": 5.0, "deciding_hi": 4.0}, "deciding_lo"),
        ({"boot_share_1": 1.0}, "boot_share"),
        ({"flags": ("Not A Code",)}, "flags"),
        ({"mean_membrane_od": float("nan")}, "mean_membrane_od"),
        ({"h_score": 300.1}, "h_score"),
        ({"tiles": 4.0}, "tiles"),
        ({"slide_id": "../a"}, "slide_id"),
        ({"slide_id": "a/b"}, "slide_id"),
        ({"control_status": "fine"}, "control_status"),
        ({"colour": "brown"}, "colour"),
        ({"outputs": (OutputFile(name="a"), OutputFile(name="a", rows=1))}, "twice"),
    ],
)
def test_contradictions_are_refused(scored: Make, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words.replace("+", r"\+")):
        scored(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reasons": ()}, "reasons must be empty"),
        ({"reasons": ("sad",)}, "reasons"),
        ({"reasons": ("unreadable",)}, "means that the slide failed"),
        ({"status": "failed"}, "needs a reason that means failure"),
        ({"ihc_score": "0"}, "only a scored slide"),
        ({"ish_reflex": False}, "only a scored slide"),
        ({"her2_status": "negative"}, "indeterminate"),
    ],
)
def test_unscored_slides_have_a_reason_and_no_score(
    unscored: Make, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        unscored(**changes)


def test_a_slide_that_is_refused_may_still_carry_its_counts(unscored: Make) -> None:
    result = unscored(**count_columns(PatternCounts(unstained=3)), reason="too_few_cells")
    assert (result.n_tumour_cells, result.pct_unstained) == (3, 100.0)
    empty = unscored(**count_columns(PatternCounts()), reason="no_tumour")
    assert (empty.n_tumour_cells, empty.pct_unstained) == (0, None)


def test_an_unresolved_gap_is_scored_without_a_category(scored: Make) -> None:
    result = scored(ihc_score=None, her2_status="indeterminate", her2_tier=None, ish_reflex=False)
    assert result.ihc_score is None


def test_codes_have_one_order(unscored: Make) -> None:
    result = unscored(
        reasons=[ReasonCode.NOT_IHC, ReasonCode.NO_TISSUE, ReasonCode.NOT_IHC], flags={"b", "a"}
    )
    assert result.reasons == (ReasonCode.NO_TISSUE, ReasonCode.NOT_IHC)
    assert result.flags == ("a", "b")


def test_results_are_frozen(scored: Make) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        scored().ihc_score = "0"


def full(scored: Make) -> SlideResult:
    return scored(
        path="Größe, =1\n/日本.svs",
        deciding_clause="> 10 % complete and intense",
        spacing=SpacingBlock(x=0.25, y=0.2501),
        model_mpp=SpacingBlock(x=0.5, y=0.5),
        grid=GridBlock(
            box=BoxBlock(x=0, y=0, width=9, height=9), tile_px=1024, block_x=128, block_y=128
        ),
        class_counts={"tumour": 100, "stroma": 7},
        white_point=(243.0, 242.5, 241.0),
        stain_check=StainBlock(verdict="ihc", measured={"dab_share": 0.1}),
        qc={"focus": 0.5, "artefacts": 2, "pen": False, "note": None},
        regions=RegionsBlock(name="a.geojson", sha256="d" * 64, areas_mm2={"tumour": 1.5}),
        warnings=("one", "two"),
        outputs=(OutputFile(name="cells.parquet", rows=107), OutputFile(name="overview.png")),
        block_id="B1",
        expected_score="3+",
        boot_share_null=0.0,
        boot_share_ultralow=0.0,
        boot_share_1=0.0,
        boot_share_2=0.1,
        boot_share_3=0.9,
    )


def test_json_round_trip_is_exact(scored: Make) -> None:
    result = full(scored)
    content = result.to_json()
    assert SlideResult.from_json(content) == result
    assert SlideResult.from_json(content).to_json() == content
    assert json.loads(content)["counts"]["weak_incomplete"] == 11


def test_json_follows_the_shipped_schema(scored: Make, unscored: Make) -> None:
    schema = load_result_schema()
    for result in (full(scored), unscored(), unscored(status="failed", reason="disk_full")):
        jsonschema.validate(json.loads(result.to_json()), schema)
    broken = {**json.loads(unscored().to_json()), "status": "perhaps"}
    with pytest.raises(jsonschema.ValidationError, match="perhaps"):
        jsonschema.validate(broken, schema)


def test_shipped_schema_is_the_generated_one(request: pytest.FixtureRequest) -> None:
    file = Path(schema_module.__file__).parent / "schemas" / schema_module.RESULT_SCHEMA_FILE
    if request.config.getoption("--update-golden", default=False):
        file.write_bytes(generate_result_schema())
    assert file.read_bytes() == generate_result_schema(), (
        "result.json changed: raise SCHEMA_VERSION if old readers break, note it in the changelog, "
        "and write generate_result_schema() to the file"
    )


def test_schema_names_every_field(scored: Make) -> None:
    assert set(load_result_schema()["properties"]) == set(json.loads(scored().to_json()))


def test_damaged_json_names_the_place(scored: Make) -> None:
    content = scored().to_json().replace(b'"ihc_score": "3+"', b'"ihc_score": "9+"')
    with pytest.raises(ValueError, match="ihc_score"):
        SlideResult.from_json(content)
    with pytest.raises(ValueError, match="not a slide result"):
        SlideResult.from_json(content[:50])
    with pytest.raises(ValueError, match="schema_version"):
        SlideResult.from_json(
            scored().to_json().replace(b'"schema_version": 2', b'"schema_version": 3')
        )


def test_numbers_of_numpy_doubles_are_taken_and_written_plainly(scored: Make) -> None:
    result = scored(h_score=np.float64(12.5))
    assert b'"h_score": 12.5' in result.to_json()


def test_result_from_error_keeps_cause_and_fix() -> None:
    error = SlideError("a.svs: no pixel size", reason=ReasonCode.MISSING_MPP, fix="Give --mpp.")
    result = result_from_error(
        error, slide_id="a", path="a.svs", identity=SlideIdentity(size=1, mtime_ns=2)
    )
    assert (result.status, result.reasons) == ("not_scorable", (ReasonCode.MISSING_MPP,))
    assert result.error is not None
    assert (result.error.message, result.error.fix) == ("a.svs: no pixel size", "Give --mpp.")


def test_this_room_does_not_load_torch() -> None:
    code = "import sys, pathology.runs, pathology.provenance; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
