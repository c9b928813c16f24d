"""When somebody stood still on purpose: that time is none of his."""

from __future__ import annotations


class Standstill:
    """Moments are in ns of the monotonic clock."""

    __slots__ = ("_began_ns", "_ended")

    def __init__(self) -> None:
        self._ended: list[tuple[int, int]] = []
        self._began_ns: int | None = None
        """Of the one that has not ended."""

    @property
    def is_on(self) -> bool:
        return self._began_ns is not None

    def begin(self, now_ns: int) -> None:
        if self._began_ns is None:
            self._began_ns = now_ns

    def end(self, now_ns: int) -> None:
        if self._began_ns is not None:
            self._ended.append((self._began_ns, now_ns))
            self._began_ns = None

    def ns_between(self, from_ns: int, now_ns: int) -> int:
        """How much of the time from a moment until now he stood still."""
        every = [*self._ended, *([(self._began_ns, now_ns)] if self._began_ns is not None else [])]
        return sum(end - max(begin, from_ns) for begin, end in every if end > from_ns)
