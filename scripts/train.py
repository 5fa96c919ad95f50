"""Train a model: the same as ``her2 train``, as a file that torchrun can start.

Example: torchrun --nproc-per-node 2 scripts/train.py --config configs/training/base.yaml
"""

from __future__ import annotations

import sys

from pathology.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
