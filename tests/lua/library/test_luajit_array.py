"""How long an array lives, on every engine: what a task received is an error afterwards, wherever
a script has kept it, and never memory that is somebody else's by then.
"""

import mmap

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.lua.runtime import Context
from tests.lua.arrays import TYPES, OutboundMemory, array, elements, unpack
from tests.lua.conftest import Script

GONE = "this array belonged to a task that is over; a:copy() keeps it"

WAYS_TO_KEEP = {
    "global": ("kept = a", "kept"),
    "upvalue": ("hold(a)", "held()"),
    "closure": ("get = function() return a end", "get()"),
    "coroutine": (
        "co = coroutine.wrap(function() while true do coroutine.yield(a) end end) co()",
        "co()",
    ),
    "sleeper": (
        "co = coroutine.wrap(function() local x = a[1] coroutine.yield() return a end) co()",
        "co()",
    ),
    "table": ("list = { { a } }", "list[1][1]"),
    "key": ("by_array = { [a] = true }", "next(by_array)"),
    "metatable": ("proxy = setmetatable({}, { __index = a })", "getmetatable(proxy).__index"),
    "iterator": ("step, state = ipairs(a)", "state"),
    "library": ("math.kept = a", "math.kept"),
    "module": ("package.loaded.kept = a", "require 'kept'"),
    "string": ("string.kept = a", "string.kept"),
}

ACCESSES = """
local kept_below
function hold(a) kept_below = a end
function held() return kept_below end

local accesses = {
  function(a) return a[1] end,
  function(a) local sum = 0 for i = 1, 4096 do sum = sum + a[i] end return sum end,
  function(a) a[1] = 5 end,
  function(a) return a[0] end,
  function(a) return #a end,
  function(a) return a:copy() end,
  function(a) return a.type end,
  function(a) return a.shape end,
  function(a) for _ in ipairs(a) do end end,
  function(a) return midas.array("int8", a) end,
  function(a) return setmetatable({}, { __index = a })[1] end,
}

function try(a)
  local said = {}
  for i, access in ipairs(accesses) do
    local ok, message = pcall(access, a)
    said[i] = ok and "ok" or message:match("^.-: (.*)")
  end
  return said
end

function warm(a)
  for i = 1, 10 do try(a) end
  return try(a)
end
"""
ACCESS_COUNT = 11
REFUSED = ["it is read-only", "there is no element 0", "4,095 is no int8"]


def numbers(buffer=1):
    """What says that a buffer holds 4,096 numbers."""
    return array("float64", [], (4096,), buffer)


def give(state, value, entry="execute_code"):
    """Calls it with an array that lies in memory which is no more afterwards: a read is a crash."""
    memory = mmap.mmap(-1, 8 * 4096)
    memory.write(elements("float64", range(4096)))
    (result, *_) = state.call_buffers(entry, msgpack.packb(value), memory)
    memory.close()
    return msgpack.unpackb(result)


@pytest.fixture
def outbound(engine):
    return OutboundMemory(64) if engine == "luajit" else None


@pytest.mark.parametrize("way", WAYS_TO_KEEP)
def test_what_a_task_has_kept_is_gone_however_hot_the_code_is(script, way):
    keep, find = WAYS_TO_KEEP[way]
    source = f"""{ACCESSES}
    function execute_code()
      if not global_data then return warm({find}) end
      local a = global_data[1]
      global_data = nil
      {keep}
      return warm(a)
    end"""
    state = script(source, isolate=False)
    alive = give(state, [numbers()])
    assert alive.count("ok") == ACCESS_COUNT - len(REFUSED)
    assert state.call() == [GONE] * ACCESS_COUNT


def test_hot_closures_of_an_array_do_not_outlive_it_either(script):
    """An upvalue that is never assigned may be a constant of what was compiled."""
    source = """
    local readers = {}
    local function keep(a)
      readers[1] = function() local sum = 0 for i = 1, 4096 do sum = sum + a[i] end return sum end
      readers[2] = function() local n = 0 for i = 1, 4096 do n = n + #a end return n end
      readers[3] = function() return a[1] end
      readers[4] = function() local x for i = 1, 100 do x = a.type end return x end
    end
    function execute_code()
      if #readers == 0 then keep(global_data[1]) end
      local said = {}
      for round = 1, 100 do
        for i, read in ipairs(readers) do
          local ok, x = pcall(read)
          said[i] = ok and x or x:match("^.-: (.*)")
        end
      end
      return said
    end"""
    state = script(source, isolate=False)
    assert give(state, [numbers()]) == [4096 * 4095 / 2, 4096 * 4096, 0, "float64"]
    assert state.call() == [GONE] * 4


def test_what_a_task_had_returned_is_gone_as_well(script):
    state = script(
        ACCESSES
        + """
    function execute_code()
      if kept then return try(kept) end
      kept = global_data[1]
      return { kept, { kept } }
    end""",
        isolate=False,
    )
    give(state, [numbers()])
    assert set(state.call()) == {GONE}


def test_what_a_failed_task_had_kept_is_gone_as_well(script):
    state = script(
        ACCESSES
        + """
    function execute_code()
      if kept then return try(kept) end
      kept = global_data[1]
      error("on purpose")
    end""",
        isolate=False,
    )
    memory = mmap.mmap(-1, 8 * 4096)
    with pytest.raises(Exception, match="on purpose"):
        state.call_buffers("execute_code", msgpack.packb([numbers()]), memory)
    memory.close()
    assert set(state.call()) == {GONE}


def test_the_arrays_of_an_item_live_as_long_as_its_batch(script):
    source = (
        ACCESSES
        + """
    return function(a)
      if kept then return try(kept)[1] end
      kept = a
      return "kept"
    end"""
    )
    state = script(source, isolate=False)
    digest, context = state.bundle.digest, Context(0, 0)
    for batch, expected in [([numbers(), 0], ["kept", "ok"]), ([0, 0], [GONE, GONE])]:
        memory = mmap.mmap(-1, 8 * 4096)
        buffers = [msgpack.packb([1, 0, *batch]), *([memory] if batch[0] else [])]
        (results,), error = state.runtime.call_batch(digest, "function", context, buffers)
        memory.close()
        assert (msgpack.unpackb(results), error) == (expected, None)


def test_shared_arrays_live_as_long_as_the_round_s_data(script):
    source = f"""{ACCESSES}
    function execute_code()
      kept = kept or shared_data[1]
      return warm(kept)
    end"""
    state = script(source, isolate=False)
    memory = mmap.mmap(-1, 8 * 4096)
    state.share([numbers()], memory)
    for _ in range(3):
        assert state.call().count("ok") == ACCESS_COUNT - len(REFUSED[:2])
    state.runtime.unshare()
    memory.close()
    assert state.call() == [GONE] * ACCESS_COUNT


def test_shared_data_that_cannot_be_read_leaves_nothing_held(script):
    state = script("function execute_code() return shared_data == nil end")
    memory = mmap.mmap(-1, 8 * 4096)
    with pytest.raises(Exception, match="1 bytes left behind the value"):
        state.runtime.share(0, [msgpack.packb([numbers()]) + b"\0", memory])
    memory.close()
    assert state.call() is True


def test_a_copy_outlives_the_task(script):
    source = """
    function execute_code()
      if not kept then kept = global_data[1]:copy() return #kept end
      kept[1] = 7
      return { kept[1], kept[4096], kept.shape }
    end"""
    state = script(source, isolate=False)
    assert give(state, [numbers()]) == 4096
    assert state.call() == [7, 4095, [4096]]


def test_an_array_in_shared_memory_is_gone_for_who_lives_on(script, engine, outbound):
    """A coroutine in the round's shared data outlives the task, until that write is found."""
    source = """
    function execute_code()
      local co = shared_data.co
      if co then return select(2, co()) end
      rawset(shared_data, "co", coroutine.wrap(function()
        local a = midas.array("uint8", 100000)
        coroutine.yield()
        return pcall(function() a[1] = 1 return a[1] end)
      end))
      shared_data.co()
    end"""
    state = script(source, outbound=outbound)
    state.share({})
    state.call()
    said = state.call()
    assert said == 1 if engine != "luajit" else said.endswith(GONE)


@pytest.mark.parametrize("engine", ["luajit"])
def test_values_whose_task_ends_meanwhile_are_written_nowhere(script, outbound):
    """A list with a hole asks its metatable for what is in it, and that may wait for days."""
    source = """
    function execute_code()
      local co = shared_data.co
      if co then return select(2, co()) end
      rawset(shared_data, "co", coroutine.wrap(function()
        local list = {}
        for i = 1, 100000 do list[i] = 65 end
        list[99999] = nil
        setmetatable(list, { __index = function() coroutine.yield() return 65 end })
        return pcall(midas.array, "uint8", list)
      end))
      shared_data.co()
    end"""
    state = script(source, outbound=outbound)
    state.share({})
    state.call()
    assert state.call().endswith(GONE)


@pytest.mark.parametrize("size", [16, 5_000, 34 * limits.MB])
@pytest.mark.parametrize("engine", ["luajit"])
@pytest.mark.parametrize("is_outbound", [False, True])
def test_a_copy_of_what_nobody_holds_is_whole(script, size, is_outbound):
    source = f"""
    local function make() local a = midas.array("uint8", {size}) a[1], a[#a] = 7, 9 return a end
    function execute_code()
      local wrong = 0
      for i = 1, {400 if size < 10_000 else 3} do
        local b = make():copy()
        if b[1] ~= 7 or b[#b] ~= 9 then wrong = wrong + 1 end
      end
      return wrong
    end"""
    outbound = OutboundMemory(2048) if is_outbound else None
    assert script(source, memory_bytes=256 * limits.MB, outbound=outbound).call() == 0


LARGE = """
local a
local steps = {
  read = function(i) return a[i] end,
  write = function(i, x) a[i] = x end,
  copy = function() a = a:copy() end,
  convert = function() a = midas.array("int32", a) end,
  sum = function(i) local sum = 0 for k = 1, i do sum = sum + a[k] end return sum end,
  fill = function(i, x) for k = 1, i do a[k] = x end end,
  refused = function(i)
    return pcall(function() a[i] = 0.5 end) or pcall(function() return a[#a + i] end)
  end,
}
function execute_code()
  local n, list = global_data[1], {}
  a = midas.array("int32", n)
  for i, step in ipairs(global_data[2]) do
    local x = steps[step[1]](step[2], step[3])
    if x == nil then x = "ok" end
    list[i] = x
  end
  return { list, a }
end
"""
PIECE = 2**16 // 4


@st.composite
def uses_of_a_large_array(draw):
    count = draw(st.sampled_from([PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1, 3 * PIECE + 7]))
    edges = st.sampled_from([1, 2, PIECE - 1, PIECE, PIECE + 1, PIECE + 2, 2 * PIECE, count])
    places = st.one_of(edges, st.integers(1, count)).map(lambda i: min(i, count))
    names = st.sampled_from(["read", "write", "copy", "convert", "sum", "fill", "refused"])
    return count, draw(st.lists(st.tuples(names, places, st.integers(1, 99)), max_size=8))


@settings(max_examples=40)
@given(uses_of_a_large_array())
def test_what_was_not_written_of_a_large_array_is_zero(uses):
    count, steps = uses
    outbound = OutboundMemory(64)
    outbound.memory[:] = b"\xff" * len(outbound.memory)
    state = Script(LARGE, engine="luajit", outbound=outbound)
    result, block = state.call_buffers("execute_code", msgpack.packb([count, steps]))
    model, said = [0] * count, []
    for name, i, x in steps:
        if name == "write":
            model[i - 1] = x
        elif name == "fill":
            model[:i] = [x] * i
        said.append({"read": model[i - 1], "sum": sum(model[:i]), "refused": False}.get(name, "ok"))
    assert unpack(result)[0] == said
    assert outbound.read(block) == elements("int32", model)
    state.close()


# -- programs ----------------------------------------------------------------------------------

PROGRAM = """
local slots = {}
local LOOP = 120

local function total(a)
  local sum = 0
  for i = 1, #a do sum = sum + a[i] end
  return sum
end

local function fill(a, x)
  for i = 1, #a do a[i] = x end
  return total(a)
end

local function touch(a)
  local x
  for i = 1, LOOP do x = a[i % 3 + 1] end
  return x
end

local steps = {
  take = function(to) slots[to] = global_data[1] end,
  share = function(to) slots[to] = shared_data[1] end,
  make = function(to, _, x, type) slots[to] = midas.array(type, { x, x, x }) end,
  copy = function(to, from) slots[to] = slots[from]:copy() end,
  total = function(from) return total(slots[from]) end,
  touch = function(from) return touch(slots[from]) end,
  fill = function(from, _, x) return fill(slots[from], x) end,
  garbage = function() for i = 1, 50 do local a = midas.array("int32", 3):copy() end end,
  collect = function() collectgarbage() end,
}

function execute_code()
  local said = {}
  for i, step in ipairs(global_data[2]) do
    local ok, x = pcall(steps[step[1]], step[2], step[3], step[4], step[5])
    if ok then said[i] = x or "ok"
    elseif x:find("belonged to a task that is over", 1, true) then said[i] = "gone"
    else said[i] = x:match("read%-only") or "no"
    end
  end
  return said
end
"""

slots = st.integers(0, 3)
numbers_of_steps = st.integers(0, 100)
steps = st.tuples(
    st.sampled_from(
        ["take", "share", "make", "copy", "total", "touch", "fill", "garbage", "collect"]
    ),
    slots,
    slots,
    numbers_of_steps,
    st.sampled_from(TYPES),
)
tasks = st.tuples(st.sampled_from(TYPES), st.lists(steps, min_size=1, max_size=8))


class Model:
    """What each slot is said to hold: [values, what ends it, whether it can be written]."""

    def __init__(self, shared):
        self.slots = {}
        self.shared = [[shared] * 3, None, False]

    def run(self, given, steps):
        received = [given, "task", False]
        said = [self.step(received, *step) for step in steps]
        received[1] = "gone"
        return said

    def step(self, received, name, slot, other, x, _type):
        match name:
            case "take":
                self.slots[slot] = received
            case "share":
                self.slots[slot] = self.shared
            case "make":
                self.slots[slot] = [[x] * 3, None, True]
            case "garbage" | "collect":
                pass
            case _:
                return self.access(name, slot, other, x)
        return "ok"

    def access(self, name, slot, other, x):
        held = self.slots.get(other if name == "copy" else slot)
        if held is None:
            return "no"
        values, end, is_writable = held
        if end == "gone":
            return "gone"
        if name == "copy":
            self.slots[slot] = [list(values), None, True]
            return "ok"
        if name == "touch":
            return values[120 % 3]
        if name == "fill":
            if not is_writable:
                return "read-only"
            values[:] = [x] * 3
        return sum(values)


@settings(max_examples=30)
@given(shared=st.integers(0, 100), tasks=st.lists(tasks, min_size=2, max_size=5))
def test_programs_read_what_is_theirs_or_nothing(engine, shared, tasks):
    state = Script(PROGRAM, engine=engine, isolate=False)
    state.share([array("int16", [], (3,), 1)], bytearray(elements("int16", [shared] * 3)))
    model = Model(shared)
    for n, (type_, steps) in enumerate(tasks, 1):
        memory = bytearray(elements(type_, [n] * 3))
        payload = msgpack.packb([array(type_, [], (3,), 1), steps])
        (said,) = state.call_buffers("execute_code", payload, memory)
        memory[:] = b"\x55" * len(memory)
        assert msgpack.unpackb(said) == model.run([n] * 3, steps)
    state.close()
