from __future__ import annotations

import sys
from pathlib import Path

# Workers find the fake model by its bare name: a spawned process inherits this path.
sys.path.insert(0, str(Path(__file__).parent))
