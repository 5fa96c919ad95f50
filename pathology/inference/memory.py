"""Keep the C library from giving a network's memory back to the system after every layer."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

__all__ = ["keep_freed_memory", "trim_freed_memory"]

# Parameters of mallopt(3), GNU C library.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
#: Blocks up to this size (bytes) are kept: a map of a window of 1,024 px takes 32 MB in float32.
_KEPT_BYTES = 1 << 29


def keep_freed_memory() -> bool:
    """Ask the C library to use freed blocks again, whatever their size, from any thread.

    Without this every map of the network is a fresh block of zeroed pages, which takes a sixth of
    the network's time. What is kept is no more than was needed at once.

    Returns
    -------
    bool
        Whether the C library took it; only the GNU C library knows how.

    Examples
    --------
    >>> keep_freed_memory() in (True, False)
    True
    """
    library = _glibc()
    if library is None:
        return False
    settings = (
        (_M_MMAP_THRESHOLD, _KEPT_BYTES),
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        (_M_ARENA_MAX, 1),
    )
    taken = [library.mallopt(name, value) == 1 for name, value in settings]
    return all(taken)


def trim_freed_memory() -> None:
    """Give back to the system what lies free between blocks in use.

    Maps of many sizes, of several windows at a time, leave holes that the next ones do not fit
    into: after some windows as much memory lies free as is used. Done after each window, memory
    stays where the first window took it; within a window freed blocks are used again.

    Examples
    --------
    >>> trim_freed_memory()
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
