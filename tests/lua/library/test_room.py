"""What arrays take of a state's memory limit, on every engine."""

import msgpack
import pytest

from midas_mp import limits
from midas_mp.errors import ScriptError
from midas_mp.lua.runtime import Profile
from tests.lua.arrays import OutboundMemory, array

MEMORY_BYTES = 32 * limits.MB


@pytest.fixture
def outbound():
    return OutboundMemory(1024)


@pytest.mark.parametrize("size", [500, 20_000, 2_000_000, 8_000_000])
def test_arrays_that_nobody_holds_do_not_fill_the_limit(script, size):
    count = 10 + 2 * MEMORY_BYTES // size if size > 500 else 1000
    source = f"""
    function execute_code()
      for i = 1, {count} do local a = midas.array("uint8", {size}) end
      return "ok"
    end"""
    assert script(source, memory_bytes=MEMORY_BYTES).call() == "ok"


@pytest.mark.parametrize("engine", ["luajit"])
@pytest.mark.parametrize("made", ["midas.array('uint8', {})", "a:copy()", "midas.array('int8', a)"])
def test_nor_beside_much_else(script, outbound, made):
    size = 1_000_000
    source = f"""
    function execute_code()
      local held = {{}}
      for i = 1, 100000 do held[i] = {{ i }} end
      local a = midas.array("uint8", {size})
      for i = 1, 60 do local b = {made.format(size)} end
      return #held
    end"""
    for memory in (None, outbound):
        assert script(source, memory_bytes=MEMORY_BYTES, outbound=memory).call() == 100_000


@pytest.mark.parametrize("size", [10_000, 3_000_000, 100_000_000])
def test_arrays_beyond_the_limit_are_refused_as_all_memory_is(script, size):
    source = f"""
    function execute_code()
      local all = {{}}
      for i = 1, 1e5 do all[i] = midas.array("uint8", {size}) end
    end"""
    with pytest.raises(ScriptError, match="memory limit of 32 MB reached") as caught:
        script(source, memory_bytes=MEMORY_BYTES).call()
    assert caught.value.kind == "memory"


@pytest.mark.parametrize("engine", ["luajit"])
@pytest.mark.parametrize("size", [10_000, 100_000, 3_000_000, 100_000_000])
def test_so_are_those_in_shared_memory(script, outbound, size):
    source = f"""
    function execute_code()
      local all = {{}}
      for i = 1, 1e5 do all[i] = midas.array("uint8", {size}) end
    end"""
    with pytest.raises(ScriptError, match="memory limit of 32 MB reached"):
        script(source, memory_bytes=MEMORY_BYTES, outbound=outbound).call()
    assert outbound.used_bytes <= MEMORY_BYTES


@pytest.mark.parametrize("engine", ["luajit"])
def test_a_script_that_catches_the_refusal_goes_on_with_what_it_has(script, outbound):
    source = """
    function execute_code()
      local ok, message = pcall(midas.array, "uint8", 100e6)
      local a = midas.array("uint8", 1e6)
      a[1e6] = 7
      return { ok, message, a[1e6] }
    end"""
    for memory in (None, outbound):
        state = script(source, memory_bytes=MEMORY_BYTES, outbound=memory)
        assert state.call() == [False, "not enough memory", 7]


def test_what_comes_counts_where_it_is_copied(script):
    payload = msgpack.packb([array("float64", [], (100,), 1)] * 200)
    buffer = memoryview(bytes(801))[1:]  # nowhere to be read in place
    state = script("function execute_code() return #global_data end", memory_bytes=MEMORY_BYTES)
    assert state.call_buffers("execute_code", payload, buffer) == [msgpack.packb(200)]


@pytest.mark.parametrize("engine", ["luajit"])  # elsewhere all three are one string
def test_so_do_the_results_that_a_driver_keeps(script):
    state = script("", profile=Profile.DRIVER, memory_bytes=MEMORY_BYTES)
    value = msgpack.packb([array("int16", [], (10_000_000,), 1)] * 3)
    with pytest.raises(ScriptError, match="memory limit of 32 MB reached"):
        state.runtime.store(0, [value, bytes(20_000_000)])


@pytest.mark.parametrize("engine", ["lua5.4", "lua5.5"])
def test_what_must_be_copied_and_is_too_large_does_not_come_in(script):
    state = script("function execute_code() end", memory_bytes=MEMORY_BYTES)
    payload = msgpack.packb(array("int8", [], (MEMORY_BYTES,), 1))
    with pytest.raises(ScriptError, match="memory limit of 32 MB reached"):
        state.call_buffers("execute_code", payload, bytes(MEMORY_BYTES))
    assert state.runtime._memory.used_bytes < limits.MB


@pytest.mark.parametrize("engine", ["luajit"])
def test_what_was_sent_no_longer_counts(script, outbound):
    source = """
    function execute_code()
      local a = midas.array("uint8", 20e6)
      return a
    end"""
    state = script(source, memory_bytes=MEMORY_BYTES, outbound=outbound)
    for _ in range(3):
        _, block = state.call_buffers()
        assert block.size_bytes == 20_000_000
