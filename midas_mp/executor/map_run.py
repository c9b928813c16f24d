"""A map as its reader sees it: a generator whose results come in lists from the loop's thread.

What one result costs here is what one million cost: for each of them only ``yield from`` a list.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from typing import Any

from midas_mp.errors import MidasError
from midas_mp.executor.bridge import Bridge
from midas_mp.executor.broken import as_broken
from midas_mp.executor.collector import Collector
from midas_mp.executor.feed import Arrival, MapPlan
from midas_mp.executor.items import Intake
from midas_mp.executor.progress import Progress


class MapRun:
    """One map under way, on the side of its reader.

    Args:
        bridge: to the loop.
        plan: what is mapped.
        intake: over what.
        collector: puts the results in order.
        timeout: seconds from now in which every result must be there.
        progress: told how far it is.
    """

    def __init__(
        self,
        bridge: Bridge,
        plan: MapPlan,
        intake: Intake,
        collector: Collector,
        *,
        timeout: float | None,
        progress: Progress,
    ) -> None:
        self._bridge = bridge
        self._intake = intake
        self._collector = collector
        self._ends_s = None if timeout is None else time.monotonic() + timeout
        self._progress = progress
        self._arrivals: queue.SimpleQueue[list[Arrival] | Exception] = queue.SimpleQueue()
        values = intake.take(0, is_waiting=True) or ()
        self._feed = bridge.begin_feed(
            plan, values, self._arrivals.put, is_last=intake.is_exhausted
        )

    def results(self) -> Iterator[Any]:
        """What the calls return, one after the other; closing it stops the rest."""
        given = self._give()
        next(given)  # so that even one that nobody reads is closed when it is dropped
        return given

    def _give(self) -> Iterator[Any]:
        collector, intake = self._collector, self._intake
        try:
            yield None
            while True:
                for values in collector.ready():
                    yield from values
                    self._refill(is_waiting=False)
                self._progress.advanced(collector.given, intake.total)
                if collector.given == intake.total:
                    return
                self._refill(is_waiting=True)
                self._wait()
        except MidasError as error:
            raise as_broken(error) from error.__cause__
        finally:
            self._feed.stop()
            self._progress.close()

    def _wait(self) -> None:
        """Takes what has arrived, or waits for it.

        Raises:
            TimeoutError: nothing came in time.
        """
        left_s = None if self._ends_s is None else max(0.0, self._ends_s - time.monotonic())
        try:
            self._collector.take(self._arrivals.get(timeout=left_s))
            while True:
                self._collector.take(self._arrivals.get_nowait())
        except queue.Empty:
            if self._collector.is_empty:
                raise TimeoutError("a result of map() was not there in time") from None

    def _refill(self, *, is_waiting: bool) -> None:
        """Takes as many items as may be in flight now."""
        if self._intake.is_exhausted:
            return
        values = self._intake.take(self._collector.given, is_waiting=is_waiting)
        if values is not None:
            self._bridge.check_open()
            self._feed.add(values, is_last=self._intake.is_exhausted)
