"""Frames over any asyncio stream: TCP, a socketpair.

A closing link says its last words, shuts its side down and goes on reading, without listening,
until the peer has done the same: closing a socket with unread bytes would reset the connection,
and the peer could lose the Goodbye or the Refused that was meant for it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Final, cast

from midas_mp import limits
from midas_mp.errors import ConnectionLost, MidasError, ProtocolError
from midas_mp.transport.address import Address
from midas_mp.transport.flow import FlowWatch
from midas_mp.transport.link import Link, Receiver
from midas_mp.transport.neighbours import Neighbourhood, Neighbours, without_link_words
from midas_mp.transport.pulse import HEARTBEAT, Pulse
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import (
    BlobPort,
    Buffer,
    Frame,
    FrameDecoder,
    LinkedPort,
    encode_all,
    size_bytes,
)
from midas_mp.wire.records import RecordReader, RecordWriter

_JOIN_BYTES_MAX: Final = 64 * limits.KB
"""Pieces up to this size are cheaper to copy together than to pass on one by one."""


class StreamLink(asyncio.Protocol, Link):
    """A link over a stream transport.  Made as the protocol of ``create_connection`` and the like.

    Args:
        where: the other end for people; empty takes the transport's address.
        greeting_timeout_s: cut off a peer whose conversation is not open by then; None is never.
        blobs: the memory shared with the peer; None where there is none in common so far.
        neighbours: how to share memory with a peer of this node; None is not at all.
        is_remote: the peer is at the other end of a network: who gives or takes next to nothing of
            what is due is cut off.
        is_checked: bits may flip on the way, and nothing else finds that: frames travel in records.
    """

    def __init__(
        self,
        receiver: Receiver,
        conversation: Conversation,
        *,
        where: str = "",
        greeting_timeout_s: float | None = None,
        blobs: BlobPort | None = None,
        neighbours: Neighbours | None = None,
        is_remote: bool = False,
        is_checked: bool = False,
    ) -> None:
        super().__init__(receiver, conversation)
        self._address = where
        self._greeting_timeout_s = greeting_timeout_s
        self._blobs = blobs
        self._decoder = FrameDecoder(conversation, blobs)
        self._neighbourhood = Neighbourhood(self, neighbours)
        self._is_remote = is_remote
        self._reader = RecordReader() if is_checked else None
        self._writer = RecordWriter() if is_checked else None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pulse: Pulse | None = None
        self._flow: FlowWatch | None = None
        self._is_closing = False
        self._is_writing_paused = False
        self._error: MidasError | None = None
        """Why we ended the link, where that is not plain closing."""
        self.received_count = 0
        self.received_frames = 0
        self.received_bytes = 0
        self.sent_count = 0
        self.written_bytes = 0

    # -- the owner's side ----------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return self._address or "a peer without address"

    @property
    def is_closed(self) -> bool:
        return self._is_closing or self._is_lost or self._transport is None

    @property
    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport else 0

    @property
    def _is_clogged(self) -> bool:
        return self._is_writing_paused

    def send(self, frames: Sequence[Frame]) -> None:
        if self.is_closed or not frames:
            return
        pieces = encode_all(frames, self._blobs)
        for frame in frames:
            self.conversation.sending(frame)
        self.sent_count += 1
        self._write(pieces)
        if self._neighbourhood.is_inviting:
            self._neighbourhood.invite(self._transport)

    def close(self, last: Frame | None = None) -> None:
        if self.is_closed:
            return
        if last is not None:
            self.send([last])
        transport = cast("asyncio.Transport", self._transport)
        self._is_closing = True
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()
        self._linger()

    def abort(self) -> None:
        self._is_closing = True
        self._cancel_timer()
        if self._transport is not None:
            self._transport.abort()

    # -- the side of the memory that is shared ---------------------------------------------------

    def share(self, port: LinkedPort) -> None:
        self._blobs = port
        self._decoder.share(port)
        self._neighbourhood.share(port)

    def port_failed(self, error: MidasError) -> None:
        self._fail(error)

    # -- the pulse' side -----------------------------------------------------------------------

    def beat(self) -> None:
        self.send([HEARTBEAT])

    def fall_silent(self, seconds: float) -> None:
        self._fail(ConnectionLost(f"{self.peer}: nothing was heard for {seconds:g} s"))

    # -- the side of the flow ------------------------------------------------------------------

    @property
    def is_inside_frame(self) -> bool:
        return not self._is_between_frames

    def cut_off(self, reason: str) -> None:
        self._fail(ConnectionLost(f"{self.peer}: {reason}"))

    # -- the event loop's side -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(
            limits.SEND_BUFFER_BYTES_HIGH, limits.SEND_BUFFER_BYTES_LOW
        )
        self._address = self._address or _address_of(transport)
        self._pulse = Pulse(self, self._loop.call_later)
        if self._is_remote:
            self._flow = FlowWatch(self, self._loop.call_later)
        if self._greeting_timeout_s is not None:
            self._timer = self._loop.call_later(self._greeting_timeout_s, self._greeting_missed)

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            return
        self.received_count += 1
        self.received_bytes += len(data)
        try:
            frames = self._decode(data)
        except ProtocolError as error:
            self._fail(error)
            return
        except ConnectionLost as error:
            self._fail(ConnectionLost(f"{self.peer}: {error}"))
            return
        self.received_frames += len(frames)
        rest = without_link_words(frames)
        if len(rest) < len(frames):
            self._neighbourhood.take(frames)
        if rest:
            failure = self._hand_over(rest)
            if failure is not None:
                self._fail(failure)

    def eof_received(self) -> bool:
        if not self._is_closing and not self._is_between_frames:
            self._error = ConnectionLost(f"{self.peer}: the connection ended inside a frame")
        if not self._is_closing:
            self._is_closing = True
            self._linger()
        return False  # the transport sends what is unsent and closes

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self._is_closing:
            self._error = ConnectionLost(f"{self.peer}: the connection broke: {exc}")
        self._cancel_timer()
        for watch in (self._pulse, self._flow):
            if watch is not None:
                watch.close()
        self._transport = None
        self._is_closing = True
        self._is_writing_paused = False
        self._neighbourhood.part()
        # nothing waits for the garbage collector that may be large: the part of a frame that came,
        # and what came last, which the error's traceback holds
        self._decoder = FrameDecoder(self.conversation)
        self._reader = None
        error, self._error = self._error, None
        self._lose(error)

    def pause_writing(self) -> None:
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        self._wake_drained()

    # -- within --------------------------------------------------------------------------------

    def _decode(self, data: bytes) -> list[Frame]:
        if self._reader is None:
            return self._decoder.feed(data)
        is_known = self.conversation.remote is not None
        size_max = limits.RECORD_BYTES_MAX if is_known else limits.RECORD_BYTES_MAX_GREETING
        parts = self._reader.feed(data, size_max)
        if len(parts) == 1:
            return self._decoder.feed(parts[0])
        return [frame for part in parts for frame in self._decoder.feed(part)]

    @property
    def _is_between_frames(self) -> bool:
        is_whole = self._reader is None or self._reader.is_between_records
        return is_whole and self._decoder.is_between_frames

    def _write(self, pieces: list[Buffer]) -> None:
        transport = cast("asyncio.Transport", self._transport)
        if len(pieces) > 1:
            is_small = size_bytes(pieces) <= _JOIN_BYTES_MAX
            pieces = [b"".join(pieces)] if is_small else _gathered(pieces)
        if self._writer is not None:
            pieces = self._writer.seal(pieces)
        self.written_bytes += size_bytes(pieces)
        for piece in pieces:
            # not writelines: asyncio's of 3.12 and 3.13 never calls pause_writing
            transport.write(piece)

    def _fail(self, error: MidasError) -> None:
        self._error = error
        self.abort()

    def _greeting_missed(self) -> None:
        self._timer = None
        if self.conversation.is_greeting_due:
            seconds = self._greeting_timeout_s
            # no offence: a machine that is frozen or overloaded may come back
            self._fail(ConnectionLost(f"{self.peer} did not greet within {seconds:g} s"))

    def _linger(self) -> None:
        """Wait for the peer as long as it takes what we sent, then only so long."""
        self._cancel_timer()
        self._timer = self._loop.call_later(
            limits.LINGER_S, self._check_progress, self.unsent_bytes
        )

    def _check_progress(self, unsent_before: int) -> None:
        if 0 < self.unsent_bytes < unsent_before:
            self._linger()
        else:
            self.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _gathered(pieces: list[Buffer]) -> list[Buffer]:
    """The same bytes in fewer pieces: small neighbours are joined."""
    gathered: list[Buffer] = []
    small: list[Buffer] = []
    for piece in pieces:
        if size_bytes([piece]) < _JOIN_BYTES_MAX:
            small.append(piece)
            continue
        if small:
            gathered.append(b"".join(small))
            small = []
        gathered.append(piece)
    if small:
        gathered.append(b"".join(small))
    return gathered


def _address_of(transport: asyncio.BaseTransport) -> str:
    where = transport.get_extra_info("peername")
    if not isinstance(where, tuple):
        return ""
    host = where[0].removeprefix("::ffff:")  # an IPv4 peer of a listener for both
    return str(Address(host, where[1]))


async def attach(
    sock: socket.socket,
    receiver: Receiver,
    conversation: Conversation,
    *,
    name: str,
    blobs: BlobPort | None = None,
) -> StreamLink:
    """A link over a connected socket, such as one end of a socketpair.

    Args:
        sock: the socket.
        receiver: whoever owns the link.
        conversation: at its beginning.
        name: the peer's.
        blobs: the memory shared with it.
    """
    sock.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
    _, link = await asyncio.get_running_loop().create_connection(
        lambda: StreamLink(receiver, conversation, where=name, blobs=blobs), sock=sock
    )
    return link
