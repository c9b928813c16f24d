"""Links within one process: frames are handed over as they are, never encoded.

Order, batching, closing and loss are those of a socket; so is the judgement of what is said.
"""

from __future__ import annotations

from collections.abc import Sequence

from midas_mp import limits
from midas_mp.errors import ConnectionLost, MidasError, ProtocolError
from midas_mp.transport.link import Link, Receiver
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame, size_bytes

_FRAME_BYTES = 256
"""What a frame weighs beside its buffers, so that many small ones count too."""


class MemoryLink(Link):
    """One end of a pair; made by ``pair``."""

    _other: MemoryLink

    def __init__(self, receiver: Receiver, conversation: Conversation) -> None:
        super().__init__(receiver, conversation)
        self._inbox: list[Frame] = []
        self._inbox_bytes = 0
        self._is_scheduled = False
        self._is_paused = False
        self._is_closing = False
        self._is_ended_by_peer = False
        self._ending: MidasError | None = None

    @property
    def _where(self) -> str:
        return "this process"

    @property
    def is_closed(self) -> bool:
        return self._is_closing

    @property
    def unsent_bytes(self) -> int:
        return self._other._inbox_bytes

    @property
    def _is_clogged(self) -> bool:
        return self.unsent_bytes > limits.SEND_BUFFER_BYTES_HIGH

    def send(self, frames: Sequence[Frame]) -> None:
        if self._is_closing or not frames:
            return
        for frame in frames:
            self.conversation.sending(frame)
        self._other._put(frames)

    def close(self, last: Frame | None = None) -> None:
        if self._is_closing:
            return
        if last is not None:
            self.send([last])
        self._finish(None)

    def abort(self) -> None:
        if self._is_closing:
            return
        self._other._drop_inbox()
        self._finish(ConnectionLost(f"{self._other.peer} broke off"))

    def pause_reading(self) -> None:
        """Takes nothing more, as a process that is stopped; for tests of whoever sends."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Undoes ``pause_reading``."""
        self._is_paused = False
        self._schedule()

    def _put(self, frames: Sequence[Frame]) -> None:
        if self._is_closing:
            return  # as into a socket whose reader has gone
        self._inbox += frames
        for frame in frames:
            self._inbox_bytes += _FRAME_BYTES + size_bytes(frame.buffers)
        self._schedule()

    def _finish(self, told: MidasError | None, own: MidasError | None = None) -> None:
        """End this side now, and the other when it has read what is on the way."""
        self._is_closing = True
        self._drop_inbox()
        self._ending = own
        self._loop.call_soon(self._lose_own)
        other = self._other
        if not other._is_closing:
            other._is_ended_by_peer = True
            other._ending = told
            other._schedule()

    def _lose_own(self) -> None:
        self._lose(self._ending)

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._deliver)

    def _drop_inbox(self) -> None:
        self._inbox = []
        self._inbox_bytes = 0
        self._other._wake_drained()

    def _deliver(self) -> None:
        self._is_scheduled = False
        if self._is_closing:
            return
        if self._is_paused and not (self._is_ended_by_peer and not self._inbox):
            return
        if self._inbox:
            frames = self._inbox
            self._drop_inbox()
            failure = self._judge(frames) or self._hand_over(frames)
            if failure is not None:
                self._finish(ConnectionLost("the peer broke off"), failure)
                return
        if self._is_ended_by_peer and not self._is_closing:
            self._is_closing = True
            self._lose(self._ending)

    def _judge(self, frames: list[Frame]) -> ProtocolError | None:
        try:
            for frame in frames:
                self.conversation.receive(frame)
        except ProtocolError as error:
            return error
        return None


def pair(
    receiver_a: Receiver,
    conversation_a: Conversation,
    receiver_b: Receiver,
    conversation_b: Conversation,
) -> tuple[MemoryLink, MemoryLink]:
    """Two links, each the other end of the other; the first is ``receiver_a``'s."""
    a, b = MemoryLink(receiver_a, conversation_a), MemoryLink(receiver_b, conversation_b)
    a._other, b._other = b, a
    return a, b
