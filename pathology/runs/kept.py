"""Results of a run while it goes on, packed: ten thousand slides must not fill the memory."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, MutableMapping

from pathology.runs.result import SlideResult

__all__ = ["KeptResults"]

#: Bytes of a dictionary that zlib can look back at (RFC 1950: a window of 32 KiB).
_WINDOW = 32_768


class KeptResults(MutableMapping[str, SlideResult]):
    """Hold results by slide id, each as its packed ``result.json``.

    A result as an object takes some 30 kB, most of it names that all results share. Packed against
    the first one it takes well below 1 kB. What is taken out equals what was put in.

    Examples
    --------
    >>> kept = KeptResults()
    >>> kept["a"] = SlideResult(slide_id="a", path="a.svs", status="failed",
    ...                         reasons=("unreadable",))
    >>> kept["a"].path, len(kept), kept.statuses
    ('a.svs', 1, Counter({'failed': 1}))
    """

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}
        self._facts: dict[str, tuple[str, str | None]] = {}
        self._words = b""

    def __getitem__(self, slide_id: str) -> SlideResult:
        """Unpack a result."""
        unpacker = zlib.decompressobj(zdict=self._words)
        return SlideResult.from_json(unpacker.decompress(self._packed[slide_id]))

    def __setitem__(self, slide_id: str, result: SlideResult) -> None:
        """Pack a result."""
        content = result.to_json()
        self._words = self._words or content[:_WINDOW]
        packer = zlib.compressobj(zdict=self._words)
        self._packed[slide_id] = packer.compress(content) + packer.flush()
        self._facts[slide_id] = (result.status, result.reader)

    def __delitem__(self, slide_id: str) -> None:
        """Drop a result."""
        del self._packed[slide_id], self._facts[slide_id]

    def __iter__(self) -> Iterator[str]:
        """Go through the slide ids, in the order in which they came."""
        return iter(self._packed)

    def __len__(self) -> int:
        """Count the results."""
        return len(self._packed)

    def __contains__(self, slide_id: object) -> bool:
        """Tell whether there is a result; nothing is unpacked."""
        return slide_id in self._packed

    @property
    def statuses(self) -> Counter[str]:
        """Slides by status."""
        return Counter(status for status, _ in self._facts.values())

    @property
    def readers(self) -> Counter[str]:
        """Slides by what read their pixels, where something did."""
        return Counter(reader for _, reader in self._facts.values() if reader)
