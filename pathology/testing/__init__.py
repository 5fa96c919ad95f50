"""What tests of this package, and of programs built on it, need: a model that needs no weights."""

from __future__ import annotations

from pathology.testing.fake_model import FakeModel

__all__ = ["FakeModel"]
