"""What varies from run to run: ``run.json`` and ``log.jsonl``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pathology.config import Config, list_problems, load_config
from pathology.errors import OutputError, SlideError
from pathology.runs.atomic import atomic_write_bytes
from pathology.runs.layout import LOG, RUN, path_text
from pathology.runs.leases import ShardRecord

__all__ = [
    "LogLevel",
    "RunInfo",
    "RunKey",
    "RunLog",
    "RunOrigin",
    "is_finished",
    "is_pseudonymised",
    "now",
    "read_run_info",
    "read_slide_seconds",
    "write_run_info",
]

LogLevel = Literal["debug", "info", "warning", "error"]
#: Fields of an event that are text for people, and may name files.
_TEXTS = ("message", "error", "traceback", "reader_note")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RunKey(_Record):
    """Hold what a run folder is bound to: slides of two keys never share a folder.

    Parameters
    ----------
    config_hash
        SHA-256 (hex) of the configuration without ``runtime``.
    config
        That configuration, by section and key.
    model
        Name and version.
    model_sha256
        SHA-256 (hex) of the weights.
    pseudonyms
        Fingerprint of the list of pseudonyms that the run's names are from; None where names of
        files and cases are stored as they are.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> key = RunKey.of(load_config(), model="her2-cells/0.1.0", model_sha256="0" * 64)
    >>> other = RunKey.of(load_config(overrides=["scoring.min_tumour_cells=50"]),
    ...                   model="her2-cells/0.1.0", model_sha256="0" * 64)
    >>> key.differences(other)
    ['scoring.min_tumour_cells: 100 there, 50 now']
    """

    config_hash: str
    config: dict[str, Any]
    model: str
    model_sha256: str
    pseudonyms: str | None = None

    @classmethod
    def of(
        cls, config: Config, *, model: str, model_sha256: str, pseudonyms: str | None = None
    ) -> RunKey:
        """Make the key of a configuration and a model."""
        return cls(
            config_hash=config.hash,
            config=config.hashed(),
            model=model,
            model_sha256=model_sha256,
            pseudonyms=pseudonyms,
        )

    def restore(self, *, where: Path) -> Config:
        """Rebuild the run's configuration; what has no effect on a result is the default's.

        Parameters
        ----------
        where
            The run folder, for messages.

        Raises
        ------
        OutputError
            If this version knows other keys than the run's.
        """
        runtime = load_config().runtime.model_dump()
        try:
            return Config.model_validate({**self.config, "runtime": runtime})
        except ValidationError as error:
            raise OutputError(
                f"{where}: the run is of another version of the program ({list_problems(error)})",
                fix="Score the slides again with this version.",
            ) from error

    def differences(self, now: RunKey) -> list[str]:
        """Say in words what differs from another key; empty where they are equal.

        Parameters
        ----------
        now
            The key of the present command; ``self`` is that of the folder.
        """
        names = self._names_differ(now)
        if (self.config_hash, self.model_sha256) == (now.config_hash, now.model_sha256):
            return names
        before, after = _flat(self.config), _flat(now.config)
        found = [
            f"{name}: {before.get(name, 'absent')} there, {after.get(name, 'absent')} now"
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
        ]
        if self.model_sha256 != now.model_sha256:
            found.append(
                f"model: {self.model} ({self.model_sha256[:12]}) there, "
                f"{now.model} ({now.model_sha256[:12]}) now"
            )
        found = found or ["the configuration, in a key that one of the versions does not know"]
        return names + found

    def _names_differ(self, now: RunKey) -> list[str]:
        if self.pseudonyms == now.pseudonyms:
            return []
        if self.pseudonyms and now.pseudonyms:
            return ["pseudonyms of another list; give its file with --pseudonyms"]
        there, here = ("pseudonyms", "original") if self.pseudonyms else ("original", "pseudonyms")
        give = "give" if self.pseudonyms else "leave out"
        return [f"names: {there} there, {here} now; {give} --pseudonymise"]


class RunOrigin(_Record):
    """Name the run that a run was made from without reading a slide.

    Parameters
    ----------
    path
        Its folder, as the user named it.
    config_hash
        Of its configuration.
    results_sha256
        SHA-256 of its ``results.csv``.
    changes
        What differs, in words.
    regions
        Ids of the slides whose regions were replaced.
    scores
        By slide id, the older and the newer score, where they differ; a slide without a score has
        its status.
    """

    path: str
    config_hash: str
    results_sha256: str
    changes: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    scores: Annotated[dict[str, tuple[str, str]], Field(default_factory=dict)]


class RunInfo(_Record):
    """Hold what varies from run to run.

    Parameters
    ----------
    command
        The command line, word by word.
    versions
        Of Python, the platform and the packages.
    host, device
        Where the work was done.
    started, finished
        Times in ISO 8601, UTC; ``finished`` is None while the run goes on.
    seconds
        Time spent, by stage.
    counts
        Slides by what became of them in this run, such as ``scored`` or ``resumed``.
    rescored
        The run that this one was made from; None where slides were read.
    timing
        Where the time of the slides went that this run read, as ``SlideTiming.content`` has it;
        None where none was read.
    readers
        Slides by what read their pixels: ``direct``, ``openslide`` or ``memory``.
    parts
        The processes that read the slides, where a run was split over several.
    """

    command: tuple[str, ...]
    versions: dict[str, str]
    host: str
    device: str
    started: str
    finished: str | None = None
    seconds: Annotated[dict[str, float], Field(default_factory=dict)]
    counts: Annotated[dict[str, int], Field(default_factory=dict)]
    rescored: RunOrigin | None = None
    timing: dict[str, Any] | None = None
    readers: dict[str, int] = Field(default_factory=dict)
    parts: tuple[ShardRecord, ...] = ()


def now() -> str:
    """Return the present time in ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_run_info(folder: Path, key: RunKey, info: RunInfo | None) -> None:
    """Write ``run.json``.

    Parameters
    ----------
    folder
        The run folder.
    key
        What the folder is bound to.
    info
        The last run in it; None before one has begun.

    Raises
    ------
    OutputError
        If the disk is full or the folder cannot be written.
    """
    content = {
        "program": "her2-ihc",
        "schema_version": 1,
        # Runs with their names as they are look as they did before there were others.
        **key.model_dump(mode="json", exclude=None if key.pseudonyms else {"pseudonyms"}),
        "run": None if info is None else info.model_dump(mode="json"),
    }
    text = json.dumps(_clean(content), indent=2, ensure_ascii=False) + "\n"
    try:
        atomic_write_bytes(folder / RUN, text.encode())
    except SlideError as error:
        raise OutputError(error.message, fix=error.fix) from error


def read_run_info(folder: Path) -> tuple[RunKey, RunInfo | None]:
    """Read ``run.json``.

    Parameters
    ----------
    folder
        The run folder.

    Returns
    -------
    tuple
        What the folder is bound to, and the last run in it.

    Raises
    ------
    OutputError
        If the file is missing or is not that of a run of this program.
    """
    path = folder / RUN
    fix = "Name a folder that `her2 score` has written."
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error})", fix=fix) from error
    if not isinstance(content, dict) or content.get("program") != "her2-ihc":
        raise OutputError(f"{path}: does not describe a run of this program", fix=fix)
    try:
        key = RunKey(**{name: content.get(name) for name in RunKey.model_fields})
        run = content.get("run")
        return key, None if run is None else RunInfo(**run)
    except (ValidationError, TypeError) as error:
        raise OutputError(f"{path}: does not describe a run of this version", fix=fix) from error


def is_finished(folder: Path) -> bool:
    """Tell whether the last run in a folder came to its end.

    Raises
    ------
    OutputError
        As for :func:`read_run_info`.
    """
    _, info = read_run_info(folder)
    return info is not None and info.finished is not None


def is_pseudonymised(folder: Path) -> bool:
    """Tell whether a run was scored under pseudonyms; False where ``run.json`` is missing."""
    if not (folder / RUN).is_file():
        return False
    key, _ = read_run_info(folder)
    return key.pseudonyms is not None


class RunLog:
    """Append events to ``log.jsonl``, one JSON object per line.

    Each line is one write to a file opened for appending, so that lines of several processes do not
    mix. A full disk does not stop a run for the sake of its log: lines are then counted as dropped.

    Parameters
    ----------
    folder
        The run folder.
    name
        Name of the file; shards have one each, as lines of several hosts would mix on a network
        file system.
    hide
        Takes the names out of texts, in a pseudonymised run.

    Raises
    ------
    OutputError
        If the file cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with RunLog(Path(folder)) as log:
    ...         log.write("warning", "slide_failed", slide_id="a-1", reason="unreadable")
    ...     line = json.loads((Path(folder) / LOG).read_text())
    >>> line["event"], line["reason"]
    ('slide_failed', 'unreadable')
    """

    def __init__(
        self, folder: Path, name: str = LOG, *, hide: Callable[[str], str] | None = None
    ) -> None:
        self.path = folder / name
        self._hide = hide
        self.dropped = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._handle = os.open(self.path, flags, 0o644)
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written ({error.strerror or error})",
                fix="Check that the output folder may be written.",
            ) from error
        self._finish_last_line()

    def write(self, level: LogLevel, event: str, *, slide_id: str = "", **fields: object) -> None:
        """Append one event.

        Parameters
        ----------
        level
            How much it matters.
        event
            What happened, in snake case.
        slide_id
            The slide concerned, if any.
        **fields
            Further facts; what JSON does not know is written as text.
        """
        record: dict[str, object] = {"time": now(), "level": level, "event": event}
        if slide_id:
            record["slide_id"] = slide_id
        record.update(fields)
        for field in _TEXTS if self._hide is not None else ():
            if isinstance(text := record.get(field), str) and self._hide is not None:
                record[field] = self._hide(text)
        line = json.dumps(_clean(record), ensure_ascii=False, default=str) + "\n"
        try:
            os.write(self._handle, line.encode())
        except OSError:
            self.dropped += 1

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def _finish_last_line(self) -> None:
        # A kill or a full disk may have left half a line; the next event starts on its own.
        size = os.fstat(self._handle).st_size
        if size and os.pread(self._handle, 1, size - 1) != b"\n":
            os.write(self._handle, b"\n")


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _clean(value: Any) -> Any:
    """Make every text in a tree valid Unicode; file names need not be."""
    if isinstance(value, str | Path):
        return path_text(value)
    if isinstance(value, dict):
        return {str(name): _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    return value


def read_slide_seconds(folder: Path) -> dict[str, float]:
    """Read from ``log.jsonl`` how long each slide took when it was last read.

    Parameters
    ----------
    folder
        The run folder.

    Returns
    -------
    dict
        Seconds by slide id; slides that the log does not time, and lines that are no JSON (a log
        that was cut by a crash), are left out. Empty where there is no log.
    """
    found: dict[str, float] = {}
    try:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("event") == "slide_finished":
            seconds = entry.get("seconds")
            if isinstance(seconds, int | float):
                found[str(entry.get("slide_id"))] = float(seconds)
    return found
