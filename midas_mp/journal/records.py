"""What stands in a journal: records in the order in which they were written, each sealed.

    1   JobRecord       which job this is; all seals after it depend on it
    2   RoundRecord     round 0 begins
    3…  ResultsRecord   a frame of results as it arrived, with its buffers behind it
        PartRecord      more of the buffers of the record before, where they are large
    …   RoundRecord     round 1 begins, and so on

A seal binds a record to its journal, to its place in it and to the bytes behind it.  Nothing can
be changed, moved, left out in the middle or brought from another journal without being noticed;
what is lost at the end is merely not recorded.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from midas_mp.errors import JournalFailed
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import Outcome

FORMAT_VERSION: Final = 1

DIGEST_BYTES: Final = 8
"""Of what generate_data gave a task: enough to notice that it gives something else."""

_SEAL_BYTES: Final = 16
_BODY_SEAL_BYTES: Final = 8

_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Moment = Annotated[float, Meta(ge=0, le=1e11)]
"""Seconds since 1970, of some thousand years."""


class JobRecord(Struct, frozen=True, array_like=True, tag=1):
    """Which job a journal is of.

    Attributes:
        script: the file's name in messages.
        digest: of the bundle: the script and its modules.
        tasks: as somebody said it, such as ``1000`` or ``4x``; empty if nobody did.
        recorded_s: when, in seconds since 1970.
    """

    version: int
    script: str
    digest: str
    engine: str
    seed: int
    tasks: str
    arg: list[str]
    named_arg: dict[str, str]
    recorded_s: _Moment

    @property
    def words(self) -> str:
        """The script's arguments as a command line says them."""
        named = sorted(self.named_arg.items())
        options = [word for name, value in named for word in ("--arg", f"{name}={value}")]
        return shlex.join(options + self.arg)


class RoundRecord(Struct, frozen=True, array_like=True, tag=2):
    """A round begins.

    Attributes:
        shared: digest of what its tasks share; empty if they share nothing.
    """

    round: _Count
    count: _Count
    shared: bytes
    recorded_s: _Moment


class ResultsRecord(Struct, frozen=True, array_like=True, tag=3):
    """Results of one worker that arrived together, all of the present round.

    Attributes:
        digests: of what generate_data gave each of the tasks, one after the other.
        sizes: of the buffers of all of them.
    """

    worker: str
    outcomes: list[Outcome]
    digests: bytes
    sizes: list[_Count]
    recorded_s: _Moment


class PartRecord(Struct, frozen=True, array_like=True, tag=4):
    """The next part of the buffers of the last ResultsRecord."""


Record = JobRecord | RoundRecord | ResultsRecord | PartRecord

_encoder = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Record)


def journal_key(job: JobRecord) -> bytes:
    """What seals the records of this journal, and of no other."""
    return hashlib.blake2b(_encoder.encode(job), digest_size=32, person=b"midas journal").digest()


def seal(key: bytes, sequence: int, record: Record, body: Iterable[Buffer] = ()) -> bytes:
    """A record as it is written: its seal, the seal of its body, and what it says."""
    message = body_seal(key, body) + _encoder.encode(record)
    return _seal(key, sequence, message) + message


def unseal(key: bytes, sequence: int, header: object) -> tuple[Record, bytes]:
    """What a record says, and the seal that its body must have.

    Raises:
        JournalFailed: it is not as it was written.
    """
    if not isinstance(header, bytes):
        raise damaged(sequence)
    message = header[_SEAL_BYTES:]
    if header[:_SEAL_BYTES] != _seal(key, sequence, message):
        raise damaged(sequence)
    try:
        return _decoder.decode(message[_BODY_SEAL_BYTES:]), message[:_BODY_SEAL_BYTES]
    except msgspec.DecodeError:
        raise damaged(sequence) from None


def body_seal(key: bytes, body: Iterable[Buffer]) -> bytes:
    state = hashlib.blake2b(key=key, digest_size=_BODY_SEAL_BYTES, person=b"midas body")
    for buffer in body:
        state.update(buffer)
    return state.digest()


def damaged(sequence: int) -> JournalFailed:
    return JournalFailed(f"damaged: record {sequence} is not as it was written")


def _seal(key: bytes, sequence: int, message: bytes) -> bytes:
    state = hashlib.blake2b(
        sequence.to_bytes(8), key=key, digest_size=_SEAL_BYTES, person=b"midas record"
    )
    state.update(message)
    return state.digest()
