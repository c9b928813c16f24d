"""Run as a program by test_lua: tries cases in a Lua state, and says before each which comes next.

What must not happen ends it: a crash of the engine does so by itself, a case that takes too long by
SIGPROF, one that takes too much memory by the kernel's refusal.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from midas_mp import limits
from midas_mp.client import values
from midas_mp.errors import ScriptError, UsageError
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.runtime import Context, Profile, Runtime
from midas_mp.testing.chance import Chance
from midas_mp.testing.mutation import hostile_msgpack, noise, packed, tamper, value
from midas_mp.wire.messages import CallForm, JobSpec

MEMORY_BYTES = 64 * limits.MB
CASE_CPU_S = 10.0
EXAMPLES = Path(__file__).parents[2] / "examples"

ECHO = b"""
local function touch(value)
  if type(value) == "table" then
    for k, v in pairs(value) do touch(v) end
  elseif type(value) ~= "string" then
    pcall(function() return value[1] + value[#value] end)
  end
  return value
end
function execute_code() return touch(global_data) end
return function(...) for i = 1, select("#", ...) do touch((select(i, ...))) end return ... end
"""


class Guarded:
    """Bytes behind whose last one no byte can be read."""

    def __init__(self, size_max: int) -> None:
        self._room = -(-size_max // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(-1, self._room + mmap.PAGESIZE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        pages = ctypes.c_void_p(address + self._room), ctypes.c_size_t(mmap.PAGESIZE)
        assert libc.mprotect(*pages, 0) == 0

    def hold(self, data: bytes) -> memoryview | bytes:
        start = self._room - len(data)
        if start < 0 or not data:
            return data
        self._map[start : self._room] = data
        return memoryview(self._map)[start : self._room]


class Probe:
    """A Lua state, and another one where a process would be replaced."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._output = os.open(os.devnull, os.O_WRONLY)
        self._bundle = Bundle.from_sources("echo.lua", [], [ECHO])
        self._guards = [Guarded(2**18) for _ in range(3)]
        self._folder = tempfile.TemporaryDirectory(prefix="midas-sources-")
        self._script = Path(self._folder.name) / "hostile.lua"
        self.runtime = self._open()

    def _open(self) -> Runtime:
        runtime = Runtime(
            profile=Profile.WORKER,
            job="j",
            spec=JobSpec(engine=self._engine),
            worker="w",
            node="n",
            output_fd=self._output,
            memory_bytes=MEMORY_BYTES,
        )
        runtime.load(self._bundle)
        return runtime

    def _renew(self) -> None:
        if self.runtime.is_spoiled:
            self.runtime.close()
            self.runtime = self._open()

    def decode(self, rng: Chance) -> None:
        """Hostile payloads; what comes back of them is a payload."""
        count = rng.choice((1, 1, 2, 2, 3))
        payload = [hostile_msgpack(rng)]
        payload += [rng.randbytes(rng.choice((0, 8, 16, 24, 7))) for _ in range(count - 1)]
        buffers: list[Any] = [g.hold(data) for g, data in zip(self._guards, payload, strict=False)]
        digest = self._bundle.digest
        try:
            match rng.randrange(5):
                case 0:
                    data = [1, 0, *(value(rng) for _ in range(rng.randrange(4)))]
                    buffers[0] = self._guards[0].hold(tamper(rng, packed(rng, data)))
                    got, _ = self.runtime.call_batch(digest, "function", Context(0, 1), buffers)
                case 1:
                    got = self.runtime.call(
                        digest, "function", Context(0, 1), buffers, CallForm.ARGUMENTS
                    )
                case 2:
                    self.runtime.share(0, buffers)
                    got = self.runtime.call(digest, "execute_code", Context(0, 1))
                    self.runtime.unshare()
                case _:
                    got = self.runtime.call(digest, "execute_code", Context(0, 1), buffers)
            values.unpack(got)  # type: ignore[arg-type]
        except ScriptError as error:
            str(error).encode()
        finally:
            self._renew()

    def compile(self, rng: Chance) -> None:
        """Hostile sources, which are compiled and never run."""
        source = hostile_source(rng)
        self._script.write_bytes(source)
        try:
            Bundle.collect(self._script)
            bundle = Bundle.from_sources("hostile.lua", [], [source])
            self.runtime.load(bundle)
            self.runtime.unload(bundle.digest)
        except UsageError as error:
            str(error).encode()
        except ScriptError as error:
            str(error).encode()
            if error.kind not in ("syntax", "memory"):
                raise
        finally:
            self._renew()


# -- sources -----------------------------------------------------------------------------------

SIGNATURES = (b"\x1bLua\x51\0", b"\x1bLua\x53\0", b"\x1bLua\x54\0", b"\x1bLua\x55\0", b"\x1bLJ\2\2")
BEFORE = (b"", b"", b"#!/usr/bin/lua\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf#!\n", b"--#\r", b"--#\n")
BEFORE_TOO = (b"#\r\n", b"#", b"\n", b"\0", b"--\n", b"\xef\xbb\xbf\xef\xbb\xbf", b"#\n#\n", b"#\r")
NESTS = (
    *((b"(", b")"), (b"{", b"}"), (b"[[", b"]]"), (b"function() ", b" end"), (b"do ", b" end")),
    *((b"x = {[", b"]}"), (b"if x then ", b" end"), (b"not ", b""), (b"-", b""), (b"- ", b"")),
    *((b"a..", b"a"), (b"a^", b"1"), (b"a.", b"b"), (b"a(", b")"), (b"f{", b"}"), (b"a[", b"]")),
    *(
        (b"local a ", b""),
        (b"local a = 1 ", b""),
        (b"a, ", b""),
        (b"a = a ", b""),
        (b"::a:: ", b""),
    ),
    *((b"repeat ", b" until x"), (b"while x do ", b" end"), (b"for i = 1, 2 do ", b" end")),
    *((b"goto a; ", b""), (b"return ", b""), (b"--[[", b"]]"), (b"[=[", b"]=]"), (b";", b"")),
    *((b"function a() ", b" end "), (b"local function a() ", b" end "), (b"a:b", b"()")),
    *(
        (b"x or ", b"y"),
        (b"x == ", b"y"),
        (b"1 + ", b"2"),
        (b"#", b"t"),
        (b"~", b"1"),
        (b"//", b"1"),
    ),
)
DEPTHS = (3, 50, 199, 201, 255, 256, 1_000, 65_537)
LITERALS = (
    *(
        b'"\\u{7FFFFFFF}"',
        b'"\\u{FFFFFFFFF}"',
        b'"\\x',
        b'"\\999"',
        b'"\\z',
        b"0x",
        b"1e",
        b"1e999999999",
    ),
    *(b"0x" + b"f" * 100_000, b"1" * 100_000, b"0x.p", b"0x1p99999999999", b"1..2", b"1LL", b"1i"),
    *(
        b'"' + b"a" * 2_000_000 + b'"',
        b"[[" + b"\xff" * 100_000 + b"]]",
        b"a" * 1_000_000,
        b"\xc3\x28",
    ),
    *(
        b'"\xe2\x82"',
        b"\x00",
        b"[" + b"=" * 100_000 + b"[",
        b"'\\\r\n'",
        b'"\\' + b"\n\\" * 10_000 + b'"',
    ),
)
SCRIPTS = [path.read_bytes() for path in sorted(EXAMPLES.glob("*.lua"))]


def hostile_source(rng: Chance) -> bytes:
    """Anything but a script; or one that somebody has tampered with."""
    match rng.randrange(8):
        case 0:
            return noise(rng)
        case 1:
            before = rng.choice((*BEFORE, *BEFORE_TOO)) + rng.choice((b"", *BEFORE, *BEFORE_TOO))
            return before + rng.choice(SIGNATURES) + noise(rng)
        case 2 | 3:
            opening, closing = rng.choice(NESTS)
            depth = rng.choice(DEPTHS)
            shut = closing * rng.choice((depth, depth, 0, depth - 1))
            return rng.choice((b"", b"x = ", b"return ")) + opening * depth + b"x" + shut
        case 4:
            return rng.choice((b"", b"x = ", b"return ", b"goto ")) + rng.choice(LITERALS)
        case 5:
            count = rng.choice((200, 256, 300, 70_000))
            return b"".join(rng.choice(MANY) % (number, number) for number in range(count))
        case _:
            return tamper(rng, rng.choice(SCRIPTS), times_max=8)


MANY = (
    *(b"local a%d = %d\n", b"x = {'%d', %d.5}\n", b"a%d = function() return a%d end\n"),
    *(
        b"goto l%d ::l%d::\n",
        b"local function f%d(...) return f%d end\n",
        b"if x%d then return y%d end\n",
    ),
)


# -- the program -------------------------------------------------------------------------------


def main(engine: str, kind: str, name: str, start: str, stop: str) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    probe = Probe(engine)
    try_case: Callable[[Chance], None] = getattr(probe, kind)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES + limits.MEMORY_SLACK_BYTES,) * 2)
    for number in range(int(start), int(stop)):
        os.write(1, struct.pack("<q", number))
        signal.setitimer(signal.ITIMER_PROF, CASE_CPU_S)
        try_case(Chance(f"{name} {number}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
