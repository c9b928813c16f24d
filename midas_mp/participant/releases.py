"""Between the frames of a Lua process: what either side reads no more, and what it may not change.

Nobody who reads or writes these frames sees anything of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from midas_mp.blobs.exchange import ParentBlobs
from midas_mp.errors import ProtocolError
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.local import ReleaseBlobs
from midas_mp.wire.messages import Status, TaskResults


def releases(blobs: ParentBlobs | None) -> Iterator[Frame]:
    """What a process wrote that nobody reads any more: to be said before what it is told next."""
    if blobs is not None:
        for message in blobs.releases():
            yield Frame(CONTROL_CHANNEL, message)


def idle(blobs: ParentBlobs | None) -> list[Frame]:
    """What a process is to be told of shared memory now and then, whatever else it is told."""
    return [] if blobs is None else [Frame(CONTROL_CHANNEL, each) for each in blobs.idle()]


def take_releases(blobs: ParentBlobs | None, frames: Iterable[Frame]) -> list[Frame]:
    """Notes what a process reads no more; the rest of what it said.

    Raises:
        ProtocolError: it was not shown that.
    """
    rest: list[Frame] = []
    if blobs is not None:
        blobs.heard()
    for frame in frames:
        if not isinstance(frame.message, ReleaseBlobs):
            rest.append(_out_of_its_reach(frame))
        elif blobs is None:
            raise ProtocolError("shared memory is given back, where there is none")
        else:
            blobs.released(frame.message)
    return rest


def _out_of_its_reach(frame: Frame) -> Frame:
    """Copies what parsers will read of what the process can still write.

    Arrays are numbers, whatever they are; msgpack that changes under a parser is a danger.
    """
    if not any(isinstance(buffer, memoryview) for buffer in frame.buffers):
        return frame
    buffers = list(frame.buffers)
    for number in _parsed(frame):
        buffers[number] = bytes(buffers[number])
    return frame._replace(buffers=buffers)


def _parsed(frame: Frame) -> Sequence[int]:
    """Which buffers are msgpack; of a batch that failed also what came before the failure."""
    if not isinstance(frame.message, TaskResults):
        return range(len(frame.buffers))
    parsed: list[int] = []
    start = 0
    for outcome in frame.message.outcomes:
        count = 1 if outcome.status is Status.OK else 2
        parsed += range(start, start + min(count, outcome.buffer_count))
        start += outcome.buffer_count
    return parsed
