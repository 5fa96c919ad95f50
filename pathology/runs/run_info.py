"""``run.json``: what a run folder is bound to, and what varies from run to run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pathology.config import Config, list_problems, load_config
from pathology.errors import OutputError
from pathology.runs.atomic import atomic_write_bytes, output_errors
from pathology.runs.layout import RUN, path_text
from pathology.runs.leases import ShardRecord

__all__ = [
    "RunInfo",
    "RunKey",
    "RunOrigin",
    "clean_texts",
    "is_finished",
    "is_pseudonymised",
    "now",
    "read_run_info",
    "write_run_info",
]


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
    text = json.dumps(clean_texts(content), indent=2, ensure_ascii=False) + "\n"
    with output_errors():
        atomic_write_bytes(folder / RUN, text.encode())


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
        cause = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot be read ({cause})", fix=fix) from error
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


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def clean_texts(value: Any) -> Any:
    """Make every text in a tree valid Unicode; file names need not be."""
    if isinstance(value, str | Path):
        return path_text(value)
    if isinstance(value, dict):
        return {str(name): clean_texts(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean_texts(item) for item in value]
    return value
