"""Measured speeds in the user's cache folder, one JSON file for each kind of run.

The name of a file follows from machine, model, device and those parts of the configuration that
the speed depends on, so that figures of another kind of run are never used.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from pathlib import Path

from pydantic import ValidationError

from pathology.batch.machine_speed import MachineSpeed
from pathology.config import Config
from pathology.errors import OutputError, SlideError
from pathology.runs import atomic_write_bytes

__all__ = ["cache_folder", "load_speed", "save_speed", "speed_key"]

#: Sections of the configuration that change how long a slide takes.
_SECTIONS = ("reading", "tissue", "tiling", "inference", "cells", "measurement", "report")


def cache_folder() -> Path:
    """Return the folder for what may be thrown away, by the custom of the system.

    ``XDG_CACHE_HOME`` counts only where it is absolute, as the XDG Base Directory Specification
    (0.8) has it.
    """
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        given = Path(os.environ.get("XDG_CACHE_HOME", ""))
        base = given if given.is_absolute() else Path.home() / ".cache"
    return base / "her2-ihc"


def speed_key(config: Config, *, model_sha256: str, device: str) -> str:
    """Return the key (hex) of a machine, a model, a device and a configuration's costly parts.

    Parameters
    ----------
    config
        The configuration.
    model_sha256
        SHA-256 (hex) of the weights.
    device
        As in ``runtime.device``.
    """
    content = config.hashed()
    parts: dict[str, object] = {name: content[name] for name in _SECTIONS if name in content}
    parts |= {
        "machine": [platform.node(), platform.machine(), os.cpu_count()],
        "model": model_sha256,
        "device": device,
        "workers": config.runtime.workers,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def save_speed(key: str, speed: MachineSpeed, *, folder: Path | None = None) -> Path:
    """Keep measured costs.

    Parameters
    ----------
    key
        From :func:`speed_key`.
    speed
        What was measured.
    folder
        Where; None takes :func:`cache_folder`.

    Returns
    -------
    Path
        The file, written whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = (folder or cache_folder()) / f"speed-{key}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(path, speed.model_dump_json(indent=2).encode() + b"\n")
    except (OSError, SlideError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OutputError(
            f"{path}: cannot be written ({reason})",
            fix="Set XDG_CACHE_HOME to a folder that you may write to.",
        ) from error
    return path


def load_speed(key: str, *, folder: Path | None = None) -> tuple[MachineSpeed | None, str]:
    """Read kept costs.

    Parameters
    ----------
    key, folder
        As for :func:`save_speed`.

    Returns
    -------
    speed
        None where there are none, or none that can be used.
    warning
        Why a file that is there is not used; empty where there is nothing to say.
    """
    path = (folder or cache_folder()) / f"speed-{key}.json"
    try:
        return MachineSpeed.model_validate_json(path.read_bytes()), ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        why = error.strerror or str(error)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        why = f"{place}: {first['msg']}" if place else first["msg"]
    return None, f"{path} is not used ({why}). `her2 plan SLIDES --measure` writes it anew."
