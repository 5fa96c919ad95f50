"""The review of a run by pathologists: a local web application with an append-only record."""

from __future__ import annotations
