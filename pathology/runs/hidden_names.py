"""Texts and command lines of a pseudonymised run, without the names that they would carry.

Messages of errors come from many places, libraries among them, and name files in ways that nobody
can list. So not only whole names are replaced, but also every single word of a name or of a folder
on the way to it. That costs a word too many here and there, and never one too few.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from pathology.runs.layout import path_text
from pathology.runs.result import SlideResult

__all__ = ["HIDDEN", "HiddenNames", "hide_command", "words_of"]

#: What stands in place of a word that may name somebody.
HIDDEN: Final = "[name]"
#: Pseudonyms stay as they are, whatever words the names have.
_PSEUDONYM: Final = r"\b(?:slide|case|block|site|run)-[a-z2-7]{10}\b"
_WORD: Final = r"[^\W_]+"
_WORDS: Final = re.compile(_WORD)
#: Shorter numbers are counts as often as names, and single letters name nobody.
_MIN_DIGITS: Final = 3
_MIN_LETTERS: Final = 2
#: Flags of region files end in what a person wrote: ``unknown_region_class:Name``.
_DRAWN_FLAG: Final = re.compile(r"^([a-z_]+):\S.*$", re.DOTALL)
#: Options of the commands whose value names no file, folder or person.
_PLAIN_OPTIONS: Final = frozenset(
    [
        *("--set", "--device", "--mpp", "--guideline", "--gap-policy"),
        *("--workers", "--shard", "--executor", "--export"),
    ]
)
_COMMANDS: Final = frozenset({"score", "rescore", "merge"})


def words_of(*texts: str | Path) -> frozenset[str]:
    """Split names and paths into the words that must not be read anywhere.

    Parameters
    ----------
    *texts
        Names as they are; paths are taken with all their folders, as given and resolved, and
        without the ending of the file.

    Examples
    --------
    >>> sorted(words_of("S24-12345", "Jané Doe"))
    ['12345', 'doe', 'jané', 's24']
    """
    found: set[str] = set()
    for text in texts:
        if isinstance(text, Path):
            for path in (text, Path(os.path.abspath(text)), Path(os.path.realpath(text))):  # noqa: PTH100
                for part in (*path.parts[:-1], path.name.partition(".")[0], path.stem):
                    found |= _split(part)
        else:
            found |= _split(text)
    return frozenset(found)


def _split(text: str) -> set[str]:
    words = {word.casefold() for word in _WORDS.findall(_plain(text))}
    return {w for w in words if len(w) >= (_MIN_DIGITS if w.isdigit() else _MIN_LETTERS)}


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", path_text(text))


@dataclass(frozen=True, kw_only=True)
class HiddenNames:
    """Hold the names of a slide, or of a run, that no file of the run may hold.

    Parameters
    ----------
    slide
        Pseudonym of the slide; empty for a whole run.
    pairs
        Whole names, and what is written in their place.
    words
        Words of names, as :func:`words_of` makes them.

    Examples
    --------
    >>> hidden = HiddenNames(slide="slide-aaaaaaaaaa", words=words_of("DOE_JANE_1970"),
    ...                      pairs=(("/in/DOE_JANE_1970.tif", "slide-aaaaaaaaaa"),))
    >>> hidden.text("/in/DOE_JANE_1970.tif: is empty, as jane's other file of 1970 is")
    "slide-aaaaaaaaaa: is empty, as [name]'s other file of [name] is"
    """

    slide: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    words: frozenset[str] = frozenset()

    def text(self, text: str) -> str:
        """Replace every name, and every word of a name, in a text for people."""
        named = {_plain(name).casefold(): made for name, made in self.pairs if name}

        def replaced(match: re.Match[str]) -> str:
            word = match.group()
            if (made := named.get(word.casefold())) is not None:
                return made
            return HIDDEN if word.casefold() in self.words else word

        return _pattern(tuple(named)).sub(replaced, _plain(text))

    def result(self, result: SlideResult) -> SlideResult:
        """Hide the names in those parts of a result that are text for people.

        Parameters
        ----------
        result
            Of this slide; its own columns hold pseudonyms already.

        Returns
        -------
        SlideResult
            The same measurements and score.
        """
        error, regions = result.error, result.regions
        return result.model_copy(
            update={
                "error": error
                and error.model_copy(
                    update={"message": self.text(error.message), "fix": self.text(error.fix)}
                ),
                "warnings": tuple(
                    self.text(_DRAWN_FLAG.sub(r"\1", text)) for text in result.warnings
                ),
                "reader_note": result.reader_note and self.text(result.reader_note),
                "regions": regions and regions.model_copy(update={"name": None}),
            }
        )


@lru_cache(maxsize=64)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Match whole names first, the longest before its parts, then pseudonyms, then any word."""
    ordered = sorted(names, key=len, reverse=True)
    parts = [*map(re.escape, ordered), _PSEUDONYM, _WORD]
    return re.compile("|".join(parts), re.IGNORECASE)


def hide_command(words: Sequence[str]) -> tuple[str, ...]:
    """Return a command line without the words that may be paths or names.

    Options, the name of the command, and values of options that name nothing are kept; whatever
    else there is, known or not, is hidden.

    Examples
    --------
    >>> hide_command(["/home/jane/bin/her2", "score", "in/Jane", "--mpp", "0.25", "--out=/jane"])
    ('her2', 'score', '[name]', '--mpp', '0.25', '--out=[name]')
    """
    hidden = ["her2"] if words else []
    hidden += list(_hidden_words(list(words[1:])))
    return tuple(hidden)


def _hidden_words(words: Sequence[str]) -> Iterable[str]:
    before = ""
    for place, word in enumerate(words):
        option, equals, _ = word.partition("=")
        if not word.startswith("--"):
            known = before in _PLAIN_OPTIONS or (place == 0 and word in _COMMANDS)
            yield word if known else HIDDEN
        elif equals and option not in _PLAIN_OPTIONS:
            yield f"{option}={HIDDEN}" if re.fullmatch(r"--[a-z-]+", option) else HIDDEN
        else:
            yield word if re.fullmatch(r"--[a-z-]+", option) else HIDDEN
        before = word
