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
from midas_mp.blobs.exchange import ProcessBlobs
from midas_mp.errors import ProtocolError
from midas_mp.wire import framing
from midas_mp.wire.framing import Buffer, size_bytes
from midas_mp.wire.local import BlobRef
from midas_mp.wire.vocabulary import AnyMessage

READ_BUFFER_BYTES: Final = 256 * limits.KB
"""One read takes in a whole frame of short tasks, mostly."""

COPY_BYTES_MAX: Final = 64 * limits.KB
"""Buffers up to this size are joined into one write; larger ones are written from where they
are."""

LINGER_MS: Final = 50
"""A process that is to be replaced goes on reading until it was silent for so long: an end in the
middle of the parent's writing could cost the parent what it has not read yet."""


class FrameSocket:
    """One process' end of the socket to its parent; everything blocks.

    Args:
        sock: the socket.
        blobs: the memory shared with the parent, if any.

    Attributes:
        blobs: the same.
    """

    def __init__(self, sock: socket.socket, blobs: ProcessBlobs | None = None) -> None:
        self._sock = sock
        self.blobs = blobs
        self._reader = io.BufferedReader(socket.SocketIO(sock, "r"), READ_BUFFER_BYTES)

    def receive(self) -> tuple[AnyMessage, list[Buffer | None]] | None:
        """The next message with its buffers; None at the end of the socket.

        A buffer in shared memory is a view that the parent keeps as it is until nothing of it is
        left here.  A buffer that is more than this process may hold is skipped and None.

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
        return header.message, [self._take_buffer(place) for place in header.sizes]

    def send(self, message: AnyMessage, buffers: Sequence[Buffer | BlobRef] = ()) -> None:
        """Writes one frame, and before it what is not read here any more; blocks while the parent
        does not read.
        """
        small = self._releases()
        places: list[int | BlobRef] = []
        inline: list[Buffer] = []
        for buffer in buffers:
            if isinstance(buffer, BlobRef):
                places.append(buffer)
            else:
                places.append(size_bytes([buffer]))
                inline.append(buffer)
        small += framing.head(framing.CONTROL_CHANNEL, message, places)
        for piece in inline:
            if len(piece) <= COPY_BYTES_MAX:
                small += piece
            else:
                self._sock.sendall(small)
                self._sock.sendall(piece)
                small = bytearray()
        self._sock.sendall(small)

    def flush(self) -> None:
        """Says what is not read here any more, where nothing else is to be said."""
        releases = self._releases()
        if releases:
            self._sock.sendall(releases)

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

    def _releases(self) -> bytearray:
        frames = bytearray()
        if self.blobs is not None:
            for message in self.blobs.releases():
                frames += framing.head(framing.CONTROL_CHANNEL, message, ())
        return frames

    def _take_buffer(self, place: int | BlobRef) -> Buffer | None:
        if isinstance(place, int):
            return self._read_buffer(place)
        if self.blobs is None:
            raise ProtocolError("a reference to shared memory, where there is none in common")
        return self.blobs.resolve(place)

    def _read_buffer(self, size: int) -> bytes | None:
        try:
            return self._read_exactly(size)
        except MemoryError:
            while size > 0:
                size -= len(self._read_exactly(min(size, READ_BUFFER_BYTES)))
            return None
