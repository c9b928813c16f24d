"""Frames over a blocking socket: how a Lua process talks to its parent.

No loop, no queue, no thread: a process that runs a script has nothing else to do.  It reads
header and buffers by their sizes, so a buffer is copied once, from the kernel.
"""

from __future__ import annotations

import io
import select
import socket
from collections.abc import Sequence
from typing import Final

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.wire import framing
from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.messages import AnyMessage

READ_BUFFER_BYTES: Final = 256 * limits.KB
"""One read takes in a whole frame of short tasks, mostly."""

COPY_BYTES_MAX: Final = 64 * limits.KB
"""Buffers up to this size are joined into one write; larger ones are written from where they
are."""

LINGER_MS: Final = 50
"""A process that is to be replaced goes on reading until it was silent for so long: an end in the
middle of the parent's writing could cost the parent what it has not read yet."""


class FrameSocket:
    """One process' end of the socket to its parent; everything blocks."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = io.BufferedReader(socket.SocketIO(sock, "r"), READ_BUFFER_BYTES)

    def receive(self) -> tuple[AnyMessage, list[bytes | None]] | None:
        """The next message with its buffers; None at the end of the socket.

        A buffer that is more than this process may hold is skipped and None.

        Raises:
            ProtocolError: not a frame.
            ConnectionResetError: the end came in the middle of one.
        """
        prefix = self._reader.read(framing.PREFIX.size)
        if not prefix:
            return None
        if len(prefix) < framing.PREFIX.size:
            raise ConnectionResetError
        length, _ = framing.PREFIX.unpack(prefix)
        if length > limits.HEADER_BYTES_MAX:
            raise ProtocolError(f"header of {length} bytes is over {limits.HEADER_BYTES_MAX}")
        header = framing.decode_header(self._read_exactly(length))
        return header.message, [self._read_buffer(size) for size in header.sizes]

    def send(self, message: AnyMessage, buffers: Sequence[Buffer] = ()) -> None:
        """Writes one frame; blocks while the parent does not read."""
        small = bytearray()
        for piece in framing.encode(Frame(framing.CONTROL_CHANNEL, message, buffers)):
            if len(piece) <= COPY_BYTES_MAX:
                small += piece
            else:
                self._sock.sendall(small)
                self._sock.sendall(piece)
                small = bytearray()
        self._sock.sendall(small)

    def linger(self) -> None:
        """Reads what still comes, for a moment."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        while poll.poll(LINGER_MS) and self._sock.recv(READ_BUFFER_BYTES):
            pass

    def _read_exactly(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) < size:
            raise ConnectionResetError
        return data

    def _read_buffer(self, size: int) -> bytes | None:
        try:
            return self._read_exactly(size)
        except MemoryError:
            while size > 0:
                size -= len(self._read_exactly(min(size, READ_BUFFER_BYTES)))
            return None
