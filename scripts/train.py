"""Train the cell network on synthetic tissue and write it as a model bundle.

Example: python scripts/train.py configs/training/cpu.yaml --out models --cache .cache/fields
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.progress import Progress

from pathology.errors import PathologyError
from pathology.training.config import load_training_config
from pathology.training.run import train_bundle


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, help="a file like configs/training/cpu.yaml")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder of the bundles")
    parser.add_argument("--cache", type=Path, help="folder that keeps rendered fields between runs")
    parser.add_argument("--log", type=Path, help="JSON-lines file for the losses")
    args = parser.parse_args()
    try:
        config = load_training_config(args.config)
        with Progress() as progress:
            bundle = train_bundle(
                config, args.out, cache=args.cache, log=args.log, progress=progress
            )
    except PathologyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(bundle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
