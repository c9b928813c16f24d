"""Runs one hostile script in a worker's state, then an innocent one, and says how both went."""

import os
import sys

import msgpack

from midas_mp import limits
from midas_mp.errors import ScriptError
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.runtime import Context, Profile, Runtime
from midas_mp.wire.messages import JobSpec

INNOCENT = b"""
function execute_code()
  local parts = {}
  for i = 1, 3 do parts[i] = string.format("%d", math.floor(i + 0.5)):rep(1) end
  return table.concat(parts, bit32.bor(1, 2)) .. tostring(leaked) .. ("x"):upper()
    .. tostring(rawget(io.stdout, "write")) .. tostring(io.stderr.cache)
end
"""


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    path, memory_mb, engine = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    runtime = Runtime(
        profile=Profile.WORKER,
        job="j",
        spec=JobSpec(engine=engine),
        worker="w",
        node="n",
        output_fd=os.open(os.devnull, os.O_WRONLY),
        memory_bytes=memory_mb * limits.MB,
    )
    hostile = Bundle.collect(path)
    innocent = Bundle.from_sources("innocent.lua", [], [INNOCENT])
    runtime.load(hostile)
    runtime.load(innocent)
    tell("running")
    try:
        answer = msgpack.unpackb(runtime.call(hostile.digest, "execute_code", Context(0, 1))[0])
        tell(f"ok {answer}")
    except ScriptError as error:
        tell(f"{error.kind} {error.message}")
    (answer,) = runtime.call(innocent.digest, "execute_code", Context(1, 2))
    tell(f"then {msgpack.unpackb(answer)}")


main()
