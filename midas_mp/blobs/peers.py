"""How two processes of one user and node speak of buffers that neither sends; both make pools.

    one ── descriptors of a pool and its token ──▶ the other    once, before the first reference
        ── frame with BlobRefs ──────────────────▶              over their connection
        ◀─ ReleaseBlobs ──────────────────────────              not read any more

Descriptors and releases have a socket of their own, the channel, which keeps the bounds of
messages.  What each may read of the other's it cannot write, and nobody can make it shorter.  A
pool may be shown on as it came: who stands in the middle opens nothing of it, and copies nothing.

When the connection ends nothing new is shown, and what is read stays: each end says at once what
it lets go, in whatever thread that happens, and ends its half of the channel when there is nothing
left.  What is shown is looked after by ``farewells``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from midas_mp import limits
from midas_mp.blobs import farewells, memfd
from midas_mp.blobs.exchange import Reading, Showing, check_inside, take_gone
from midas_mp.blobs.farewells import KeptToken, Token
from midas_mp.blobs.mapping import exiting
from midas_mp.blobs.pool import SharedFile, within_address_space
from midas_mp.errors import ConnectionLost, MidasError, ProtocolError
from midas_mp.wire.framing import Buffer
from midas_mp.wire.local import BlobRef, ReleaseBlobs

MESSAGE_BYTES_MAX: Final = 64 * 1024

_POOL_ID: Final = struct.Struct("=Q")
_DESCRIPTORS: Final = 2
"""That come with a pool: its file and its token."""

_GREETING: Final = ReleaseBlobs([])

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
        is_expected: the other end listens already; else nothing is shown before it says something.
    """

    def __init__(
        self, sock: socket.socket, reading: Callable[[], None], *, is_expected: bool = True
    ) -> None:
        channel = _Channel(sock)
        self._ends: _Ends | None = _Ends(
            channel, _Voice(channel), _Ear(channel, is_expected=is_expected)
        )
        """None once the connection has ended: then the channel is for what is still read."""
        self._began_reading = reading

    def fileno(self) -> int:
        """Readable when ``listen`` has something to do."""
        return self._ends.channel.fileno() if self._ends is not None else -1

    def greet(self) -> None:
        """Tells the other end that it is listened to."""
        if self._ends is not None:
            self._ends.channel.say(_GREETING)

    def refer(self, buffer: Buffer) -> BlobRef | None:
        ends = self._ends
        if ends is None or ends.ear.is_over or not ends.ear.has_heard:
            return None
        return ends.ear.showing.refer(buffer)

    def resolve(self, ref: BlobRef) -> Buffer:
        ends = self._ends
        if ends is not None and ref.pool not in ends.ear.pools:
            ends.ear.listen()
        if ends is None or ref.pool not in ends.ear.pools:
            raise ProtocolError(f"a reference to pool {ref.pool}, whose file never came")
        self._began_reading()
        return ends.voice.read(ends.ear.pools[ref.pool], ref)

    def listen(self) -> bool:
        """Takes what the other end says, without waiting; False when it says nothing any more.

        Raises:
            ProtocolError: it said something else.
            ConnectionLost: it showed what this process cannot take.
        """
        return self._ends is not None and self._ends.ear.listen()

    @property
    def is_reading(self) -> bool:
        """Whether there is something that the other end is to be told, now or later."""
        ends = self._ends
        return ends is not None and not ends.ear.is_over and ends.voice.held_bytes > 0

    def say_released(self) -> None:
        """Tells the other end what is not read here any more."""
        if self._ends is not None:
            self._ends.voice.say_released()
            self._ends.ear.say_gone()

    def part(self) -> None:
        """The connection has ended: nothing is shown any more.  Idempotent."""
        ends, self._ends = self._ends, None
        if ends is not None:
            ends.voice.part()
            ends.ear.pools.clear()  # who reads of them keeps them
            farewells.add(ends.ear)
            del ends
            farewells.sweep()


class _Ends(NamedTuple):
    """Of a connection that has not ended."""

    channel: _Channel
    voice: _Voice
    ear: _Ear


class _Channel(socket.socket):
    """Takes over a socket, and closes it when nobody has it any more."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(fileno=sock.detach())
        self.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        self._pid = os.getpid()

    def say(self, message: ReleaseBlobs) -> bool:
        """False if the other end takes nothing for now."""
        if self._pid != os.getpid():
            return True  # a fork brought it here: it is not ours
        try:
            self.send(msgspec.msgpack.encode(message))
        except OSError as error:
            return error.errno not in (errno.EAGAIN, errno.ENOBUFS)  # else nobody listens
        return True

    def give(self, pool: int, descriptors: Sequence[int]) -> None:
        """Raises OSError: the other end takes none for now."""
        socket.send_fds(self, [_POOL_ID.pack(pool)], descriptors)

    def hear(self) -> tuple[bytes, list[int]] | None:
        """The next message with its descriptors, the caller's to close; None if there is none so
        far, an empty one when there will be none any more.

        Raises:
            ConnectionLost: this process may open no more files.
        """
        try:
            data, fds, flags, _ = socket.recv_fds(self, MESSAGE_BYTES_MAX, _DESCRIPTORS)
        except BlockingIOError:
            return None
        except OSError:
            return b"", []
        if flags & socket.MSG_CTRUNC:
            _close_all(fds)
            raise ConnectionLost("a pool came that this process may not open: too many open files")
        return data, fds

    def finish(self) -> None:
        """Nothing more will be sent."""
        if self._pid == os.getpid():
            with contextlib.suppress(OSError):  # the other end is gone
                self.shutdown(socket.SHUT_WR)

    def __del__(self) -> None:
        self.close()


class _Voice(Reading):
    """What is read here, and says so; kept by all that is read, and ends its half of the channel.

    Several threads may be in it: each step on what they share is one that no other gets into.
    """

    def __init__(self, channel: _Channel) -> None:
        super().__init__()
        self._channel = channel
        self._is_alone = False
        """Nobody else will call ``say_released``."""

    def read(self, pool: SharedFile | _UnmappedFile, ref: BlobRef) -> Buffer:
        if isinstance(pool, SharedFile):
            return self.view(pool, ref)
        copy = pool.read(ref)
        self.owe([ref])
        return copy

    def say_released(self) -> None:
        while released := self.take_released():
            if not self._channel.say(ReleaseBlobs(released)):
                self.owe(released)
                return

    def part(self) -> None:
        self._is_alone = True
        self.say_released()

    def _end(self, ref: BlobRef, offset: int, size_bytes: int) -> None:
        super()._end(ref, offset, size_bytes)
        if self._is_alone:
            self.say_released()

    def __del__(self, is_exiting: list[None] = exiting) -> None:
        if not is_exiting:
            self._channel.finish()


class _Ear:
    """What the other end says; and a ``Farewell`` to it.

    Attributes:
        has_heard: the other end has said something.
        is_over: it says nothing any more, and reads nothing.
        pools: the other end's, by its numbers.
    """

    def __init__(self, channel: _Channel, *, is_expected: bool) -> None:
        self.has_heard = is_expected
        self.is_over = False
        self.pools: dict[int, SharedFile | _UnmappedFile] = {}
        self._channel = channel
        self._giver = _Giver(channel)
        self.showing = Showing(self._giver.give, self._giver.say_gone)

    def listen(self) -> bool:
        """As that of ``PeerBlobs``."""
        while not self.is_over:
            received = self._channel.hear()
            if received is None:
                return True
            data, fds = received
            self.has_heard = True
            if fds:
                self._take_pool(data, fds)
            elif data:
                self._take_release(data)
            else:
                self.is_over = True
        return False

    def say_gone(self) -> None:
        """Tells the other end what pools it can forget, if it did not take that at once."""
        self._giver.say_gone(self.showing.gone)

    def has_ended(self) -> bool:
        if self.showing.is_read:
            try:
                is_there = self.listen()
            except MidasError:  # its word counts for nothing any more; its token does
                is_there, self.is_over = False, True
            if self.showing.is_read and (is_there or self._giver.has_taker):
                return False
        self.showing.close()
        return True

    def _take_pool(self, data: bytes, fds: list[int]) -> None:
        kept: tuple[int, ...] = ()
        try:
            if len(data) != _POOL_ID.size or len(fds) != _DESCRIPTORS:
                raise ProtocolError("a pool without a number, or without a token")
            if len(self.pools) >= limits.POOLS_PER_PEER_MAX:
                raise ProtocolError(f"more than {limits.POOLS_PER_PEER_MAX} pools")
            (number,) = _POOL_ID.unpack(data)
            self.pools[number], kept = _opened(*fds)
        finally:
            _close_all(fd for fd in fds if fd not in kept)

    def _take_release(self, data: bytes) -> None:
        try:
            message = _decoder.decode(data)
        except msgspec.DecodeError as error:
            raise ProtocolError(f"not a release: {error}") from None
        for pool in message.pools:
            self.pools.pop(pool, None)
        self.showing.released(message)


class _Giver:
    """Gives the other end pools; with what was made here goes a token of this connection."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel
        self._token: Token | None = None

    def give(self, file: SharedFile) -> None:
        """Raises OSError: the other end takes none for now."""
        token: Token | KeptToken | None = file.token
        if token is None:
            token = self._token = self._token or Token()
        self._channel.give(file.id, (file.read_fd, token.fd))

    def say_gone(self, gone: deque[int]) -> None:
        """Has the other end forget these pools, now or later; several threads may be in it."""
        while gone:
            pools = take_gone(gone)
            if not self._channel.say(ReleaseBlobs([], pools)):
                gone.extendleft(pools)
                return

    @property
    def has_taker(self) -> bool:
        """Whether anybody has what was given; nothing more will be."""
        return self._token is not None and self._token.is_held


class _UnmappedFile:
    """A pool for which this process has no room: what is read of it is copied."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._fd = fd
        self._size_bytes = size_bytes

    def read(self, ref: BlobRef) -> Buffer:
        """Raises ProtocolError: it does not lie there."""
        check_inside(ref, self._size_bytes)
        data = bytearray(ref.size_bytes)
        with memoryview(data) as rest:
            offset = 0
            while offset < len(data):
                try:
                    offset += os.preadv(self._fd, [rest[offset:]], ref.offset + offset)
                except OSError as error:
                    text = f"shared memory of the other end: {error.strerror}"
                    raise ProtocolError(text) from None
        return data

    def __del__(self, is_exiting: list[None] = exiting) -> None:
        if not is_exiting:
            os.close(self._fd)


def _opened(file_fd: int, token_fd: int) -> tuple[SharedFile | _UnmappedFile, tuple[int, ...]]:
    """A pool that came, and which of its descriptors are taken care of.

    Raises:
        ProtocolError: reading it could be the end of this process.
    """
    size_bytes = memfd.fixed_size_bytes(file_fd)
    if not memfd.has_plain_pages(file_fd):
        raise ProtocolError("shared memory of huge pages")
    if size_bytes <= within_address_space(size_bytes, limits.ADDRESS_SHARE_OF_POOL_INVERSE):
        with contextlib.suppress(OSError):
            file = SharedFile(file_fd, size_bytes)
            file.token = farewells.keep(token_fd)
            return file, (token_fd,)
    return _UnmappedFile(file_fd, size_bytes), (file_fd,)


def _close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
