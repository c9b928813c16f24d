"""Which bundles somebody has, in the books of whoever sends them.

A job may have a bundle for each of its calls, for days.  So the sender bounds what the listener
keeps: it tells him what to forget, in order with all else it says, and sends again what is wanted
again.  Nobody ever lacks a bundle and has to ask.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterator

from midas_mp import limits


class Shelf:
    """Digests, the one that was used longest ago first."""

    __slots__ = ("_bytes_allowed", "_size_bytes", "_sizes")

    def __init__(self) -> None:
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._size_bytes = 0
        self._bytes_allowed = 0

    def __contains__(self, digest: object) -> bool:
        return digest in self._sizes

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def size_bytes(self) -> int:
        """What all of them weigh."""
        return self._size_bytes

    def use(self, digest: str) -> bool:
        """Whether it is here; if so, it is now the one used last."""
        if digest not in self._sizes:
            return False
        self._sizes.move_to_end(digest)
        return True

    def put(self, digest: str, source_bytes: int) -> None:
        """Add one that is not here, as the one used last."""
        self._sizes[digest] = size = weight(source_bytes)
        self._size_bytes += size

    def discard(self, digest: str) -> bool:
        """Take it away; whether it was here."""
        size = self._sizes.pop(digest, None)
        if size is None:
            return False
        self._size_bytes -= size
        return True

    def trim(self, bytes_max: int, needed: Callable[[], Container[str]]) -> list[str]:
        """Take away what must go when there is too much: down to half of that, oldest first.

        Args:
            bytes_max: how much is too much.  Where more is needed, twice that is: so it is rare
                that somebody has to find out what is needed.
            needed: what stays in any case; asked only if there is too much.
        """
        if self._size_bytes <= max(bytes_max, self._bytes_allowed):
            return []
        gone = self.reduce(bytes_max // 2, needed())
        self._bytes_allowed = 2 * self._size_bytes
        return gone

    def reduce(self, bytes_max: int, needed: Container[str]) -> list[str]:
        """Take away what is not needed, oldest first, until there is no more than so much."""
        gone: list[str] = []
        for digest in list(self._sizes):
            if self._size_bytes <= bytes_max:
                break
            if digest not in needed:
                self.discard(digest)
                gone.append(digest)
        return gone


def weight(source_bytes: int) -> int:
    """What a bundle of so much source counts for."""
    return source_bytes + limits.BUNDLE_BYTES_EXTRA


def portions(digests: list[str]) -> Iterator[list[str]]:
    """As many as one frame takes at a time."""
    at_once = limits.DIGESTS_PER_FRAME_MAX
    for start in range(0, len(digests), at_once):
        yield digests[start : start + at_once]
