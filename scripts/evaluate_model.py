"""Measure a model on synthetic fields that it was not trained on, and print the card's figures.

Example: python scripts/evaluate_model.py --model her2-cells --fields 60
"""

from __future__ import annotations

import argparse
import sys

from pathology.errors import PathologyError
from pathology.inference.bundle import load_model
from pathology.training.run import evaluate_reader


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="her2-cells")
    parser.add_argument("--fields", type=int, default=60)
    parser.add_argument("--field-px", type=int, default=384)
    args = parser.parse_args()
    try:
        reader = load_model(args.model)
    except PathologyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name, metric in evaluate_reader(reader, fields=args.fields, size_px=args.field_px).items():
        print(f"{name}: {metric.value:.4f} ({metric.low:.4f} to {metric.high:.4f}), n {metric.n}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
