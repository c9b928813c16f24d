"""What the zygote and its parent say to each other, and how.

    parent ── Spawn (+ socket, pipe, page … by SCM_RIGHTS), Signal ─▶ zygote
           ◀────────────────────── Exited ──────────────────────────

Each message is ``u32 length | msgpack``; descriptors travel with its first byte, so they arrive
in the order of the messages that need them.  Both ends are the same release and trust each other.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from midas_mp.permissions import OF_TASKS, Permissions

WORKER_SPOILED: Final = 3
"""Exit code of a process that a script's memory error left unfit for the next task."""

WORKER_BROKEN: Final = 70
"""Exit code of a process that met a bug of ours."""

_LENGTH: Final = struct.Struct("=I")


@dataclass(frozen=True)
class ChildSpec:
    """What a forked Lua process is to be.

    Attributes:
        name: the worker's name, or the script process'.
        node: the name of its node.
        profile: ``worker``, or ``driver`` for a script process.
        memory_bytes: soft limit of each Lua state where the job names none; 0 is none.
        memory_hard_bytes: the kernel's ceiling (RLIMIT_DATA) for the process; 0 is none.
        sandbox_level_max: confine no further than this; see ``confinement``.
        working_directory: what relative paths of a script begin at; empty is the root.
        permissions: what it is granted.
        private: files that nobody reads, and folders that nobody does who may not write around
            them.
    """

    name: str
    node: str
    profile: str
    memory_bytes: int
    memory_hard_bytes: int
    sandbox_level_max: int = 3
    working_directory: str = ""
    permissions: Permissions = OF_TASKS
    private: tuple[str, ...] = ()


class OutboundSpec(Struct, frozen=True, array_like=True):
    """The pool of shared memory that a child writes."""

    pool: int
    """Its number in references."""
    size_bytes: int


class Spawn(Struct, frozen=True, array_like=True, tag=1):
    """Fork a child; descriptors come along: its socket, its output pipe, its page; where it has
    an outbound pool, also the socket by which it gets other pools, and the pool's file.
    """

    child: int
    spec: ChildSpec
    outbound: OutboundSpec | None = None

    @property
    def descriptor_count(self) -> int:
        return 3 if self.outbound is None else 5


class Signal(Struct, frozen=True, array_like=True, tag=2):
    """Send a signal to a child, unless it has ended."""

    child: int
    signum: int


class Exited(Struct, frozen=True, array_like=True, tag=3):
    """A child ended and was reaped, or could not be started."""

    child: int
    pid: int
    exit_code: int | None
    signal: int | None
    peak_bytes: int
    error: str = ""
    """Why it could not be started."""


_encoder = msgspec.msgpack.Encoder()

T = TypeVar("T")


def pack(message: Spawn | Signal | Exited) -> bytes:
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class MessageReader(Generic[T]):
    """Turns the bytes of one direction into its messages."""

    def __init__(self, expected: type[T]) -> None:
        self._decoder = msgspec.msgpack.Decoder(expected)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[T]:
        self._buffer += data
        messages = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(self._decoder.decode(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return messages
