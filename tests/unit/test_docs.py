"""The user guide names everything that a user can meet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pathology.batch.manifest import MANIFEST_COLUMNS
from pathology.errors import ReasonCode
from pathology.report.words import FLAG_WORDS
from pathology.runs import RESULT_COLUMNS

ROOT = Path(__file__).parents[2]
#: The guide, and the page that it links for guidelines and their flags.
GUIDE = "".join(
    (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in ("user-guide.md", "guidelines.md")
)
CONTINUOUS = (ROOT / "docs" / "continuous-scores.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_reason_is_explained(code: ReasonCode) -> None:
    assert f"| `{code}` |" in GUIDE


@pytest.mark.parametrize("flag", sorted(FLAG_WORDS))
def test_every_flag_is_explained(flag: str) -> None:
    assert f"| `{flag}` |" in GUIDE


@pytest.mark.parametrize("column", RESULT_COLUMNS)
def test_every_column_is_explained(column: str) -> None:
    families = {"n_": "`n_*`", "pct_": "`pct_*`", "boot_share_": "`boot_share_*`"}
    family = next((name for prefix, name in families.items() if column.startswith(prefix)), None)
    named = f"`{column}`"
    assert named in GUIDE or named in CONTINUOUS or (family is not None and family in GUIDE)


def test_every_manifest_column_is_explained() -> None:
    for name in MANIFEST_COLUMNS:
        assert f"`{name}`" in GUIDE


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda path: path.name
)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "@@" not in text, "a placeholder was not filled in"
    for target in re.findall(r"\]\(([^)#\s]+)\)", text):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target
