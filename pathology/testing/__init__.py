"""What tests of this package, and of programs built on it, need: models that need no weights."""

from __future__ import annotations

from pathology.testing.fake_model import FakeModel
from pathology.testing.fake_tiles import FakeTileModel

__all__ = ["FakeModel", "FakeTileModel"]
