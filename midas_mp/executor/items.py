"""What a map is over: arguments taken from iterables, flat, as many as are wanted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

Values = Sequence[Any]

REFILL_PARTS: Final = 8
"""Items are fetched when that part of a buffer is free: each fetch wakes the loop."""


class Items:
    """The arguments of the calls of a map, one call after the other.

    Attributes:
        arity: arguments of each call.
    """

    def __init__(self, arity: int, calls: Iterator[Any], *, are_rows: bool = True) -> None:
        self.arity = arity
        self._calls = calls
        self._are_rows = are_rows

    @classmethod
    def parallel(cls, iterables: Sequence[Iterable[Any]]) -> Items:
        """One argument from each iterable; the shortest ends it, as in ``map``.

        Raises:
            TypeError: there is no iterable, or something is none.
        """
        if not iterables:
            raise TypeError("map() must have at least one iterable")
        if len(iterables) == 1:
            return cls(1, iter(iterables[0]), are_rows=False)
        return cls(len(iterables), zip(*iterables))  # noqa: B905 - the shortest ends it

    @classmethod
    def rows(cls, rows: Iterable[Sequence[Any]]) -> Items:
        """Each row holds the arguments of a call.

        Raises:
            TypeError: something is no row.
            ValueError: the first of them is empty.
        """
        iterator = iter(rows)
        first = next(iterator, None)
        if first is None:
            return cls(1, iter(()))
        if not len(first):
            raise ValueError("a call of starmap() needs at least one argument")
        return cls(len(first), itertools.chain([first], iterator))

    def take(self, count: int | None = None) -> Values:
        """The arguments of so many more calls, or of all; empty when there are no more.

        Raises:
            ValueError: rows have different lengths.
        """
        calls = list(self._calls if count is None else itertools.islice(self._calls, count))
        if not self._are_rows:
            return calls
        flat = list(itertools.chain.from_iterable(calls))
        if len(flat) != self.arity * len(calls) or len(set(map(len, calls))) > 1:
            raise ValueError(f"starmap() needs rows of one length; the first has {self.arity}")
        return flat


class Intake:
    """Takes items as a map's results are read.

    Args:
        items: what there is.
        buffersize: items in flight at most; None takes all at once.

    Attributes:
        taken: items so far.
        is_exhausted: whether they are all.
    """

    def __init__(self, items: Items, buffersize: int | None) -> None:
        self._items = items
        self._buffersize = buffersize
        self.taken = 0
        self.is_exhausted = False

    @property
    def total(self) -> int | None:
        """How many items there are, when that is known."""
        return self.taken if self.is_exhausted else None

    def take(self, given: int, *, is_waiting: bool) -> Values | None:
        """The next items, None for none now.

        Args:
            given: results that were read.
            is_waiting: nothing can be read before there are more items.
        """
        if self.is_exhausted:
            return None
        if self._buffersize is None:
            values = self._items.take()
            self.taken = len(values) // self._items.arity
            self.is_exhausted = True
            return values
        free = self._buffersize - (self.taken - given)
        if free <= 0 or not (is_waiting or free >= self._buffersize // REFILL_PARTS):
            return None
        values = self._items.take(free)
        count = len(values) // self._items.arity
        self.taken += count
        self.is_exhausted = count < free
        return values
