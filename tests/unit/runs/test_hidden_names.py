"""What names somebody is in no text and no command line of a pseudonymised run."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pathology.runs import ErrorBlock, HiddenNames, RegionsBlock, SlideResult, words_of
from pathology.runs.hidden_names import HIDDEN, hide_command

SLIDE = "slide-263qmccucl"
LETTERS = "abcdeXYZéößñ中文0123456789"
PART = st.text(LETTERS, min_size=3, max_size=9)
NAME = st.lists(PART, min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from("_- .").map(lambda mark: mark.join(parts))
)
ABOUT = st.sampled_from(
    [
        "{path}: is empty",
        "<TiffFile '{name}.tif'> cannot be read",
        "{folder}/other.dcm, line 3: {name!r}",
        "{upper} or {lower}?",
        "NFD {nfd} at {path}:12",
    ]
)


def tokens(text: str) -> set[str]:
    found = re.findall(r"[^\W_]+", unicodedata.normalize("NFC", text))
    return {token.casefold() for token in found}


@given(NAME, NAME, ABOUT)
def test_no_word_of_a_name_is_left_in_a_text(folder: str, name: str, about: str) -> None:
    path = Path("/") / folder / f"{name}.tif"
    hidden = HiddenNames(slide=SLIDE, pairs=((str(path), SLIDE),), words=words_of(path))
    text = about.format(
        path=path,
        name=name,
        folder=path.parent,
        upper=name.upper(),
        lower=name.lower(),
        nfd=unicodedata.normalize("NFD", name),
    )
    left = tokens(hidden.text(text).replace(SLIDE, "").replace(HIDDEN, ""))
    own = {word for part in (folder, name) for word in tokens(part)}
    assert not {word for word in left & own if len(word) >= 3}


@given(st.text(max_size=60))
def test_a_text_without_names_stays(text: str) -> None:
    assert HiddenNames().text(text) == unicodedata.normalize("NFC", text)


def test_pseudonyms_stay_whatever_the_names_are() -> None:
    hidden = HiddenNames(words=words_of("slide case 263qmccucl"))
    assert hidden.text(f"{SLIDE}: the slide is empty") == f"{SLIDE}: the {HIDDEN} is empty"


def test_only_texts_of_a_result_change() -> None:
    result = SlideResult(
        slide_id=SLIDE,
        path=SLIDE,
        status="failed",
        reasons=("unreadable",),
        error=ErrorBlock(message="/in/failed.tif: unreadable", fix="Copy failed.tif again."),
        warnings=("unknown_region_class:Jane", "1 tile failed: failed.tif is cut"),
        reader_note="failed.tif has no index",
        regions=RegionsBlock(name="failed.geojson", sha256="0" * 64),
    )
    # A file may be called like a value of a column.
    hidden = HiddenNames(slide=SLIDE, words=words_of(Path("/in/failed.tif")))
    made = hidden.result(result)
    assert (made.status, made.reasons, made.slide_id) == ("failed", ("unreadable",), SLIDE)
    assert made.error is not None
    assert made.error.message == f"/in/{HIDDEN}.tif: unreadable".replace("/in/", f"/{HIDDEN}/")
    assert made.error.fix == f"Copy {HIDDEN}.tif again."
    assert made.warnings == ("unknown_region_class", f"1 tile {HIDDEN}: {HIDDEN}.tif is cut")
    assert made.reader_note == f"{HIDDEN}.tif has no index"
    assert made.regions is not None
    assert made.regions.name is None
    assert SlideResult.from_json(made.to_json()) == made


@given(st.lists(st.text(LETTERS + "/.=-", min_size=1, max_size=12), max_size=6))
def test_a_command_line_keeps_no_free_word(words: list[str]) -> None:
    made = hide_command(["/home/jane/bin/her2", "score", *words, "--out", "/jane/x"])
    assert made[:2] == ("her2", "score")
    assert "jane" not in " ".join(made)
    # Options alone may stay: they are made of small letters and hyphens.
    free = [word for word in made[2:] if word != HIDDEN and not re.match(r"--[a-z-]+", word)]
    assert not free


def test_what_names_nobody_stays_in_a_command_line() -> None:
    words = [
        "her2",
        "score",
        "a.tif",
        "--mpp",
        "0.25",
        "--set",
        "scoring.x=1",
        "--out=o",
        "--shard",
        "1/2",
        "-x",
        "--force",
    ]
    assert hide_command(words) == tuple(
        f"her2 score {HIDDEN} --mpp 0.25 --set scoring.x=1 --out={HIDDEN} --shard 1/2 {HIDDEN} "
        "--force".split(" ")
    )
