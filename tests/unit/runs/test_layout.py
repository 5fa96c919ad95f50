from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from pathology.errors import UsageError
from pathology.runs import make_slide_id, path_text, unique_slide_ids
from pathology.runs.layout import is_slide_id, slide_folder


def test_ids_are_readable_and_differ_for_equal_stems() -> None:
    ids = unique_slide_ids(["a/slide 1.svs", "b/slide 1.svs", "b/slide 1.ndpi", "b/SLIDE 1.svs"])
    assert all(slide_id.lower().startswith("slide_1-") for slide_id in ids)
    assert len({slide_id.lower() for slide_id in ids}) == 4


def test_ids_do_not_depend_on_the_company() -> None:
    assert unique_slide_ids(["b", "a"])[1] == unique_slide_ids(["a"])[0] == make_slide_id("a")
    # The written-out value: an id that changes makes every finished slide be read again.
    assert make_slide_id("cores/3_a1f1510c.tif") == "3_a1f1510c-6deb58c648"


@pytest.mark.parametrize(
    ("key", "stem"),
    [
        ("x/=cmd, 1.svs", "cmd_1"),
        ("日本.svs", "slide"),
        ("Ångström.tif", "Angstrom"),
        ("-rf.svs", "rf"),
        (".hidden", "hidden"),
        ("..", "slide"),
        ("a/b/", "b"),
        ("CON.svs", "CON"),
        ("x" * 300 + ".svs", "x" * 60),
        ("two\nlines.svs", "two_lines"),
        ("\udcff\udcfe.svs", "slide"),
        ("\ud800.svs", "slide"),
        ("a.b.svs", "a.b"),
    ],
)
def test_ids_are_plain_names(key: str, stem: str) -> None:
    slide_id = make_slide_id(key)
    assert slide_id.rsplit("-", maxsplit=1)[0] == stem
    assert is_slide_id(slide_id)


def test_forms_of_an_accent_are_two_names() -> None:
    assert len(set(unique_slide_ids(["\u00e9.svs", "e\u0301.svs"]))) == 2


def test_paths_and_texts_give_one_id() -> None:
    assert make_slide_id(PurePosixPath("a/b.svs")) == make_slide_id("a/b.svs")


def test_one_slide_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a\.svs and a\.svs are the same slide"):
        unique_slide_ids(["a.svs", "b.svs", "a.svs"])


@pytest.mark.parametrize(
    "text", ["", ".", "..", "../a", "a/b", "a\\b", "/a", "-a", "a\0", "x" * 99]
)
def test_nothing_but_plain_names_becomes_a_folder(text: str) -> None:
    assert not is_slide_id(text)
    with pytest.raises(UsageError, match="not a slide id"):
        slide_folder(Path("out"), text)


def test_names_that_are_not_unicode_become_text() -> None:
    assert path_text("a\udcff") == "a\\xff"
    assert path_text("\ud800") == "\\ud800"
    assert path_text(PurePosixPath("é/=b")) == "é/=b"
