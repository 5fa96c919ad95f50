"""The JSON Schema of ``result.json``: generated from the type, shipped with the package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from pathology.runs.result import SlideResult

__all__ = ["RESULT_SCHEMA_FILE", "generate_result_schema", "load_result_schema"]

#: Name of the shipped file in ``pathology/runs/schemas``.
RESULT_SCHEMA_FILE = "result.schema.json"


def generate_result_schema() -> bytes:
    """Generate the schema from :class:`SlideResult`.

    Returns
    -------
    bytes
        What the shipped file must hold; a test compares the two.
    """
    schema: dict[str, Any] = SlideResult.model_json_schema(mode="serialization")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return (json.dumps(schema, indent=2, ensure_ascii=False) + "\n").encode()


def load_result_schema() -> dict[str, Any]:
    """Load the shipped schema.

    Examples
    --------
    >>> load_result_schema()["title"]
    'SlideResult'
    """
    file = resources.files("pathology.runs") / "schemas" / RESULT_SCHEMA_FILE
    schema: dict[str, Any] = json.loads(file.read_bytes())
    return schema
