"""Read a calibration file, with every check."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pathology.config import list_problems
from pathology.errors import ConfigError
from pathology.stain.calibration import Calibration
from pathology.yamltext import UniqueKeyLoader

__all__ = ["load_calibration", "parse_calibration"]

#: A file of ten thousand slides has about 1 MB.
_MAX_BYTES = 4 << 20


class _PlainLoader(UniqueKeyLoader):
    """A safe loader that also refuses aliases, which can grow without bound."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


def parse_calibration(text: str, *, name: str) -> Calibration:
    """Read the content of a calibration file, with every check.

    Parameters
    ----------
    text
        YAML.
    name
        Name of the file, for messages.

    Returns
    -------
    Calibration
        Checked, hash included.

    Raises
    ------
    ConfigError
        If it is no such file, is of another version, or was changed.

    Examples
    --------
    >>> parse_calibration("a: [", name="x.yaml")
    Traceback (most recent call last):
    ...
    pathology.errors.ConfigError: x.yaml: not valid YAML. Make it with `her2 calibrate`.
    """
    fix = "Make it with `her2 calibrate`."
    try:
        # A subclass of the safe loader.
        tree = yaml.load(text, Loader=_PlainLoader)  # noqa: S506
        # By way of JSON: nothing but plain values gets through, and lists become tuples.
        content = json.dumps(tree, default=_plain)
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise ConfigError(f"{name}: not valid YAML", fix=fix) from error
    if not isinstance(tree, dict) or "schema_version" not in tree:
        raise ConfigError(f"{name}: is not a calibration file", fix=fix)
    if tree["schema_version"] != 1:
        raise ConfigError(
            f"{name}: schema_version is {tree['schema_version']!r}, and this program reads 1",
            fix="Fit the calibration again with this version.",
        )
    try:
        found = Calibration.model_validate_json(content)
    except ValidationError as error:
        raise ConfigError(f"{name}: {list_problems(error)}", fix=fix) from error
    if not found.sha256:
        raise ConfigError(f"{name}: there is no sha256, so a change would go unseen", fix=fix)
    return found


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not allowed")


def load_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Parameters
    ----------
    path
        What ``her2 calibrate`` wrote.

    Returns
    -------
    Calibration
        The checked calibration.

    Raises
    ------
    ConfigError
        If it cannot be read, is no calibration file, is of another version, or was changed.

    Examples
    --------
    >>> from pathology.assets import config_path
    >>> load_calibration(config_path("calibration/reference.yaml")).title
    'reference/1'
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{path}: is larger than any calibration file")
        text = content.decode("utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: the calibration file cannot be read ({error.strerror or error})",
            fix="Name the file that `her2 calibrate` wrote.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text, so no calibration file") from error
    return parse_calibration(text, name=str(path))
