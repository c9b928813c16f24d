"""Results of a map, put in order and decoded, in the thread of whoever reads them.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from midas_mp.client.values import unpack
from midas_mp.executor.feed import Arrival, Failed


class Collector:
    """Gives results list by list, so that what follows costs no Python for each item.

    Args:
        is_single: a task is one item, and its payload one value.
        unordered: as they arrive.
        raw: strings as bytes.
    """

    def __init__(self, *, is_single: bool, unordered: bool, raw: bool) -> None:
        self._is_single = is_single
        self._unordered = unordered
        self._raw = raw
        self._next = 0
        self._waiting: dict[int, Any] = {}
        self._error: Exception | None = None
        """Behind what is in order before it."""
        self.given = 0
        """Items whose results were given."""

    def take(self, arrivals: Sequence[Arrival] | Exception) -> None:
        """What the feed told."""
        if isinstance(arrivals, Exception):
            self._error = self._error or arrivals
        else:
            self._waiting.update(arrivals)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come that was not given."""
        return not self._waiting and self._error is None

    def ready(self) -> Iterator[Sequence[Any]]:
        """Lists of results that are due.

        Raises:
            Exception: a task failed; at its place.
        """
        while self._waiting:
            start = next(iter(self._waiting)) if self._unordered else self._next
            arrival = self._waiting.pop(start, None)
            if arrival is None:
                break
            values, failed = self._decode(arrival)
            self._next = start + len(values)
            self.given += len(values)
            yield values
            if failed is not None:
                raise failed
        if self._error is not None:
            raise self._error

    def _decode(self, arrival: Any) -> tuple[Sequence[Any], Exception | None]:
        kind = type(arrival)
        if kind is Failed:
            values = unpack(arrival.payload, raw=self._raw) if arrival.payload else ()
            return values, arrival.error
        payload = arrival if kind is list or kind is tuple else (arrival,)
        value = unpack(payload, raw=self._raw)
        return ((value,) if self._is_single else value), None
