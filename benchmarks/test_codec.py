"""What do nested records cost between a Lua table and the wire?

Lua table → bytes → Lua table, with the codec inside Lua; beside it the way through Python objects,
and what LuaJIT has built in for itself alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter
from typing import Any

import msgpack
import pytest
from lupa import luajit21

from benchmarks.records import records
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.runtime import Context, Profile, Runtime
from midas_mp.wire.messages import JobSpec

SCRIPTS = Path(__file__).parent / "scripts"
COUNT = 20_000
CASE = "records: Lua table → bytes → Lua table"


@pytest.fixture
def payload(quick: bool) -> bytes:
    packed: bytes = msgpack.packb(records(COUNT // (20 if quick else 1)))
    return packed


def test_codec_in_lua(payload: bytes, record: Any) -> None:
    """A call whose argument is its result."""
    bundle = Bundle.collect(SCRIPTS / "echo.lua", ())
    with Path(os.devnull).open("wb") as nowhere:
        runtime = Runtime(
            profile=Profile.WORKER,
            job="benchmark",
            spec=JobSpec(),
            worker="worker",
            node="node",
            output_fd=nowhere.fileno(),
            memory_bytes=2**30,
        )
        runtime.load(bundle)
        results: list[Any] = []

        def run() -> float:
            start = perf_counter()
            results[:] = runtime.call(bundle.digest, "execute_code", Context(0, 1), [payload])
            return perf_counter() - start

        run()
        record("Midas codec, inside Lua", CASE, run, unit="/s", amount=_count(payload), rounds=9)
        assert msgpack.unpackb(results[0]) == msgpack.unpackb(payload)
        runtime.close()


def test_through_python_objects(payload: bytes, record: Any) -> None:
    lua = luajit21.LuaRuntime()
    table = _to_lua(lua, msgpack.unpackb(payload))

    def run() -> float:
        start = perf_counter()
        packed = msgpack.packb(_to_python(table))
        again = _to_lua(lua, msgpack.unpackb(packed))
        seconds = perf_counter() - start
        assert _to_python(again) == msgpack.unpackb(payload)
        return seconds

    record("through Python objects", CASE, run, unit="/s", amount=_count(payload), rounds=3)


def test_string_buffer(payload: bytes, record: Any) -> None:
    lua = luajit21.LuaRuntime()
    again = lua.execute((SCRIPTS / "string_buffer.lua").read_text())
    table = _to_lua(lua, msgpack.unpackb(payload))

    def run() -> float:
        start = perf_counter()
        copy = again(table)
        seconds = perf_counter() - start
        assert len(copy) == len(table)
        return seconds

    run()
    record("limit: LuaJIT's string.buffer", CASE, run, unit="/s", amount=_count(payload), rounds=9)


def _count(payload: bytes) -> int:
    return len(msgpack.unpackb(payload))


def _to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: _to_lua(lua, one) for key, one in value.items()})
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, one) for one in value])
    return value


def _to_python(value: Any) -> Any:
    if luajit21.lua_type(value) != "table":
        return value
    length = len(value)
    if length:
        return [_to_python(value[i]) for i in range(1, length + 1)]
    return {key: _to_python(one) for key, one in value.items()}
