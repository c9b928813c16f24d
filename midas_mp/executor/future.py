"""The future of one call: the standard library's, but what runs can be cancelled too."""

from __future__ import annotations

import os
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from midas_mp.client.values import Payload, unpack
from midas_mp.errors import MidasError
from midas_mp.executor.broken import ExecutorClosed, as_broken
from midas_mp.executor.function import LuaFunction

if TYPE_CHECKING:
    from midas_mp.executor.bridge import Bridge


class LuaFuture(Future[Any]):
    """One call.  Within it stays pending until its end, so that ``cancel`` may win at any time.

    Also the receiver of its call, in the loop's thread.
    """

    def __init__(self, bridge: Bridge, function: LuaFunction, *, raw: bool) -> None:
        super().__init__()
        self._bridge = bridge
        self._function = function
        self._raw = raw
        self._owner_pid = os.getpid()
        self.number: int | None = None
        """At the engine; None before it is there."""

    def cancel(self) -> bool:
        """Stops the call, wherever it is; False when it has ended."""
        if self.cancelled():
            return True
        if not super().cancel():
            return False
        self.set_running_or_notify_cancel()  # ``wait`` and ``as_completed`` hear of it
        self._bridge.cancel(self)
        return True

    def running(self) -> bool:
        """Whether it is with the cluster: in a worker's hands or before them."""
        return self.number is not None and not self.done()

    def result(self, timeout: float | None = None) -> Any:
        self._check_process()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._check_process()
        return super().exception(timeout)

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else "running" if self.running() else "pending"
        if self.done() and not self.cancelled():
            error = self.exception()
            state = "done" if error is None else f"failed: {type(error).__name__}"
        return f"<LuaFuture {state}: {self._function}>"

    def _check_process(self) -> None:
        """Else a process that was forked would wait for ever."""
        if self._owner_pid != os.getpid() and not self.done():
            raise ExecutorClosed("this call belongs to the process that this one was forked from")

    # -- from the calls ----------------------------------------------------------------------------

    def finish(self, payload: Payload) -> None:
        try:
            value = unpack(payload, raw=self._raw)
        except MidasError as error:
            self.fail(error)
            return
        try:
            self.set_result(value)
        except InvalidStateError:
            """It was cancelled a moment before."""

    def fail(self, error: MidasError) -> None:
        try:
            self.set_exception(self._function.explained(as_broken(error)))
        except InvalidStateError:
            """As above."""
