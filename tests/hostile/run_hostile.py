"""Runs hostile scripts, each in a worker's state and then an innocent one, and says how both went.

The task gets an array, and what it makes may lie in memory that is shared with others: neither what
it got nor what lies around that memory may have changed afterwards.
"""

import ctypes
import mmap
import os
import struct
import sys

import msgpack

from midas_mp import limits
from midas_mp.errors import ScriptError
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.outbound import Outbound
from midas_mp.lua.runtime import Context, Profile, Runtime
from midas_mp.participant.confinement import confine
from midas_mp.permissions import OF_TASKS
from midas_mp.wire.messages import JobSpec

INNOCENT = b"""
function execute_code()
  local parts = {}
  for i = 1, 3 do parts[i] = string.format("%d", math.floor(i + 0.5)):rep(1) end
  return table.concat(parts, bit32.bor(1, 2)) .. tostring(leaked) .. ("x"):upper()
    .. tostring(rawget(io.stdout, "write")) .. tostring(io.stderr.cache)
end
"""


NUMBERS = bytes(range(100))
INPUT = [msgpack.packb([msgpack.ExtType(1, struct.pack("<BBHIQ", 6, 1, 0, 1, 100))]), NUMBERS]

GRANULE = limits.OUTBOUND_GRANULE_BYTES
GRANULES = 128
CANARY = b"\x5a" * GRANULE


class Memory(Outbound):
    """The outbound memory of a process, between two canaries."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, (GRANULES + 2) * GRANULE)
        self._memory[:GRANULE] = self._memory[-GRANULE:] = CANARY
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        super().__init__(address + GRANULE, GRANULES * GRANULE)

    def is_sound(self) -> bool:
        around = self._memory[:GRANULE], self._memory[-GRANULE:]
        return around == (CANARY, CANARY) and self.used_bytes == 0


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(path: str, memory_mb: int, engine: str) -> None:
    memory = Memory()
    runtime = Runtime(
        profile=Profile.WORKER,
        job="j",
        spec=JobSpec(engine=engine),
        worker="w",
        node="n",
        output_fd=os.open(os.devnull, os.O_WRONLY),
        memory_bytes=memory_mb * limits.MB,
        outbound=memory if engine == "luajit" else None,
    )
    hostile = Bundle.collect(path)
    innocent = Bundle.from_sources("innocent.lua", [], [INNOCENT])
    runtime.load(hostile)
    runtime.load(innocent)
    tell("running")
    try:
        result = runtime.call(hostile.digest, "execute_code", Context(0, 1), INPUT)
        answer = msgpack.unpackb(result[0])
        tell(f"ok {answer}")
    except ScriptError as error:
        tell(f"{error.kind} {error.message}")
    if bytes(range(100)) != NUMBERS or not (runtime.is_spoiled or memory.is_sound()):
        raise SystemExit(f"{path}: {NUMBERS!r}, {memory.used_bytes} bytes in use")
    (answer,) = runtime.call(innocent.digest, "execute_code", Context(1, 2))
    tell(f"then {msgpack.unpackb(answer)}")
    runtime.close()


# The stack of a Lua process, and none of what would hide that a script got out of Lua.
confine("worker", OF_TASKS, level_max=1, memory_hard_bytes=0)
for each in sys.argv[3:]:
    run(each, int(sys.argv[1]), sys.argv[2])
