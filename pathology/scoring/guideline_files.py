"""The files of guidelines: which are bundled, and reading one, once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pathology.assets import config_path, configs_dir
from pathology.errors import ConfigError

__all__ = ["list_guidelines", "read_guideline"]

_Model = TypeVar("_Model", bound=BaseModel)


def list_guidelines(folder: str) -> tuple[str, ...]:
    """List the guidelines of a folder of the bundled configurations, sorted.

    Examples
    --------
    >>> "asco-cap-2018" in list_guidelines("guidelines/ish")
    True
    """
    return tuple(sorted(path.stem for path in (configs_dir() / folder).glob("*.yaml")))


def read_guideline(model: type[_Model], folder: str, name: str, what: str) -> _Model:
    """Read and check a bundled guideline; each file is read once.

    Parameters
    ----------
    model
        What the file holds; has a field ``id``.
    folder
        As for :func:`list_guidelines`.
    name
        One of :func:`list_guidelines`.
    what
        What it is called in messages: ``guideline`` or ``ISH guideline``.

    Raises
    ------
    ConfigError
        If there is no guideline of this name, or its file is not valid.

    Examples
    --------
    >>> from pathology.scoring.ish_guideline import IshGuideline
    >>> read_guideline(IshGuideline, "guidelines/ish", "asco-cap-2018", "ISH guideline").id
    'asco-cap-2018'
    """
    known = list_guidelines(folder)
    if name not in known:
        raise ConfigError(f"unknown {what} {name!r}", fix=f"Known guidelines: {', '.join(known)}.")
    found: _Model = _read(model, config_path(f"{folder}/{name}.yaml"), what)
    stated = getattr(found, "id", None)
    if stated != name:
        raise ConfigError(
            f"{config_path(f'{folder}/{name}.yaml')}: id {stated!r} does not match the file's name"
        )
    return found


@lru_cache(maxsize=32)
def _read(model: type[_Model], path: Path, what: str) -> _Model:
    try:
        return model.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({error})") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: not a valid {what} ({error})") from error
