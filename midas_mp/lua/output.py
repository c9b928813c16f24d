"""Reads what the trusted Lua library writes into a worker's output pipe.

Pure: bytes in, records out.  The worker behind the pipe may be compromised, so every length is
checked before anything is kept for it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from midas_mp import limits
from midas_mp.errors import ProtocolError

_HEADER_BYTES_MAX: Final = 256
"""Longest honest header: a job's name (128), three integers, and what stands between them."""

_JOB = rb"([\w.@+-]{1,128})"
_INTEGER = rb"(\d{1,16})"
_HEADER: Final = re.compile(
    rb"P %s %s %s (\d{1,8})|G %s %s %s ([01]\.\d{1,6})"
    % (_JOB, _INTEGER, _INTEGER, _JOB, _INTEGER, _INTEGER),
)


class Printed(NamedTuple):
    """One printed text, without its line end."""

    job: str
    round: int
    index: int  # type: ignore[assignment]  # the wire's word; nobody calls tuple.index
    text: bytes


class Progressed(NamedTuple):
    """How far a task says it is, from 0 to 1."""

    job: str
    round: int
    index: int  # type: ignore[assignment]  # the wire's word; nobody calls tuple.index
    fraction: float


class OutputParser:
    """Turns the byte stream, cut anywhere, into records.

    After an error the stream has no meaning any more: the parser refuses further input.

    Attributes:
        bytes_consumed: how much of the stream has been fed.
    """

    def __init__(self) -> None:
        self.bytes_consumed = 0
        self._buffer = bytearray()
        self._open: Printed | None = None
        self._text_bytes = 0
        self._error: ProtocolError | None = None

    def feed(self, data: bytes) -> list[Printed | Progressed]:
        """All records that are complete with ``data``.

        Raises:
            ProtocolError: not a record, or over a limit.
        """
        if self._error is not None:
            raise self._error
        self.bytes_consumed += len(data)
        self._buffer += data
        records: list[Printed | Progressed] = []
        try:
            position = self._take_all(records)
        except ProtocolError as error:
            self._error = error
            self._buffer.clear()
            raise
        del self._buffer[:position]
        return records

    def _take_all(self, records: list[Printed | Progressed]) -> int:
        """Appends what is complete; returns how much of the buffer that was."""
        position = 0
        while True:
            if self._open is not None:
                end = position + self._text_bytes
                if len(self._buffer) < end:
                    return position
                text = bytes(self._buffer[position:end])
                records.append(self._open._replace(text=text))
                self._open = None
            else:
                end = self._buffer.find(b"\n", position, position + _HEADER_BYTES_MAX) + 1
                if end == 0:
                    if len(self._buffer) - position >= _HEADER_BYTES_MAX:
                        raise ProtocolError("the output pipe holds no record")
                    return position
                self._take_header(bytes(self._buffer[position : end - 1]), records)
            position = end

    def _take_header(self, line: bytes, records: list[Printed | Progressed]) -> None:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise ProtocolError(f"the output pipe holds no record: {line!r}")
        job, round_, index, length, *progress = match.groups()
        if job is None:
            job, round_, index, fraction = progress
            if float(fraction) > 1:
                raise ProtocolError(f"progress of {fraction.decode()} is over 1")
            records.append(
                Progressed(job.decode(), int(round_), int(index), float(fraction)),
            )
            return
        if int(length) > limits.PRINT_BYTES_MAX:
            raise ProtocolError(f"a printed text of {int(length)} bytes is over the limit")
        self._open = Printed(job.decode(), int(round_), int(index), b"")
        self._text_bytes = int(length)
