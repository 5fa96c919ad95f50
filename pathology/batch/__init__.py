"""Whole folders: inputs, one worker process per device, and a run that survives its slides."""

from __future__ import annotations

from pathology.batch.execution import ExecutorKind, parse_executor
from pathology.batch.folder_run import TablesError
from pathology.batch.inputs import Inputs, Shard, collect_inputs
from pathology.batch.observer import Observer, SilentObserver
from pathology.batch.planning import PlannedSlide, Speed, plan_slides, speed
from pathology.batch.readers import BundleFactory, ReaderFactory, make_factory
from pathology.batch.rescore import rescore_run
from pathology.batch.run import score_folder

__all__ = [
    "BundleFactory",
    "ExecutorKind",
    "Inputs",
    "Observer",
    "PlannedSlide",
    "ReaderFactory",
    "Shard",
    "SilentObserver",
    "Speed",
    "TablesError",
    "collect_inputs",
    "make_factory",
    "parse_executor",
    "plan_slides",
    "rescore_run",
    "score_folder",
    "speed",
]
