"""Hostile payloads and sources in Lua: script errors, and never the end of the process."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from midas_mp.lua.engines import ENGINES

PROBE = Path(__file__).with_name("lua_probe.py")
NUMBER = struct.Struct("<q")
AT_ONCE = 2_000


def probe(fuzz, engine, kind, numbers):
    """Cases in a process of their own; says which one ended it, and how."""
    words = [engine, kind, fuzz.name, str(numbers.start), str(numbers.stop)]
    ended = subprocess.run([sys.executable, PROBE, *words], capture_output=True, check=False)
    if ended.returncode:
        (last,) = NUMBER.unpack(ended.stdout[-NUMBER.size :])
        code = ended.returncode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        pytest.fail(f"{how}\n{ended.stderr.decode(errors='replace')}\n{fuzz.again(last)}")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("kind", "count"), [("decode", 2_000), ("compile", 150)])
def test_no_bytes_from_outside_end_a_lua_process(fuzz, engine, kind, count):
    for numbers in fuzz.ranges(count, AT_ONCE):
        probe(fuzz, engine, kind, numbers)
        fuzz.done += len(numbers)
    fuzz.tell()
