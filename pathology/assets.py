"""Where the bundled models and configurations lie, in a checkout and in an installed wheel."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pathology.errors import ConfigError

__all__ = ["config_path", "configs_dir", "models_dir"]


def _assets_dir(kind: str) -> Path:
    """Return the directory of one kind of asset (``models`` or ``configs``).

    In an installed wheel it is ``pathology/_bundled/<kind>``; in a checkout (editable install) the
    top-level folder beside the package.
    """
    package = Path(str(resources.files("pathology")))
    for candidate in (package / "_bundled" / kind, package.parent / kind):
        if candidate.is_dir():
            return candidate
    raise ConfigError(
        f"the installed package has no {kind!r} folder (looked in {package})",
        fix="Reinstall her2-ihc.",
    )


def models_dir() -> Path:
    """Return the folder of the bundled models (``<name>/<version>/``)."""
    return _assets_dir("models")


def configs_dir() -> Path:
    """Return the folder of the bundled configurations.

    Examples
    --------
    >>> (configs_dir() / "default.yaml").is_file()
    True
    """
    return _assets_dir("configs")


def config_path(name: str) -> Path:
    """Return the path of one bundled configuration file.

    Parameters
    ----------
    name
        Path relative to the configuration folder, with ``/``.

    Raises
    ------
    ConfigError
        If there is no such file.

    Examples
    --------
    >>> config_path("default.yaml").name
    'default.yaml'
    """
    path = configs_dir() / name
    if not path.is_file():
        raise ConfigError(f"no bundled configuration {name!r} in {configs_dir()}")
    return path
