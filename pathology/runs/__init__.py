"""The run folder: its layout, its tables, and the rules that keep them whole.

This room is the only writer and reader of tables. Every file is written to a temporary name, synced
and renamed, so that a file that exists is complete; a slide is done when its ``result.json`` exists
and fits the slide, the configuration and the model.
"""

from __future__ import annotations

from pathology.runs.atomic import AtomicFile, atomic_write_bytes
from pathology.runs.blocks import (
    BoxBlock,
    CalibrationBlock,
    ErrorBlock,
    GridBlock,
    OutputFile,
    RegionsBlock,
    RescoredBlock,
    SpacingBlock,
    StainBlock,
)
from pathology.runs.case_scores import CaseScore, read_case_scores, read_patient_rows
from pathology.runs.cases import CASE_COLUMNS, CaseRow, summarise_cases, write_cases
from pathology.runs.cells import CellWriter, read_cell, read_cell_columns, read_cells, rewrite_cells
from pathology.runs.folder import RunFolder
from pathology.runs.ground import (
    Ground,
    decode_backdrop,
    encode_backdrop,
    read_ground,
    write_ground,
)
from pathology.runs.hidden_names import HiddenNames, words_of
from pathology.runs.ish_import import IshOutcome, apply_ish
from pathology.runs.jsonschema import generate_result_schema, load_result_schema
from pathology.runs.kept import KeptResults
from pathology.runs.layout import make_slide_id, path_text, unique_slide_ids
from pathology.runs.leases import LEASE_SECONDS, ShardRecord, Watch, read_records
from pathology.runs.log import RunLog, read_slide_timings
from pathology.runs.merge import (
    Joined,
    MissingSlidesError,
    gather_parts,
    merge_runs,
    write_joined,
)
from pathology.runs.pseudonyms import GivenPseudonyms, Pseudonyms, pseudonyms_file
from pathology.runs.readings import NOT_SCORABLE, Reading, ReadingFile, read_readings
from pathology.runs.result import SCHEMA_VERSION, SlideResult, count_columns, result_from_error
from pathology.runs.results import read_results, read_rows, read_slide_result, write_results
from pathology.runs.row import COLUMN_KINDS, PATTERN_COLUMNS, RESULT_COLUMNS, TIER_ORDER, ResultRow
from pathology.runs.run_info import (
    RunInfo,
    RunKey,
    RunOrigin,
    is_finished,
    is_pseudonymised,
    now,
    read_run_info,
    write_run_info,
)
from pathology.runs.schema import CELL_SCHEMA, RESULT_SCHEMA, TILE_SCHEMA
from pathology.runs.shard_folder import ShardFolder, read_slide_lists
from pathology.runs.slide_folder import SlideFolder
from pathology.runs.state import RunState, ShardState, read_state
from pathology.runs.tiles import TileRow, read_tiles, write_tiles

__all__ = [
    "CASE_COLUMNS",
    "CELL_SCHEMA",
    "COLUMN_KINDS",
    "LEASE_SECONDS",
    "NOT_SCORABLE",
    "PATTERN_COLUMNS",
    "RESULT_COLUMNS",
    "RESULT_SCHEMA",
    "SCHEMA_VERSION",
    "TIER_ORDER",
    "TILE_SCHEMA",
    "AtomicFile",
    "BoxBlock",
    "CalibrationBlock",
    "CaseRow",
    "CaseScore",
    "CellWriter",
    "ErrorBlock",
    "GivenPseudonyms",
    "GridBlock",
    "Ground",
    "HiddenNames",
    "IshOutcome",
    "Joined",
    "KeptResults",
    "MissingSlidesError",
    "OutputFile",
    "Pseudonyms",
    "Reading",
    "ReadingFile",
    "RegionsBlock",
    "RescoredBlock",
    "ResultRow",
    "RunFolder",
    "RunInfo",
    "RunKey",
    "RunLog",
    "RunOrigin",
    "RunState",
    "ShardFolder",
    "ShardRecord",
    "ShardState",
    "SlideFolder",
    "SlideResult",
    "SpacingBlock",
    "StainBlock",
    "TileRow",
    "Watch",
    "apply_ish",
    "atomic_write_bytes",
    "count_columns",
    "decode_backdrop",
    "encode_backdrop",
    "gather_parts",
    "generate_result_schema",
    "is_finished",
    "is_pseudonymised",
    "load_result_schema",
    "make_slide_id",
    "merge_runs",
    "now",
    "path_text",
    "pseudonyms_file",
    "read_case_scores",
    "read_cell",
    "read_cell_columns",
    "read_cells",
    "read_ground",
    "read_patient_rows",
    "read_readings",
    "read_records",
    "read_results",
    "read_rows",
    "read_run_info",
    "read_slide_lists",
    "read_slide_result",
    "read_slide_timings",
    "read_state",
    "read_tiles",
    "result_from_error",
    "rewrite_cells",
    "summarise_cases",
    "unique_slide_ids",
    "words_of",
    "write_cases",
    "write_ground",
    "write_joined",
    "write_results",
    "write_run_info",
    "write_tiles",
]
