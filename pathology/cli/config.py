"""``her2 config``: the configuration as a run would use it."""

from __future__ import annotations

from pathology.cli.options import ConfigOption, SetOption

__all__ = ["config"]


def config(config_file: ConfigOption = None, sets: SetOption = None) -> None:
    """Print the resolved configuration as YAML: defaults, then --config, then --set.

    The output is itself a valid file for --config.
    """
    from pathology.config import load_config
    from pathology.scoring import load_guideline

    resolved = load_config(config_file, sets or [])
    load_guideline(resolved.scoring.guideline)
    print(f"# configuration hash {resolved.hash}")
    print(resolved.to_yaml(), end="")
