"""How two processes of one program speak of buffers that neither sends; both make pools.

    one ── descriptor of a pool ──▶ the other       once for each pool, before the first reference
        ── frame with BlobRefs ───▶                 over their connection
        ◀─ ReleaseBlobs ───────────                 not read any more

Descriptors and releases have a socket of their own, which keeps the bounds of messages.  The two
trust each other; what each may read of the other's it cannot write.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from typing import Final

import msgspec

from midas_mp.blobs import memfd
from midas_mp.blobs.exchange import Reading, Showing
from midas_mp.blobs.pool import SharedFile
from midas_mp.errors import ProtocolError
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import BlobRef, ReleaseBlobs

MESSAGE_BYTES_MAX: Final = 64 * 1024

_POOL_ID: Final = struct.Struct("=Q")
_decoder: Final = msgspec.msgpack.Decoder(ReleaseBlobs)


def socketpair() -> tuple[socket.socket, socket.socket]:
    """For the two ends.

    Raises:
        OSError: there is no such socket here, or this process may open no more files.
    """
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class PeerBlobs:
    """One end; a ``BlobPort``.

    Args:
        sock: to the other end.
        reading: called when something is read here that was not sent; ``say_released`` is to be
            called now and then from then on, while ``is_reading``.
    """

    def __init__(self, sock: socket.socket, reading: Callable[[], None]) -> None:
        sock.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        self._sock = sock
        self._began_reading = reading
        self._showing = Showing(sock)
        self._reading = Reading()
        self._pools: dict[int, SharedFile] = {}
        """The other end's, by its numbers."""
        self._unsaid: ReleaseBlobs | None = None
        self._is_over = False

    def fileno(self) -> int:
        """Readable when ``listen`` has something to do."""
        return self._sock.fileno()

    def refer(self, buffer: Buffer) -> BlobRef | None:
        return None if self._is_over else self._showing.refer(buffer)

    def resolve(self, ref: BlobRef) -> Buffer:
        if ref.pool not in self._pools:
            self.listen()
        if ref.pool not in self._pools:
            raise ProtocolError(f"a reference to pool {ref.pool}, whose file never came")
        self._began_reading()
        return self._reading.view(self._pools[ref.pool], ref)

    def listen(self) -> bool:
        """Takes what the other end says, without waiting; False when it has gone.

        Raises:
            ProtocolError: it said something else.
        """
        while not self._is_over:
            try:
                data, fds, _, _ = socket.recv_fds(self._sock, MESSAGE_BYTES_MAX, 1)
            except BlockingIOError:
                return True
            except OSError:
                data, fds = b"", []
            if not data:
                self._is_over = True
            elif fds:
                self._take_pool(data, fds[0])
            else:
                self._take_release(data)
        return False

    @property
    def is_reading(self) -> bool:
        """Whether there is something that the other end is to be told, now or later."""
        return not self._is_over and (self._reading.held_bytes > 0 or self._unsaid is not None)

    def say_released(self) -> None:
        """Tells the other end what is not read here any more."""
        while not self._is_over:
            if self._unsaid is None:
                if not self._reading.has_released:
                    return
                self._unsaid = ReleaseBlobs(
                    self._reading.take_released(), self._showing.take_gone()
                )
            try:
                self._sock.send(msgspec.msgpack.encode(self._unsaid))
            except BlockingIOError:
                return
            except OSError:
                self._is_over = True
            self._unsaid = None

    def close(self) -> None:
        """The other end is gone, and reads nothing any more; idempotent."""
        self._is_over = True
        self._showing.close()

    def _take_pool(self, data: bytes, fd: int) -> None:
        try:
            (pool,) = _POOL_ID.unpack(data)
            self._pools[pool] = SharedFile(fd, memfd.fixed_size_bytes(fd), is_writable=False)
        except struct.error:
            raise ProtocolError("a pool without a number") from None
        except OSError as error:
            raise ProtocolError(f"shared memory of the other end: {error.strerror}") from None
        finally:
            os.close(fd)

    def _take_release(self, data: bytes) -> None:
        try:
            message = _decoder.decode(data)
        except msgspec.DecodeError as error:
            raise ProtocolError(f"not a release: {error}") from None
        for pool in message.pools:
            self._pools.pop(pool, None)
        self._showing.released(message)
