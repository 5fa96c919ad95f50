"""Small pictures of a slide: its thumbnail and its backdrop; never a label or macro image.

Both come from what the run stored, which shows the scanned part only.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image

from pathology.runs import SlideFolder

__all__ = ["thumbnail_jpeg"]

#: Longest side of a thumbnail in px: twice its size in the list, for screens of high density.
THUMBNAIL_PX: Final = 160
_MAX_PX: Final = 40_000_000


def thumbnail_jpeg(folder: SlideFolder, *, grey: bool = False) -> bytes | None:
    """Return the thumbnail of a slide.

    Parameters
    ----------
    folder
        The slide's folder.
    grey
        Without colours, as a blinded reader gets it; the overview of older runs, which has words
        on it, is then not used.

    Returns
    -------
    bytes or None
        JPEG; None where the run stored no picture of the slide.
    """
    choices = (folder.backdrop,) if grey else (folder.backdrop, folder.overview)
    for path in choices:
        if path.is_file():
            return _small(path, path.stat().st_mtime_ns, grey)
    return None


@lru_cache(maxsize=4096)  # some 4 kB each
def _small(path: Path, mtime_ns: int, grey: bool) -> bytes | None:
    del mtime_ns  # makes a changed file another one
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > _MAX_PX:
                return None
            image.draft("RGB", (THUMBNAIL_PX, THUMBNAIL_PX))
            small = image.convert("L" if grey else "RGB")
            small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    except (OSError, ValueError):
        return None
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=80)
    return stream.getvalue()
