"""Keep decoded tiles while neighbouring windows may want them, within a bound of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future

from pathology.types import U8Array

__all__ = ["TileCache"]


class TileCache:
    """Share decoded tiles between threads; the tile that was not used for longest goes first.

    A tile that one thread is decoding is not decoded by another at the same time: that one waits.

    Parameters
    ----------
    capacity
        Bytes that may be held; 0 keeps nothing.

    Examples
    --------
    >>> import numpy as np
    >>> cache = TileCache(1000)
    >>> made = []
    >>> def make():
    ...     made.append(1)
    ...     return np.zeros((2, 2, 4), np.uint8)
    >>> cache.get("a", make) is cache.get("a", make), len(made), cache.held
    (True, 1, 16)
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._tiles: OrderedDict[Hashable, Future[U8Array | None]] = OrderedDict()
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes of the tiles that are held."""
        return self._held

    def get(self, key: Hashable, make: Callable[[], U8Array | None]) -> U8Array | None:
        """Return a tile, made now if it is not there.

        Parameters
        ----------
        key
            Which tile.
        make
            Returns it, or None where it cannot be made, which is not kept. It must not ask this
            cache for another tile.

        Returns
        -------
        numpy.ndarray
            The tile, not to be changed; or None.
        """
        with self._lock:
            found = self._tiles.get(key)
            if found is not None:
                self._tiles.move_to_end(key)
            else:
                mine = self._tiles[key] = Future()
        if found is not None:
            return found.result()
        return self._make(key, mine, make)

    def clear(self) -> None:
        """Let go of all tiles."""
        with self._lock:
            done = [key for key, tile in self._tiles.items() if tile.done()]
            for key in done:
                del self._tiles[key]
            self._held = 0

    def _make(
        self, key: Hashable, mine: Future[U8Array | None], make: Callable[[], U8Array | None]
    ) -> U8Array | None:
        try:
            tile = make()
        except BaseException as error:
            with self._lock:
                del self._tiles[key]
            mine.set_exception(error)
            raise
        with self._lock:
            if tile is None:
                del self._tiles[key]
            else:
                tile.flags.writeable = False
                self._held += tile.nbytes
            # Under the lock: whoever looks for something to drop sees what is done.
            mine.set_result(tile)
            self._shrink()
        return tile

    def _shrink(self) -> None:
        for key, tile in list(self._tiles.items()) if self._held > self._capacity else ():
            if self._held <= self._capacity:
                return
            if tile.done():
                result = tile.result()
                self._held -= result.nbytes if result is not None else 0
                del self._tiles[key]
