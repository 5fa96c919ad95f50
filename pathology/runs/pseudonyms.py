"""Names that say nothing about a person, and the one file that says what they stand for.

A pseudonym is a keyed hash (HMAC-SHA-256) of the name: without the key nobody can find out by trial
which file name or case number it was made from, and with it every export of a run uses the same
names. The key and the list of names lie apart from the exports, readable by their owner alone.

An export gives pseudonyms to a run that has names; ``her2 score --pseudonymise`` makes a run that
never had any. Both make the same pseudonym of the same name with the same key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pathology.errors import OutputError, SlideError, UsageError
from pathology.runs.atomic import AtomicFile, disk_errors
from pathology.runs.layout import PSEUDONYMS
from pathology.runs.lock import RunLock
from pathology.runs.result import SlideResult

__all__ = ["GivenPseudonyms", "Pseudonyms", "pseudonyms_file"]

#: Letters of a pseudonym: 50 bits, so that among 10,000 names two agree with a chance of 4e-8.
_LETTERS: Final = 10
_KEY_BYTES: Final = 32
#: Shorter names are replaced as whole values only: within a text they would hit other words.
_SHORT: Final = 4
#: Seconds to wait for another process that writes to the same list.
_LOCK_SECONDS: Final = 20.0
_PLACE_FIX: Final = (
    "Name a place for it with --pseudonyms FILE, or keep the names with --names original."
)


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

        Raises
        ------
        UsageError
            If another name already has this pseudonym: two slides would become one.
        """
        digest = hmac.new(self._key, f"{kind}\0{original}".encode(), hashlib.sha256).digest()
        pseudonym = f"{kind}-{base64.b32encode(digest).decode().lower()[:_LETTERS]}"
        if self._known.setdefault(kind, {}).setdefault(pseudonym, original) != original:
            raise UsageError(
                f"two {kind}s would have the pseudonym {pseudonym}",
                fix="Rename one of them, or start a new list of pseudonyms with --pseudonyms FILE.",
            )
        return pseudonym

    @property
    def fingerprint(self) -> str:
        """What tells this key from others, and does not tell the key."""
        return hmac.new(self._key, b"her2-ihc list of pseudonyms", hashlib.sha256).hexdigest()[:16]

    def place(self, pseudonym: str, path: str) -> None:
        """Note where the file of a slide lies; the list alone can then find it again."""
        self._known.setdefault("path", {})[pseudonym] = path

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
    def begin(cls, file: Path) -> Pseudonyms:
        """Read a list of pseudonyms, or make one that other processes then find.

        Parameters
        ----------
        file
            The list. Where there is none, one process makes the key, also if several ask at once.

        Raises
        ------
        OutputError
            If the file is damaged or cannot be written.
        """
        with _alone(file):
            names = cls.load(file.parent, file)
            return names if file.exists() else names._write(file)

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
        if file is None:
            self._write(path)
            return path
        with _alone(file):
            there = type(self).load(root, file)
            if file.exists() and there.fingerprint != self.fingerprint:
                raise OutputError(
                    f"{file}: was replaced by another list of pseudonyms meanwhile",
                    fix="Restore it from a copy.",
                )
            # What other runs have added is kept.
            for kind, table in there._known.items():
                self._known[kind] = {**table, **self._known.get(kind, {})}
            self._write(file)
        return path

    def _write(self, path: Path) -> Pseudonyms:
        content = {
            "note": "Keep this file apart from the results: it says what their names stand for.",
            "key": self._key.hex(),
            "names": {kind: dict(sorted(t.items())) for kind, t in sorted(self._known.items())},
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        try:
            if path.is_file() and path.read_bytes() == text.encode():
                with disk_errors(path):
                    path.chmod(0o600)  # a copy may have come with wider rights
                return self
            with AtomicFile(path) as target, disk_errors(path):
                if sys.platform != "win32":
                    os.fchmod(target.stream.fileno(), 0o600)
                target.stream.write(text.encode())
        except SlideError as error:
            raise OutputError(error.message, fix=_PLACE_FIX) from error
        return self


class GivenPseudonyms(Pseudonyms):
    """Take the names of a run that was pseudonymised when it was scored: they stay as they are.

    Examples
    --------
    >>> GivenPseudonyms().name("slide", "slide-263qmccucl")
    'slide-263qmccucl'
    """

    def __init__(self) -> None:
        super().__init__(bytes(_KEY_BYTES))

    def name(self, kind: str, original: str) -> str:  # noqa: ARG002
        """Return the name, which is a pseudonym."""
        return original

    def block(self, case_id: str | None, block_id: str) -> str:  # noqa: ARG002
        """Return the block, which is a pseudonym."""
        return block_id

    def save(self, root: Path, file: Path | None = None) -> Path:
        """Write nothing: the list lies where the run's own was kept."""
        return file or root / PSEUDONYMS


def pseudonyms_file(out: Path, file: Path | None = None) -> Path:
    """Return where the list of pseudonyms of a run lies: beside its folder, never in it.

    Parameters
    ----------
    out
        The run folder, which need not exist.
    file
        Another place.

    Raises
    ------
    UsageError
        If it would lie in the run folder, which is what is handed out.

    Examples
    --------
    >>> pseudonyms_file(Path("/data/out")).as_posix()
    '/data/out.pseudonyms.json'
    """
    root = Path(os.path.realpath(out))
    path = root.with_name(f"{root.name}.{PSEUDONYMS}") if file is None else file
    if root in Path(os.path.realpath(path)).parents:
        raise UsageError(
            f"--pseudonyms {path}: lies in the output folder, which would then name everybody",
            fix=f"Leave it out for {root.name}.{PSEUDONYMS} beside the folder, or name another "
            "place.",
        )
    return path


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold a list while it is read and written; other processes wait."""
    end = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            if not file.parent.is_dir():
                raise OutputError(f"{file.parent}: there is no such folder", fix=_PLACE_FIX)
            lock = RunLock(file.with_name(f".{file.name}.lock"))
            break
        except OutputError:
            if time.monotonic() > end or not file.parent.is_dir():
                raise
            time.sleep(0.05)
    try:
        yield
    finally:
        lock.release()
