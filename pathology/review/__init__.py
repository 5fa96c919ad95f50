"""The review of a run by pathologists: a local web application with a record that only grows."""

from __future__ import annotations
