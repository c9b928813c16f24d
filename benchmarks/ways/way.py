"""What all ways have in common: start, the kinds of work, stop; and how they are timed."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class Way:
    """Workers that call the functions of ``work`` by name.  A way has the methods it can do.

    ``map_each(name, items)``: one item to a task; ``map_chunked(name, items)``: as many to a task
    as it likes, as few wishes expressed as possible; both return the results in order.
    ``round_trips(name, argument, count)``: one call after the other, returns the seconds of each.
    ``scatter(arrays)``: one array to each worker, which touches each page; returns the sums.
    ``gather(length, count)``: an array made and filled in each worker, of which each page is then
    touched here; returns the sums.
    """

    each_max: ClassVar[int] = 1_000_000
    """Items that ``map_each`` does in a few seconds."""
    chunked_max: ClassVar[int] = 1_000_000
    """Items that ``map_chunked`` does in a few seconds."""

    def start(self, workers: int) -> None:
        """Returns when so many workers wait for work."""

    def stop(self) -> None:
        """Leaves nothing running."""

    def timed(self, method: str, *arguments: Any) -> tuple[float, Any]:
        """Calls one of the methods.

        Returns:
            The seconds that it took, and what it returned.
        """
        start = perf_counter()
        result = getattr(self, method)(*arguments)
        return perf_counter() - start, result


def timed_calls(call: Any, arguments: Sequence[Any], expected: Any, count: int) -> list[float]:
    """Calls again and again; each answer must be the expected one."""
    seconds = []
    for _ in range(count):
        start = perf_counter()
        result = call(*arguments)
        seconds.append(perf_counter() - start)
        if result != expected:
            raise AssertionError(f"expected {expected!r}, got {result!r}")
    return seconds
