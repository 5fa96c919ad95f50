"""Write the values that an independent library gives for Gwet's AC, for the tests.

The library (irrCAC) wants a version of SciPy that this project cannot use, so it runs in an
environment of its own, on purpose only, and the tests read what it wrote.

Run it so: python -m venv other && other/bin/pip install irrCAC==0.4.4
           other/bin/python scripts/make_gwet_reference.py tests/golden/gwet_irrcac.json
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

N_TABLES, N_CATEGORIES = 200, 4
WEIGHTINGS = {"unweighted": "identity", "linear": "linear", "quadratic": "quadratic"}


def main(target: str) -> int:
    from irrCAC.raw import CAC

    generator = np.random.default_rng(1976)
    content = []
    for _ in range(N_TABLES):
        table = generator.integers(0, generator.integers(2, 30), (N_CATEGORIES, N_CATEGORIES))
        # Every category is read once at least: the library leaves out those it does not see.
        table += np.eye(N_CATEGORIES, dtype=int)
        rows, columns = np.indices(table.shape)
        counts = table.ravel()
        ratings = pd.DataFrame(
            {"a": np.repeat(rows.ravel(), counts), "b": np.repeat(columns.ravel(), counts)}
        )
        found = {}
        for name, theirs in WEIGHTINGS.items():
            answer = CAC(ratings, weights=theirs, digits=15).gwet()
            found[name] = float(answer["est"]["coefficient_value"])
        content.append({"table": table.tolist(), **found})
    text = json.dumps({"library": f"irrCAC {version('irrcac')}", "tables": content}, indent=None)
    Path(target).write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
