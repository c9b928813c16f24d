"""Notices a peer that takes or gives so little that it only holds up what waits for it.

A client that reads nothing leaves its results with the host; one that says a byte a second never
ends its frame.  Neither is silent, and neither does any harm while nothing waits; but who is slower
than the slowest network for a minute is cut off.  Who says nothing at all inside of a frame is
not: it may have been stopped, and ``pulse`` judges that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from midas_mp import limits


class FlowingLink(Protocol):
    """What is asked of a link.

    Attributes:
        received_bytes: all that has come.
        received_frames: all that have come whole.
        written_bytes: all that was to be sent.
    """

    received_bytes: int
    received_frames: int
    written_bytes: int

    @property
    def is_inside_frame(self) -> bool:
        """Whether a part of a frame has come, and not the rest."""

    @property
    def unsent_bytes(self) -> int: ...

    def cut_off(self, reason: str) -> None:
        """It is over with this peer."""


class FlowWatch:
    """Of one link, from its beginning to its end.

    Args:
        link: the link.
        call_later: how to be woken.
    """

    def __init__(
        self,
        link: FlowingLink,
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
    ) -> None:
        self._link = link
        self._call_later = call_later
        self._loop = asyncio.get_running_loop()
        self._wait()

    def close(self) -> None:
        """Holds the link no longer; idempotent."""
        self._timer.cancel()

    def _wait(self) -> None:
        link = self._link
        self._received_bytes = link.received_bytes
        self._received_frames = link.received_frames
        self._taken_bytes = link.written_bytes - link.unsent_bytes
        self._had_unsent = link.unsent_bytes > 0
        self._due_s = self._loop.time() + limits.FLOW_INTERVAL_S
        self._timer = self._call_later(limits.FLOW_INTERVAL_S, self._look)

    def _look(self) -> None:
        was_absent = self._loop.time() - self._due_s > limits.LOOK_INTERVAL_S
        if not was_absent:
            for reason in (self._trickle(), self._clog()):
                if reason:
                    self._link.cut_off(reason)
                    return
        self._wait()

    def _trickle(self) -> str:
        """Why the peer's frame is not waited for any longer, if so."""
        link = self._link
        came = link.received_bytes - self._received_bytes
        is_same_frame = link.is_inside_frame and link.received_frames == self._received_frames
        if is_same_frame and 0 < came < limits.FLOW_BYTES_MIN:
            return f"{came} bytes of a frame came in {limits.FLOW_INTERVAL_S:g} s"
        return ""

    def _clog(self) -> str:
        """Why what is unsent is not kept any longer, if so."""
        link = self._link
        taken = link.written_bytes - link.unsent_bytes - self._taken_bytes
        if self._had_unsent and link.unsent_bytes and taken < limits.FLOW_BYTES_MIN:
            return f"it took {taken} bytes in {limits.FLOW_INTERVAL_S:g} s, and more waits"
        return ""
