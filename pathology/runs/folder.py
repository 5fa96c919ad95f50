"""The run folder: who may work in it, where its files go, and which slides are done."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from pathology.errors import OutputError, SlideError
from pathology.provenance import SlideIdentity
from pathology.runs.atomic import disk_errors, is_temporary, remove_temporary, sync_folder
from pathology.runs.hidden_names import HIDDEN, hide_command
from pathology.runs.layout import (
    CLAIMS,
    LOCK,
    PREVIOUS,
    RUN,
    SHARDS,
    SLIDES,
    slide_folder,
)
from pathology.runs.leases import Watch, read_records
from pathology.runs.lock import RunLock
from pathology.runs.result import SlideResult
from pathology.runs.run_info import RunInfo, RunKey, read_run_info, write_run_info
from pathology.runs.slide_folder import SlideFolder

__all__ = ["MIN_FREE_BYTES", "RunFolder", "refuse_living_shards"]

#: Free space without which a run does not begin: the tables and pictures of one small slide.
MIN_FREE_BYTES: Final = 16 * 1024 * 1024
# What file managers leave in a folder that people take for empty.
_DROPPINGS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


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

    #: Whether other processes may work in the folder at the same time.
    SHARED: ClassVar[bool] = False

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
        self._lock = RunLock(self.path / LOCK, shared=self.SHARED)
        try:
            self._check_space(min_free_bytes)
            self._prepare(force=force)
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
        write_run_info(self.path, self.key, _without_names(info) if self.key.pseudonyms else info)

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

    def _prepare(self, *, force: bool) -> None:
        refuse_living_shards(self.path)
        self._remove_leftovers()
        self._bind(force=force)

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
        # Of dead processes only: nobody else is here.
        shutil.rmtree(self.path / SHARDS / CLAIMS, ignore_errors=True)

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
        # First, so that a folder with anything in it is known for ours.
        if not (self.path / RUN).exists():
            write_run_info(self.path, self.key, None)
        with disk_errors(self.path):
            (self.path / SLIDES).mkdir(exist_ok=True)


def _without_names(info: RunInfo) -> RunInfo:
    """Hide what the command lines of a pseudonymised run and of its parts name."""
    parts = [p.model_copy(update={"command": hide_command(p.command)}) for p in info.parts]
    origin = info.rescored and info.rescored.model_copy(update={"path": HIDDEN})
    update = {"command": hide_command(info.command), "parts": tuple(parts), "rescored": origin}
    return info.model_copy(update=update)


def refuse_living_shards(root: Path) -> None:
    """Refuse a folder in which shards are at work: a run alone would cross them.

    Raises
    ------
    OutputError
        Naming the processes.
    """
    watch = Watch(root / SHARDS)
    living = [record for record in read_records(root / SHARDS) if watch.is_alive(record.owner)]
    if living:
        names = [f"shard {r.index}/{r.count}, process {r.pid} on {r.host}" for r in living]
        raise OutputError(
            f"{root}: shards are working in this output folder ({_short(names)})",
            fix="Wait for them; `her2 status` shows how far they are.",
        )


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
    ours = {LOCK, PREVIOUS, SHARDS, *_DROPPINGS}
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


def _short(items: list[str]) -> str:
    shown = "; ".join(items[:5])
    return shown if len(items) <= 5 else f"{shown}; and {len(items) - 5} more"
