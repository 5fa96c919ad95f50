"""Names for results that leave the laboratory, and the one file that says what they stand for.

A pseudonym is a keyed hash (HMAC-SHA-256) of the name: without the key nobody can find out by trial
which file name or case number it was made from, and with it every export of a run uses the same
names. The key and the list of names lie apart from the exports, readable by their owner alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pathology.errors import OutputError, SlideError
from pathology.runs.atomic import AtomicFile, disk_errors
from pathology.runs.layout import PSEUDONYMS
from pathology.runs.result import SlideResult

__all__ = ["Pseudonyms"]

#: Letters of a pseudonym: 50 bits, so that among 10,000 names two agree with a chance of 4e-8.
_LETTERS: Final = 10
_KEY_BYTES: Final = 32
#: Shorter names are replaced as whole values only: within a text they would hit other words.
_SHORT: Final = 4


class Pseudonyms:
    """Give slides, cases, blocks and sites names that say nothing about a person.

    Parameters
    ----------
    key
        32 secret bytes.

    Raises
    ------
    ValueError
        If the key is shorter than 32 bytes.

    Examples
    --------
    >>> names = Pseudonyms(bytes(32))
    >>> names.name("slide", "Smith-0123456789"), names.name("case", "Smith")
    ('slide-263qmccucl', 'case-3b3ixk6lvl')
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _KEY_BYTES:
            raise ValueError(f"a key of pseudonyms has {_KEY_BYTES} bytes or more")
        self._key = key
        self._known: dict[str, dict[str, str]] = {}

    def name(self, kind: str, original: str) -> str:
        """Return the pseudonym of a name.

        Parameters
        ----------
        kind
            What is named: ``slide``, ``case``, ``block``, ``site`` or ``run``. The same text is
            another pseudonym for another kind.
        original
            The name.
        """
        digest = hmac.new(self._key, f"{kind}\0{original}".encode(), hashlib.sha256).digest()
        pseudonym = f"{kind}-{base64.b32encode(digest).decode().lower()[:_LETTERS]}"
        self._known.setdefault(kind, {})[pseudonym] = original
        return pseudonym

    def block(self, case_id: str | None, block_id: str) -> str:
        """Return the pseudonym of a block; blocks of two cases never share one."""
        return self.name("block", f"{case_id or ''}/{block_id}")

    def result(self, result: SlideResult) -> SlideResult:
        """Return a result without the names of files, cases, blocks, sites and stain runs.

        Parameters
        ----------
        result
            As stored.

        Returns
        -------
        SlideResult
            The same measurements and score. The file's date and hash, the name of the region file
            and the older result that it was made from are left out; in messages every name is
            replaced.
        """
        slide = self.name("slide", result.slide_id)
        error = result.error
        regions = result.regions
        changes: dict[str, Any] = {
            "slide_id": slide,
            "path": slide,
            "case_id": result.case_id and self.name("case", result.case_id),
            "block_id": result.block_id and self.block(result.case_id, result.block_id),
            "site": result.site and self.name("site", result.site),
            "stain_run": result.stain_run and self.name("run", result.stain_run),
            "identity": None,
            "rescored": None,
            "error": error
            and error.model_copy(
                update={
                    "message": self.text(error.message, result),
                    "fix": self.text(error.fix, result),
                }
            ),
            "regions": regions and regions.model_copy(update={"name": None, "sha256": None}),
            "warnings": tuple(self.text(text, result) for text in result.warnings),
            "deciding_clause": result.deciding_clause and self.text(result.deciding_clause, result),
        }
        return result.model_copy(update=changes)

    def text(self, text: str, result: SlideResult) -> str:
        """Replace every name of a slide in a text.

        Examples
        --------
        >>> names = Pseudonyms(bytes(32))
        >>> slide = SlideResult(slide_id="Smith-0123456789", path="in/Smith.svs", status="failed",
        ...                     reasons=("unreadable",))
        >>> names.text("/data/in/Smith.svs: empty file", slide)
        'slide-263qmccucl: empty file'
        """
        slide = self.name("slide", result.slide_id)
        path = PurePosixPath(result.path.replace("\\", "/"))
        pairs = [(result.path, slide), (result.slide_id, slide), (path.name, slide)]
        pairs.append((path.stem, slide))
        if result.regions is not None and result.regions.name:
            pairs.append((result.regions.name, "the region file"))
        if result.case_id:
            pairs.append((result.case_id, self.name("case", result.case_id)))
        words = [self._hide(word, pairs) for word in text.split(" ")]
        hidden = " ".join(words)
        for name, pseudonym in sorted(pairs, key=lambda pair: -len(pair[0])):
            if len(name) >= _SHORT:
                hidden = hidden.replace(name, pseudonym)
        return hidden

    @staticmethod
    def _hide(word: str, pairs: Iterable[tuple[str, str]]) -> str:
        """Replace a whole path that ends in a name: its folders may name a person too."""
        bare = word.rstrip(":,.;)")
        for name, pseudonym in pairs:
            if len(name) >= _SHORT and "/" in bare and bare.endswith(name):
                return pseudonym + word[len(bare) :]
        return word

    @classmethod
    def load(cls, root: Path, file: Path | None = None) -> Pseudonyms:
        """Read the key of a run, or make one.

        Parameters
        ----------
        root
            The run folder.
        file
            Another place for the file, as to give the slides of several runs names of one kind.

        Raises
        ------
        OutputError
            If the file is damaged.
        """
        path = file or root / PSEUDONYMS
        try:
            content = json.loads(path.read_bytes())
            names = cls(bytes.fromhex(content["key"]))
            known = {kind: dict(table) for kind, table in content["names"].items()}
        except FileNotFoundError:
            return cls(secrets.token_bytes(_KEY_BYTES))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutputError(
                f"{path}: is not a list of pseudonyms ({error})",
                fix="Restore it from a copy; without it earlier exports cannot be told apart.",
            ) from error
        names._known = known
        return names

    def save(self, root: Path, file: Path | None = None) -> Path:
        """Write key and names for their owner alone (mode 600).

        Parameters
        ----------
        root, file
            As in :meth:`load`.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        path = file or root / PSEUDONYMS
        content = {
            "note": "Keep this file apart from the exports: it says what their names stand for.",
            "key": self._key.hex(),
            "names": {kind: dict(sorted(t.items())) for kind, t in sorted(self._known.items())},
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        try:
            if path.is_file() and path.read_bytes() == text.encode():
                return path
            with AtomicFile(path) as target, disk_errors(path):
                if sys.platform != "win32":
                    os.fchmod(target.stream.fileno(), 0o600)
                target.stream.write(text.encode())
        except SlideError as error:
            raise OutputError(
                error.message,
                fix="Name a place for it with --pseudonyms FILE, or keep the names with "
                "--names original.",
            ) from error
        return path
