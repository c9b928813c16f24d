"""A thread of its own with an event loop, for programs that have none.

The thread is a daemon: it keeps no program from ending.  Who needs an orderly end asks for it
before (see ``bridge``).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from midas_mp.transport import loop

T = TypeVar("T")


class LoopThread:
    """Runs callbacks and coroutines of other threads until it is stopped."""

    def __init__(self, name: str) -> None:
        self._posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_woken = False
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name=name, daemon=True)
        self._thread.start()
        ready.wait()

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Calls it in the loop, soon, in the order of posting; after the end, not at all.

        Many that are posted together wake the loop once.
        """
        self._posted.append((callback, args))
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._call_posted)

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Runs a coroutine in the loop.

        Raises:
            RuntimeError: the loop is closed.
        """
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """Ends the loop, and what runs in it, soon; idempotent."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopped.set)

    def join(self, timeout_s: float | None = None) -> None:
        """Waits for the end of the thread; not from within."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _call_posted(self) -> None:
        self._is_woken = False  # first: what is posted from now on wakes anew
        posted = self._posted
        try:
            while posted:
                callback, args = posted.popleft()
                callback(*args)
        finally:
            if posted:  # one broke; the others are not to suffer
                self._loop.call_soon(self._call_posted)

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=loop.new_event_loop) as runner:
            self._loop = runner.get_loop()
            self._stopped = asyncio.Event()
            ready.set()
            runner.run(self._wait_stopped())

    async def _wait_stopped(self) -> None:
        await self._stopped.wait()
