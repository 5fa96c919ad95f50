"""The program ``her2`` with the fake model in place of every bundle: run it as a script.

``HER2_TEST_FAULTS`` (width=what,...), ``HER2_TEST_JOURNAL`` and ``HER2_TEST_START`` say what shall
go wrong, and where to note what was done.
"""

from __future__ import annotations

import os
from pathlib import Path

if __name__ == "__main__":
    from faulty_reader import FakeFactory

    from pathology.batch import planning, run
    from pathology.cli import main

    pairs = [item.split("=", 1) for item in os.environ.get("HER2_TEST_FAULTS", "").split(",")]
    journal = os.environ.get("HER2_TEST_JOURNAL")
    factory = FakeFactory(
        faults=tuple((int(pair[0]), pair[1]) for pair in pairs if len(pair) == 2),
        journal=Path(journal) if journal else None,
        start_fault=os.environ.get("HER2_TEST_START", ""),
    )
    run.make_factory = planning.make_factory = lambda _: factory
    main()
