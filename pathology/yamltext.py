"""Read YAML that people write: plain values only, and no key twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pathology.errors import ConfigError

__all__ = ["UniqueKeyLoader", "parse_yaml", "read_yaml"]


class UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a doubled key, of which YAML's own loader keeps the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping after looking at the keys that are written in it."""
        seen: set[str] = set()
        for key, _ in getattr(node, "value", ()):
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise yaml.YAMLError(f"line {line}: the key {key.value!r} is there twice")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    r"""Read a text as YAML, without objects and without doubled keys.

    Parameters
    ----------
    text
        YAML.

    Returns
    -------
    object
        Mappings, lists, texts, numbers, dates, booleans and None; None for an empty text.

    Raises
    ------
    yaml.YAMLError
        If it is not YAML, names an object to build, or has a key twice in one mapping.

    Examples
    --------
    >>> parse_yaml("scoring: {min_tumour_cells: 50}")
    {'scoring': {'min_tumour_cells': 50}}
    >>> parse_yaml("steps: 5\nsteps: 6")
    Traceback (most recent call last):
    ...
    yaml.error.YAMLError: line 2: the key 'steps' is there twice
    """
    try:
        return yaml.load(text, Loader=UniqueKeyLoader)  # noqa: S506 - a subclass of the safe loader
    except (ValueError, RecursionError) as error:
        # A date such as 2026-99-99, a number of thousands of digits, lists a thousand deep.
        raise yaml.YAMLError(str(error)) from error


def read_yaml(path: Path) -> Any:
    """Read a file of settings.

    Parameters
    ----------
    path
        YAML in UTF-8.

    Returns
    -------
    object
        As :func:`parse_yaml`.

    Raises
    ------
    ConfigError
        If it cannot be read, or is not such YAML; names the file and the cause.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text ({error.reason})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({error})") from error
