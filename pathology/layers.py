"""Put settings on top of each other, and remember where each of them was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pathology.errors import ConfigError
from pathology.yamltext import parse_yaml, read_yaml

__all__ = ["Layers", "read_sections"]


class Layers:
    """Hold a tree of settings; only keys that are in it can be given again.

    Parameters
    ----------
    tree
        Sections and keys; it is changed.

    Examples
    --------
    >>> layers = Layers({"tiling": {"tile_px": 512}})
    >>> layers.put_text("tiling.tile_px=256")
    >>> layers.tree, layers.where(("tiling", "tile_px"))
    ({'tiling': {'tile_px': 256}}, '--set tiling.tile_px=256')
    """

    def __init__(self, tree: dict[str, Any]) -> None:
        self.tree = tree
        self._origins: dict[str, str] = {}

    def put_file(self, path: Path) -> None:
        """Put a file on top.

        Raises
        ------
        ConfigError
            If it cannot be read, is not made of sections, or has an unknown key.
        """
        self._put(self.tree, read_sections(path), where=str(path))

    def put_text(self, text: str) -> None:
        """Put one ``key.path=value`` on top, the value in YAML.

        Raises
        ------
        ConfigError
            If it is not of that form, or the key is unknown.
        """
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"--set {text!r} is not of the form key.path=value")
        try:
            leaf: Any = parse_yaml(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {text}: the value is not valid YAML") from error
        for name in reversed(key.strip().split(".")):
            leaf = {name: leaf}
        self._put(self.tree, leaf, where=f"--set {text}")

    def where(self, location: Sequence[int | str]) -> str | None:
        """Return where a setting was given last, or None where nobody did.

        Parameters
        ----------
        location
            Its keys from the top; places inside a list follow them.
        """
        names = [str(part) for part in location]
        found = (self._origins.get(".".join(names[:end])) for end in range(len(names), 0, -1))
        return next((origin for origin in found if origin), None)

    def _put(
        self, base: dict[str, Any], top: Mapping[str, Any], *, where: str, prefix: str = ""
    ) -> None:
        for key, value in top.items():
            name = f"{prefix}{key}"
            if key not in base:
                known = ", ".join(str(item) for item in base)
                raise ConfigError(f"{where}: unknown key {name!r}", fix=f"Known here: {known}.")
            if isinstance(base[key], dict):
                if not isinstance(value, Mapping):
                    raise ConfigError(f"{where}: {name!r} is a section and needs keys below it")
                self._put(base[key], value, where=where, prefix=f"{name}.")
            elif isinstance(value, bool) and type(base[key]) in (int, float):
                # YAML's yes and true would pass for the number 1.
                raise ConfigError(f"{where}: {name!r} is a number, not {str(value).lower()}")
            else:
                base[key], self._origins[name] = value, where


def read_sections(path: Path) -> dict[str, Any]:
    """Read a file of settings; an empty one has none.

    Raises
    ------
    ConfigError
        If it cannot be read, or is not made of sections.
    """
    content = read_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: the top level must be a mapping of sections")
    return content
