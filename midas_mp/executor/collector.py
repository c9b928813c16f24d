"""Results of a map, put in order and decoded, in the thread of whoever reads them.  Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

from midas_mp import limits
from midas_mp.client.values import unpack, unpack_many
from midas_mp.executor.feed import Arrival, Failed
from midas_mp.wire.framing import Buffer

_RUN_MAX: Final = 1_024

_SMALL_BYTES: Final = 1 * limits.KB
"""Payloads above it are not worth copying together."""

_BUFFERS: Final = (bytes, bytearray, memoryview)


class Collector:
    """Gives results list by list, so that what follows costs no Python for each item.

    Args:
        is_single: a task is one item, and its payload one value.
        unordered: as they arrive.
        raw: strings as bytes.
        run_max: so many single items at most are given together.
    """

    def __init__(
        self, *, is_single: bool, unordered: bool, raw: bool, run_max: int = _RUN_MAX
    ) -> None:
        self._is_single = is_single
        self._unordered = unordered
        self._raw = raw
        self._run_max = run_max
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
            values: Sequence[Any]
            failed: Exception | None = None
            if self._is_single and (run := self._take_run()):
                values = unpack_many(run, raw=self._raw)
            else:
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

    def _take_run(self) -> list[Buffer]:
        """The payloads of single items that are due, one after the other, and small."""
        waiting: dict[int, Any] = self._waiting
        run: list[Buffer] = []
        indices = list(waiting) if self._unordered else itertools.count(self._next)
        for index in itertools.islice(indices, self._run_max):
            arrival: Any = waiting.get(index)
            if type(arrival) not in _BUFFERS or len(arrival) > _SMALL_BYTES:
                break
            run.append(arrival)
            del waiting[index]
        if not self._unordered:
            self._next += len(run)
        return run

    def _decode(self, arrival: Any) -> tuple[Sequence[Any], Exception | None]:
        kind = type(arrival)
        if kind is Failed:
            values = unpack(arrival.payload, raw=self._raw) if arrival.payload else ()
            return values, arrival.error
        payload = arrival if kind is list or kind is tuple else (arrival,)
        value = unpack(payload, raw=self._raw)
        return ((value,) if self._is_single else value), None
