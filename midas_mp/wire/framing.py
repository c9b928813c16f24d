"""Frames: ``u32 header length | u32 channel | header | buffers…``, little-endian.

The header is one msgpack array ``[message, sizes of the buffers]``.  Pure: bytes in, frames out;
sockets live in ``transport``.  Every limit is checked on the numbers, before a byte of what they
announce is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.wire.messages import AnyMessage

PREFIX: Final = struct.Struct("<II")

CONTROL_CHANNEL: Final = 0
"""Node and job matters; a worker's frames carry its own channel number."""

Buffer = bytes | bytearray | memoryview


class Frame(NamedTuple):
    """One message with its buffers, as it travels or as it is handed over in one process."""

    channel: int
    message: AnyMessage
    buffers: Sequence[Buffer] = ()


class _Header(Struct, frozen=True, array_like=True, gc=False):
    message: AnyMessage
    sizes: Annotated[
        list[Annotated[int, Meta(ge=0, le=limits.PAYLOAD_BYTES_MAX)]],
        Meta(max_length=limits.BUFFERS_MAX),
    ] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Header)


def encode(frame: Frame) -> list[Buffer]:
    """The pieces of one frame, in order, for a gathering write.

    Raises:
        ProtocolError: the header or the buffers exceed their limit.
    """
    sizes = [len(buffer) for buffer in frame.buffers]
    header = _encoder.encode(_Header(frame.message, sizes))
    if len(header) > limits.HEADER_BYTES_MAX:
        kind = type(frame.message).__name__
        raise ProtocolError(f"{kind}: header of {len(header)} bytes is over the limit")
    if len(sizes) > limits.BUFFERS_MAX or sum(sizes) > limits.PAYLOAD_BYTES_MAX:
        raise ProtocolError(
            f"{type(frame.message).__name__}: {sum(sizes)} bytes in {len(sizes)} buffers, "
            f"over the limit of {limits.PAYLOAD_BYTES_MAX} bytes"
        )
    return [PREFIX.pack(len(header), frame.channel) + header, *frame.buffers]


def encode_all(frames: Iterable[Frame]) -> list[Buffer]:
    """The pieces of several frames, in order."""
    return [piece for frame in frames for piece in encode(frame)]


class FrameDecoder:
    """Turns a byte stream, cut anywhere, into frames.

    After an error the stream has no meaning any more: the decoder refuses further input.
    """

    def __init__(self, *, header_bytes_max: int = limits.HEADER_BYTES_MAX) -> None:
        self.header_bytes_max = header_bytes_max
        self._buffer = bytearray()
        self._wanted = PREFIX.size
        self._header: _Header | None = None
        self._channel = 0
        self._error: ProtocolError | None = None

    def feed(self, data: Buffer) -> list[Frame]:
        """All frames that are complete with ``data``.

        Raises:
            ProtocolError: not a frame, or over a limit; close the connection.
        """
        if self._error is not None:
            raise self._error
        self._buffer += data
        frames: list[Frame] = []
        try:
            while len(self._buffer) >= self._wanted:
                frame = self._advance()
                if frame is not None:
                    frames.append(frame)
        except ProtocolError as error:
            self._error = error
            self._buffer.clear()
            raise
        return frames

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream may end here without having lost anything."""
        return self._header is None and not self._buffer

    def _advance(self) -> Frame | None:
        if self._header is not None:
            return self._take_buffers(self._header)
        length, channel = PREFIX.unpack_from(self._buffer)
        if length > self.header_bytes_max:
            raise ProtocolError(f"header of {length} bytes is over {self.header_bytes_max}")
        if len(self._buffer) < PREFIX.size + length:
            self._wanted = PREFIX.size + length
            return None
        end = PREFIX.size + length
        header = decode_header(bytes(self._buffer[PREFIX.size : end]))
        del self._buffer[:end]
        self._channel = channel
        self._header = header
        self._wanted = sum(header.sizes)
        return None

    def _take_buffers(self, header: _Header) -> Frame:
        buffers: list[Buffer] = []
        start = 0
        with memoryview(self._buffer) as view:
            for size in header.sizes:
                buffers.append(bytes(view[start : start + size]))
                start += size
        del self._buffer[:start]
        self._header = None
        self._wanted = PREFIX.size
        return Frame(self._channel, header.message, buffers)


def decode_header(data: bytes) -> _Header:
    """One header, checked.

    Raises:
        ProtocolError: whatever is wrong with it.
    """
    try:
        header = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not a message: {error}") from None
    if sum(header.sizes) > limits.PAYLOAD_BYTES_MAX:
        raise ProtocolError(
            f"{sum(header.sizes)} bytes of buffers are over the limit of "
            f"{limits.PAYLOAD_BYTES_MAX} bytes"
        )
    return header
