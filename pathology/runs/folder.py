"""The run folder: who may work in it, where its files go, and which slides are done."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pathology.errors import OutputError, ReasonCode, SlideError
from pathology.provenance import SlideIdentity
from pathology.runs.atomic import (
    atomic_write_bytes,
    disk_errors,
    is_temporary,
    remove_temporary,
    sync_folder,
)
from pathology.runs.layout import (
    CELLS,
    HEATMAP,
    LOCK,
    OVERVIEW,
    PREVIOUS,
    RESULT,
    RUN,
    SLIDES,
    TILES,
    slide_folder,
)
from pathology.runs.lock import RunLock
from pathology.runs.log import RunInfo, RunKey, read_run_info, write_run_info
from pathology.runs.result import SlideResult

__all__ = ["MIN_FREE_BYTES", "RunFolder", "SlideFolder"]

#: Free space without which a run does not begin: the tables and pictures of one small slide.
MIN_FREE_BYTES: Final = 16 * 1024 * 1024
# What file managers leave in a folder that people take for empty.
_DROPPINGS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True, kw_only=True)
class SlideFolder:
    """Hold the place of one slide's files; may be handed to another process.

    Parameters
    ----------
    root
        The run folder.
    slide_id
        The slide; a plain name.
    """

    root: Path
    slide_id: str

    @property
    def path(self) -> Path:
        """The slide's folder.

        Raises
        ------
        UsageError
            If the slide id is not a plain name.
        """
        return slide_folder(self.root, self.slide_id)

    @property
    def cells(self) -> Path:
        """Path of ``cells.parquet``."""
        return self.path / CELLS

    @property
    def tiles(self) -> Path:
        """Path of ``tiles.parquet``."""
        return self.path / TILES

    @property
    def result(self) -> Path:
        """Path of ``result.json``."""
        return self.path / RESULT

    @property
    def overview(self) -> Path:
        """Path of ``overview.png``."""
        return self.path / OVERVIEW

    @property
    def heatmap(self) -> Path:
        """Path of ``heatmap.png``."""
        return self.path / HEATMAP

    def begin(self) -> None:
        """Make the folder ready for a new reading: what an older one left is removed.

        ``result.json`` goes first, so that at no moment an old result stands beside new tables.

        Raises
        ------
        SlideError
            If the folder cannot be written, or is a link that leads elsewhere.
        """
        path = self._make()
        with disk_errors(path):
            self.result.unlink(missing_ok=True)
            sync_folder(path)
            for old in (self.cells, self.tiles, self.overview, self.heatmap):
                old.unlink(missing_ok=True)
        remove_temporary(path)

    def write_result(self, result: SlideResult) -> None:
        """Write ``result.json``, the last file of a slide: with it the slide is done.

        Parameters
        ----------
        result
            Of this slide; the files that it names must exist.

        Raises
        ------
        ValueError
            If it is the result of another slide, or names a file that is not there.
        SlideError
            If the disk is full or the folder cannot be written.
        """
        if result.slide_id != self.slide_id:
            raise ValueError(f"result of {result.slide_id} in the folder of {self.slide_id}")
        for file in result.outputs:
            if not (self.path / file.name).is_file():
                raise ValueError(f"{self.path / file.name}: named by the result, but not written")
        self._make()
        atomic_write_bytes(self.result, result.to_json())

    def load(self) -> SlideResult | None:
        """Read ``result.json``; None where it is missing, damaged or of another version."""
        try:
            result = SlideResult.from_json(self.result.read_bytes())
        except (OSError, ValueError):
            return None
        return result if result.slide_id == self.slide_id else None

    def done(
        self, identity: SlideIdentity, *, config_hash: str, model_sha256: str
    ) -> SlideResult | None:
        """Return the slide's result if nothing needs to be done again.

        Parameters
        ----------
        identity
            The slide as it is now.
        config_hash, model_sha256
            Of the present run.

        Returns
        -------
        SlideResult or None
            None where the slide is to be read: never read, failed, changed, read with another
            configuration or model, or with a file missing or cut short.
        """
        result = self.load()
        if result is None or result.status == "failed" or result.identity is None:
            return None
        if not result.identity.matches(identity) or result.config_hash != config_hash:
            return None
        # A slide that was refused before the model saw it names no model.
        if result.model_sha256 not in (None, model_sha256):
            return None
        whole = all(_is_whole(self.path / file.name, file.rows) for file in result.outputs)
        return result if whole else None

    def _make(self) -> Path:
        path = self.path
        if path.is_symlink() or path.parent.is_symlink():
            raise SlideError(
                f"{path}: is a link, and nothing is written outside the output folder",
                reason=ReasonCode.OUTPUT_NOT_WRITABLE,
                fix="Remove the link.",
            )
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        return path


class RunFolder:
    """Hold an output folder for one run at a time.

    Parameters
    ----------
    path
        The folder; made where there is none.
    key
        Configuration and model of the run. A folder holds slides of one key only.
    force
        Move what an earlier run left to ``previous/<number>/`` and start anew.
    min_free_bytes
        Free space without which the run does not begin.

    Raises
    ------
    OutputError
        If the folder cannot be used: not writable, almost full, in use by another process, full of
        files that are not of a run, or bound to another key (unless ``force``).

    Examples
    --------
    >>> import tempfile
    >>> key = RunKey(config_hash="c", config={}, model="m/1", model_sha256="d")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with RunFolder(Path(folder) / "out", key) as run:
    ...         run.slide("a-1").path.name
    'a-1'
    """

    def __init__(
        self,
        path: Path,
        key: RunKey,
        *,
        force: bool = False,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        self.path = _make_folder(path)
        self.key = key
        _refuse_foreign(self.path)
        self._lock = RunLock(self.path / LOCK)
        try:
            self._check_space(min_free_bytes)
            self._remove_leftovers()
            self._bind(force=force)
        except SlideError as error:
            self._lock.release()
            raise OutputError(error.message, fix=error.fix) from error
        except BaseException:
            self._lock.release()
            raise

    def slide(self, slide_id: str) -> SlideFolder:
        """Return the place of one slide's files.

        Raises
        ------
        UsageError
            If the slide id is not a plain name.
        """
        slide_folder(self.path, slide_id)
        return SlideFolder(root=self.path, slide_id=slide_id)

    def done(self, slide_id: str, identity: SlideIdentity) -> SlideResult | None:
        """Return a slide's result if nothing needs to be done again; see :class:`SlideFolder`."""
        return self.slide(slide_id).done(
            identity, config_hash=self.key.config_hash, model_sha256=self.key.model_sha256
        )

    def is_done(self, slide_id: str, identity: SlideIdentity) -> bool:
        """Tell whether nothing needs to be done again for a slide."""
        return self.done(slide_id, identity) is not None

    def write_info(self, info: RunInfo) -> None:
        """Write ``run.json`` with the facts of the present run.

        Raises
        ------
        OutputError
            If the disk is full or the folder cannot be written.
        """
        write_run_info(self.path, self.key, info)

    def close(self) -> None:
        """Give the folder free for other runs; harmless when repeated."""
        self._lock.release()

    def __enter__(self) -> Self:
        """Return the folder."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the folder free."""
        self.close()

    def _check_space(self, min_free_bytes: int) -> None:
        free = shutil.disk_usage(self.path).free
        if free < min_free_bytes:
            raise OutputError(
                f"{self.path}: only {free / 1e6:.0f} MB are free on this disk, and a run needs at "
                f"least {min_free_bytes / 1e6:.0f} MB",
                fix="Free some space or name a folder on another disk.",
            )

    def _remove_leftovers(self) -> None:
        remove_temporary(self.path)
        slides = self.path / SLIDES
        if slides.is_symlink():
            raise OutputError(
                f"{slides}: is a link, and nothing is written outside the output folder",
                fix="Remove the link.",
            )
        if slides.is_dir():
            for entry in slides.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    remove_temporary(entry)

    def _bind(self, *, force: bool) -> None:
        if (self.path / RUN).exists():
            there, _ = read_run_info(self.path)
            differences = there.differences(self.key)
            if force:
                _move_to_previous(self.path)
            elif differences:
                raise OutputError(
                    f"{self.path}: holds a run of another configuration ({_short(differences)})",
                    fix="Name another folder, or give --force to move that run to "
                    f"{PREVIOUS}/ and start anew.",
                )
        with disk_errors(self.path):
            (self.path / SLIDES).mkdir(exist_ok=True)
        if not (self.path / RUN).exists():
            write_run_info(self.path, self.key, None)


def _make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        return path.resolve(strict=True)
    except FileExistsError as error:
        raise OutputError(
            f"{path}: is a file, and the output needs a folder", fix="Name another folder."
        ) from error
    except OSError as error:
        raise OutputError(
            f"{path}: the output folder cannot be made ({error.strerror or error})",
            fix="Name a folder that you may write to.",
        ) from error


def _refuse_foreign(path: Path) -> None:
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise OutputError(
            f"{path}: the output folder cannot be listed ({error.strerror or error})",
            fix="Name a folder that you may read and write.",
        ) from error
    if RUN in names:
        # Says so itself if it is the run.json of another program.
        read_run_info(path)
        return
    ours = {LOCK, PREVIOUS, *_DROPPINGS}
    foreign = [name for name in names if name not in ours and not is_temporary(name)]
    if foreign:
        raise OutputError(
            f"{path}: is not empty and not the output of an earlier run (it holds "
            f"{_short(foreign)})",
            fix="Name a new or empty folder; --force does not touch files of others.",
        )


def _move_to_previous(root: Path) -> None:
    """Move an earlier run aside; ``run.json`` last, so that a kill leaves it recognisable."""
    with disk_errors(root / PREVIOUS):
        previous = root / PREVIOUS
        previous.mkdir(exist_ok=True)
        taken = [int(entry.name) for entry in previous.iterdir() if entry.name.isdigit()]
        target = previous / f"{max(taken, default=0) + 1:04d}"
        target.mkdir()
        names = sorted(entry.name for entry in root.iterdir())
        for name in [name for name in names if name not in (LOCK, PREVIOUS, RUN)] + [RUN]:
            (root / name).rename(target / name)
        sync_folder(target)
        sync_folder(root)


def _is_whole(path: Path, rows: int | None) -> bool:
    if not path.is_file():
        return False
    if rows is None:
        return True
    try:
        return int(pq.read_metadata(path).num_rows) == rows
    except (OSError, pa.ArrowException):
        return False


def _short(items: list[str]) -> str:
    shown = "; ".join(items[:5])
    return shown if len(items) <= 5 else f"{shown}; and {len(items) - 5} more"
