"""Any text can be printed: names come from outside."""

from __future__ import annotations

import re
from html import unescape

import pytest

pytest.importorskip("reportlab")

from hypothesis import example, given
from hypothesis import strategies as st

from pathology.report.pdf_parts import paragraph
from pathology.report.pdf_text import marked_up


@given(st.text(max_size=60), st.booleans(), st.booleans())
@example("\x00\x1b</b>&#0; <font name='x'>", False, False)
@example("山田\u200f\u202e (abc) \ud7ff\ue000", True, False)
def test_every_text_can_be_set(text: str, bold: bool, mono: bool) -> None:
    set_text = paragraph(text, bold=bold, mono=mono)
    _, high = set_text.wrap(200, 1000)
    assert high >= 0


def words(markup: str) -> str:
    return unescape(re.sub(r"</?font[^>]*>", "", markup))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), max_size=60))
def test_latin_text_stays_as_it_is(text: str) -> None:
    kept = "".join(sign for sign in text if sign.isprintable())
    assert words(marked_up(kept, "Her2Text")) == " ".join(kept.split())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("µ ≥ ² Ωμέγα Иванова", "µ ≥ ² Ωμέγα Иванова"),
        (
            "山田 太郎",
            '<font name="STSong-Light">山田</font> <font name="STSong-Light">太郎</font>',
        ),
        ("김", '<font name="HYGothic-Medium">김</font>'),
        ("山やま", '<font name="HeiseiKakuGo-W5">山やま</font>'),
        ("ก𝄞", "U+0E01U+1D11E"),
        ("a שלום, עולם b", "a םלוע ,םולש b"),
        ("<b>&", "&lt;b&gt;&amp;"),
    ],
)
def test_letters_are_set_in_a_font_that_has_them(text: str, shown: str) -> None:
    assert marked_up(text, "Her2Text") == shown


def test_a_letter_that_only_the_plain_face_has_is_set_in_it() -> None:
    from reportlab.pdfbase import pdfmetrics

    marked_up("", "Her2Text")
    faces = [pdfmetrics.getFont(name).face.charToGlyph for name in ("Her2Text", "Her2Mono")]
    only = next(code for code in sorted(faces[0]) if code > 0x2000 and code not in faces[1])
    assert marked_up(chr(only), "Her2Mono") == f'<font name="Her2Text">{chr(only)}</font>'
