"""Score HER2 immunohistochemistry on whole-slide images.

Research use only. The stable Python face is below; everything else may change between versions.

Examples
--------
>>> import pathology
>>> sorted(pathology.__all__)
['__version__', 'load_model', 'open_slide', 'read_results', 'score_folder', 'score_slide']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathology.batch import score_folder
    from pathology.inference.bundle import load_model
    from pathology.pipeline import score_slide
    from pathology.runs import read_results
    from pathology.wsi import open_slide

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "load_model",
    "open_slide",
    "read_results",
    "score_folder",
    "score_slide",
]

_HOMES = {
    "load_model": "pathology.inference.bundle",
    "open_slide": "pathology.wsi",
    "read_results": "pathology.runs",
    "score_folder": "pathology.batch",
    "score_slide": "pathology.pipeline",
}


def __getattr__(name: str) -> object:
    """Import a public function when it is first used, so that ``import pathology`` stays light."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pathology' has no attribute {name!r}")
