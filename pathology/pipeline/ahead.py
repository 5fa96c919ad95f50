"""Open a slide and find its tissue while the slide before it is still at work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pathology.config import Config
from pathology.pipeline.request import SlideRequest, slide_identity
from pathology.provenance import SlideIdentity
from pathology.timing import Stopwatch
from pathology.tissue import TissueFinding, find_tissue
from pathology.wsi import open_slide
from pathology.wsi.slide import Slide

__all__ = ["Prepared", "SlideAhead", "open_request"]


def open_request(request: SlideRequest, config: Config) -> Slide:
    """Open the slide of a request.

    Parameters
    ----------
    request
        The slide.
    config
        The configuration; sections ``reading`` and ``runtime`` are used.

    Raises
    ------
    SlideError
        If it cannot be opened.
    """
    return open_slide(
        request.path,
        mpp=request.mpp,
        mpp_source=request.mpp_source,
        reading=config.reading,
        cache_mb=config.runtime.cache_mb,
    )


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Hold an open slide and its tissue.

    Parameters
    ----------
    slide
        The slide; who takes this closes it.
    finding
        Its tissue, as :func:`pathology.tissue.find_tissue` finds it.
    watch
        Where the time went.
    """

    slide: Slide
    finding: TissueFinding
    watch: Stopwatch


class SlideAhead:
    """Prepare one slide in a thread; nothing about its result depends on that.

    Whatever goes wrong is forgotten here: in its own turn the slide is opened once more, meets the
    same fault, and says so in its own row.

    Parameters
    ----------
    request
        The slide.
    config
        The configuration.
    on_end
        Called from the thread when it has ended, however that was.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pathology.config import load_config
    >>> ahead = SlideAhead(SlideRequest(path=Path("missing.svs")), load_config())
    >>> ahead.begin()
    >>> ahead.take(SlideIdentity(size=1, mtime_ns=1)) is None
    True
    """

    def __init__(
        self,
        request: SlideRequest,
        config: Config,
        *,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.request, self._config, self._on_end = request, config, on_end
        self._watch = Stopwatch()
        self._identity: SlideIdentity | None = None
        self._ready: Prepared | None = None
        self._thread = threading.Thread(target=self._work, name="her2-ahead", daemon=True)

    @property
    def begun(self) -> bool:
        """Whether the thread was started."""
        return self._thread.ident is not None

    def begin(self) -> None:
        """Start; once only."""
        self._thread.start()

    def take(self, identity: SlideIdentity) -> Prepared | None:
        """Wait for the end and hand over what was prepared.

        Parameters
        ----------
        identity
            That of the slide as it is now.

        Returns
        -------
        Prepared or None
            None where nothing was begun or could be prepared, where it was taken before, and where
            the file has changed since.
        """
        ready = self._hand_over()
        if ready is not None and identity != self._identity:
            ready.slide.close()
            return None
        return ready

    def close(self) -> None:
        """Release the slide, if nobody has taken it."""
        ready = self._hand_over()
        if ready is not None:
            ready.slide.close()

    def _hand_over(self) -> Prepared | None:
        """Wait for the end, and give away what is there."""
        if self.begun:
            self._thread.join()
        ready, self._ready = self._ready, None
        return ready

    def _work(self) -> None:
        try:
            with suppress(Exception):  # the slide's own turn meets it again, and reports it
                self._ready = self._prepare()
        finally:
            self._on_end()

    def _prepare(self) -> Prepared:
        # Before the file is opened: a file that changes in between is not taken for the new one.
        self._identity = slide_identity(self.request)
        with self._watch.timed("open"):
            slide = open_request(self.request, self._config)
        try:
            with self._watch.timed("tissue"):
                finding = find_tissue(slide, self._config)
        except BaseException:
            slide.close()
            raise
        return Prepared(slide=slide, finding=finding, watch=self._watch)
