from __future__ import annotations

import sys
from pathlib import Path

# Tests find the simulated laboratory by its bare name.
sys.path.insert(0, str(Path(__file__).parent))
