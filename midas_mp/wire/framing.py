"""Frames: ``u32 header length | u32 channel | header | buffers…``, little-endian.

The header is one msgpack array ``[message, sizes of the buffers]``; a buffer that lies in shared
memory does not follow, and a ``BlobRef`` stands in the place of its size.  Pure: bytes in, frames
out; sockets live in ``transport``, shared memory in ``blobs``.  Every limit is checked on the
numbers, before a byte of what they announce is kept, and memory grows with what has arrived, never
with what was announced.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Final, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from midas_mp import limits
from midas_mp.errors import MidasError, ProtocolError
from midas_mp.wire.local import BlobRef
from midas_mp.wire.messages import Call, Outcome
from midas_mp.wire.vocabulary import AnyMessage

PREFIX: Final = struct.Struct("<II")

CONTROL_CHANNEL: Final = 0
"""Node and job matters; a worker's frames carry its own channel number."""

Buffer = bytes | bytearray | memoryview

T = TypeVar("T", Call, Outcome)


class Frame(NamedTuple):
    """One message with its buffers, as it travels or as it is handed over in one process."""

    channel: int
    message: AnyMessage
    buffers: Sequence[Buffer] = ()


class BlobPort(Protocol):
    """What one end of a connection within a node knows of shared memory."""

    def refer(self, buffer: Buffer, /) -> BlobRef | None:
        """What to say instead of the buffer; None if it is to be sent.

        What was referred to stays as it is until the other end says that it is not read there.
        """

    def resolve(self, ref: BlobRef, /) -> Buffer:
        """What the other end referred to.

        Raises:
            ProtocolError: there is no such place.
        """


class LinkedPort(BlobPort, Protocol):
    """A port that serves one connection and ends with it."""

    def part(self) -> None:
        """The connection has ended; what was read of it may be read on.  Idempotent."""


class PortOwner(Protocol):
    """The connection that a port serves."""

    def share(self, port: LinkedPort, /) -> None:
        """Large buffers need not be sent from now on."""

    def port_failed(self, error: MidasError, /) -> None:
        """The other end broke the rules, or this process cannot keep up with it."""


class _Header(Struct, frozen=True, array_like=True, gc=False):
    message: AnyMessage
    sizes: Annotated[
        list[Annotated[int, Meta(ge=0, le=limits.PAYLOAD_BYTES_MAX)] | BlobRef],
        Meta(max_length=limits.BUFFERS_MAX),
    ] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Header)


def size_bytes(buffers: Iterable[Buffer]) -> int:
    """Bytes in all of them: a memoryview may count its items in larger units."""
    size = 0
    for buffer in buffers:  # called for every task: a list and its sum would take thrice as long
        size += buffer.nbytes if type(buffer) is memoryview else len(buffer)
    return size


def payloads(tasks: Iterable[T], buffers: Sequence[Buffer]) -> Iterator[tuple[T, Sequence[Buffer]]]:
    """Each call or outcome of a batch with its own of the frame's buffers, in order.

    That the counts fit the buffers was checked when the frame arrived.
    """
    start = 0
    for task in tasks:
        end = start + task.buffer_count
        yield task, buffers[start:end]
        start = end


def encode(frame: Frame, blobs: BlobPort | None = None) -> list[Buffer]:
    """The pieces of one frame, in order, for a gathering write.

    Args:
        frame: what to say.
        blobs: knows what the peer can read in shared memory; None is nothing.

    Raises:
        ProtocolError: the header or the buffers exceed their limit, or hold what cannot be sent.
    """
    sizes = _sizes(frame.buffers)
    if blobs is None:
        return [head(frame.channel, frame.message, sizes), *frame.buffers]
    _check_size(frame.message, sizes)
    places: list[int | BlobRef] = []
    inline: list[Buffer] = []
    room = limits.BLOB_REFS_MAX
    for buffer, size in zip(frame.buffers, sizes, strict=True):
        ref = blobs.refer(buffer) if size >= limits.BLOB_BYTES_MIN and room else None
        if ref is None:
            inline.append(buffer)
            places.append(size)
        else:
            places.append(ref)
            room -= 1
    return [head(frame.channel, frame.message, places), *inline]


def head(channel: int, message: AnyMessage, places: Sequence[int | BlobRef]) -> bytes:
    """Prefix and header of a frame: for each buffer its size, or where it lies.

    Raises:
        ProtocolError: as ``encode``.
    """
    _check_size(message, places)
    try:
        header = _encoder.encode(_Header(message, places))  # type: ignore[arg-type]  # no copy
        prefix = PREFIX.pack(len(header), channel)
    except (ValueError, OverflowError, TypeError, struct.error) as error:
        # A lone surrogate (an argument that is not UTF-8), an integer over 64 bits.
        raise ProtocolError(f"{type(message).__name__}: cannot be sent: {error}") from error
    if len(header) > limits.HEADER_BYTES_MAX:
        kind = type(message).__name__
        raise ProtocolError(f"{kind}: header of {len(header)} bytes is over the limit")
    return prefix + header


def encode_all(frames: Iterable[Frame], blobs: BlobPort | None = None) -> list[Buffer]:
    """The pieces of several frames, in order."""
    return [piece for frame in frames for piece in encode(frame, blobs)]


class Gate(Protocol):
    """What a decoder asks about each frame; a ``Conversation`` is one.

    Both limits are read anew before each header: they grow when the peer is known.
    """

    @property
    def header_bytes_max(self) -> int: ...

    @property
    def payload_bytes_max(self) -> int: ...

    def receive(self, frame: Frame, /) -> None:
        """Raises ProtocolError when the frame must not be said here."""


class _OpenGate:
    """Lets every frame pass that keeps the general limits."""

    header_bytes_max = limits.HEADER_BYTES_MAX
    payload_bytes_max = limits.PAYLOAD_BYTES_MAX

    def receive(self, frame: Frame, /) -> None:
        """Nothing to object to."""


class FrameDecoder:
    """Turns a byte stream, cut anywhere, into frames.

    Each frame passes the gate before the next one is looked at.  Buffers are ``bytes`` where they
    arrived in one piece, else the ``bytearray`` in which they were gathered: every byte is copied
    once, whatever the size of the pieces.  After an error the stream has no meaning any more: the
    decoder refuses further input.
    """

    def __init__(self, gate: Gate | None = None, blobs: BlobPort | None = None) -> None:
        self._gate = gate or _OpenGate()
        self._blobs = blobs
        self._head = bytearray()
        """A prefix, or prefix and header, that did not come in one piece."""
        self._head_wanted = PREFIX.size
        self._header: _Header | None = None
        self._channel = 0
        self._buffers: list[Buffer] = []
        self._partial = bytearray()
        """The buffer that is being gathered."""
        self._error: ProtocolError | None = None

    def share(self, blobs: BlobPort) -> None:
        """From now on references are to what this port knows."""
        self._blobs = blobs

    def feed(self, data: Buffer) -> list[Frame]:
        """All frames that are complete with ``data``; the data itself may be reused afterwards.

        Raises:
            ProtocolError: not a frame, over a limit, or refused at the gate; close the connection.
        """
        if self._error is not None:
            raise self._error
        chunk = data if type(data) is bytes else bytes(data)  # slices of bytes are the cheapest
        frames: list[Frame] = []
        position, end = 0, len(chunk)
        try:
            while position < end:
                header = self._header
                if header is None:
                    position, header = self._read_header(chunk, position)
                if header is not None:
                    position = self._read_buffers(header, chunk, position)
                    if len(self._buffers) == len(header.sizes):
                        frames.append(self._finish(header))
        except ProtocolError as error:
            self._error = error
            self._drop()
            raise
        return frames

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream may end here without having lost anything."""
        return self._header is None and not self._head

    def _read_header(self, chunk: bytes, position: int) -> tuple[int, _Header | None]:
        """Take what there is of prefix and header; returns where the rest of the chunk begins."""
        if not self._head and len(chunk) - position >= PREFIX.size:
            start = position + PREFIX.size
            stop = start + self._read_prefix(chunk[position:start])
            if stop <= len(chunk):
                self._header = self._decode(chunk[start:stop])
                return stop, self._header
        taken = chunk[position : position + self._head_wanted - len(self._head)]
        self._head += taken
        position += len(taken)
        if len(self._head) < self._head_wanted:
            return position, None
        if self._head_wanted == PREFIX.size:
            self._head_wanted += self._read_prefix(self._head)
            if self._head_wanted > PREFIX.size:
                return position, None
        self._header = self._decode(self._head[PREFIX.size :])
        self._head.clear()
        self._head_wanted = PREFIX.size
        return position, self._header

    def _read_buffers(self, header: _Header, chunk: bytes, position: int) -> int:
        """Take what there is of the frame's buffers."""
        buffers, end = self._buffers, len(chunk)
        for size in header.sizes[len(buffers) :]:
            if not isinstance(size, int):
                buffers.append(self._resolve(size))
                continue
            stop = position + size - len(self._partial)
            if stop > end:
                # Appending in place grows a bytearray by an eighth at a time: linear in what
                # arrives, and nothing is reserved on the strength of a claim.
                self._partial += chunk[position:]
                return end
            if self._partial:
                self._partial += chunk[position:stop]
                buffers.append(self._partial)
                self._partial = bytearray()
            else:
                buffers.append(chunk[position:stop])
            position = stop
        return position

    def _resolve(self, ref: BlobRef) -> Buffer:
        if self._blobs is None:
            raise ProtocolError("a reference to shared memory, where there is none in common")
        return self._blobs.resolve(ref)

    def _finish(self, header: _Header) -> Frame:
        """The frame, all of whose buffers are there, if the gate lets it pass."""
        frame = Frame(self._channel, header.message, self._buffers)
        self._header = None
        self._buffers = []
        self._gate.receive(frame)
        return frame

    def _read_prefix(self, data: Buffer) -> int:
        """Note the channel; returns the length of the header."""
        length: int
        length, self._channel = PREFIX.unpack(data)
        if length > self._gate.header_bytes_max:
            raise ProtocolError(f"header of {length} bytes is over {self._gate.header_bytes_max}")
        return length

    def _decode(self, data: Buffer) -> _Header:
        header = decode_header(data)
        size = _total_bytes(header.sizes)
        if size > self._gate.payload_bytes_max:
            raise ProtocolError(
                f"{type(header.message).__name__}: {size} bytes of buffers are over the limit of "
                f"{self._gate.payload_bytes_max} bytes"
            )
        return header

    def _drop(self) -> None:
        self._head.clear()
        self._buffers = []
        self._partial = bytearray()


def decode_header(data: Buffer) -> _Header:
    """One header, checked.

    Raises:
        ProtocolError: whatever is wrong with it.
    """
    try:
        header = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not a message: {error}") from None
    total = _total_bytes(header.sizes)
    if total > limits.PAYLOAD_BYTES_MAX:
        raise ProtocolError(
            f"{total} bytes of buffers are over the limit of {limits.PAYLOAD_BYTES_MAX} bytes"
        )
    return header


def _check_size(message: AnyMessage, places: Sequence[int | BlobRef]) -> None:
    total = _total_bytes(places)
    if len(places) > limits.BUFFERS_MAX or total > limits.PAYLOAD_BYTES_MAX:
        raise ProtocolError(
            f"{type(message).__name__}: {total} bytes in {len(places)} buffers, "
            f"over the limit of {limits.PAYLOAD_BYTES_MAX} bytes in {limits.BUFFERS_MAX}"
        )


def _total_bytes(places: Sequence[int | BlobRef]) -> int:
    """Of all buffers, wherever they are."""
    return sum([place if isinstance(place, int) else place.size_bytes for place in places])


def _sizes(buffers: Iterable[Buffer]) -> list[int]:
    return [b.nbytes if type(b) is memoryview else len(b) for b in buffers]
