"""Type for printed reports: the fonts, and what is done with letters that they lack.

The text is set in DejaVu, which comes with matplotlib and is embedded: Latin, Greek, Cyrillic,
signs such as µ and ≥. Chinese, Japanese and Korean names are set in Adobe's standard fonts, which
PDF readers bring or replace. A letter that none of these has is printed as its number, ``U+0928``:
an empty box in place of a name would hide whose report it is.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import matplotlib
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

__all__ = ["load_fonts", "marked_up"]

_FILES: Final = {"Text": "DejaVuSans", "Bold": "DejaVuSans-Bold", "Mono": "DejaVuSansMono"}
_HAN, _KANA, _HANGUL = "STSong-Light", "HeiseiKakuGo-W5", "HYGothic-Medium"
#: First and last letter of the scripts that the standard fonts hold.
_SCRIPTS: Final = (
    (0x3040, 0x30FF, _KANA),
    (0xAC00, 0xD7A3, _HANGUL),
    (0x3000, 0x303F, _HAN),
    (0x4E00, 0x9FFF, _HAN),
    (0xFF01, 0xFF5E, _HAN),
)


@cache
def load_fonts() -> None:
    """Make the fonts known to the library, once."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name, file in _FILES.items():
        pdfmetrics.registerFont(TTFont(f"Her2{name}", str(folder / f"{file}.ttf")))
    for name in (_HAN, _KANA, _HANGUL):
        pdfmetrics.registerFont(UnicodeCIDFont(name))


def marked_up(text: str, font: str) -> str:
    """Return a plain text as reportlab's markup, with another font where ``font`` lacks a letter.

    Parameters
    ----------
    text
        Plain text: what looks like markup in it is printed as it is.
    font
        Name of the font that the paragraph is set in.

    Examples
    --------
    >>> marked_up("a<b", "Her2Text"), marked_up("नि", "Her2Text")
    ('a&lt;b', 'U+0928U+093F')
    """
    load_fonts()
    shown = _left_to_right(" ".join(text.split()))
    scripts = [_script(sign) for sign in shown]
    # Han letters of a Japanese or Korean name are set like the rest of it.
    han = next((name for name in scripts if name in (_KANA, _HANGUL)), _HAN)
    glyphs = pdfmetrics.getFont(font).face.charToGlyph
    parts = []
    named = (
        (_font(sign, name, han, glyphs), sign) for sign, name in zip(shown, scripts, strict=True)
    )
    for name, run in groupby(named, key=lambda pair: pair[0]):
        signs = [sign for _, sign in run]
        if name is None:
            parts += [f"U+{ord(sign):04X}" for sign in signs]
        elif name:
            parts.append(f'<font name="{name}">{escape("".join(signs))}</font>')
        else:
            parts.append(escape("".join(signs)))
    return "".join(parts)


def _font(sign: str, script: str, han: str, glyphs: Any) -> str | None:
    """Return the font of a letter: empty for the paragraph's own, None where there is none."""
    if ord(sign) in glyphs:
        return ""
    if script:
        return han if script == _HAN else script
    load = pdfmetrics.getFont("Her2Text").face.charToGlyph
    return "Her2Text" if ord(sign) in load else None


def _script(sign: str) -> str:
    number = ord(sign)
    return next((name for first, last, name in _SCRIPTS if first <= number <= last), "")


def _left_to_right(text: str) -> str:
    """Turn words that are written from right to left round, because the library does not.

    Arabic letters stay in the form that they have alone.

    Examples
    --------
    >>> _left_to_right("abc שלום def") == "abc " + "שלום"[::-1] + " def"
    True
    """
    kinds = [unicodedata.bidirectional(sign) for sign in text]
    if not {"R", "AL"} & set(kinds):
        return text
    strong = [kind in ("R", "AL", "NSM") for kind in kinds]
    found, start = [], 0
    while start < len(text):
        if not strong[start]:
            found.append(text[start])
            start += 1
            continue
        end = start
        for place in range(start, len(text)):
            if strong[place]:
                end = place
            elif kinds[place] not in ("WS", "ON", "CS"):
                break
        found.append("".join(reversed(_with_marks(text[start : end + 1]))))
        start = end + 1
    return "".join(found)


def _with_marks(text: str) -> list[str]:
    """Split a text into letters with the marks that stand on them."""
    letters: list[str] = []
    for sign in text:
        if letters and unicodedata.combining(sign):
            letters[-1] += sign
        else:
            letters.append(sign)
    return letters
