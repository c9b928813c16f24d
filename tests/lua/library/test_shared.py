import msgpack
import pytest

from midas_mp import limits
from midas_mp.errors import ScriptError
from tests.lua.arrays import array

DATA = {
    "list": [1.5, float("nan"), 3, "four", True],
    "map": {"a": {"b": [{"x": 1}, {"x": 2}]}, 7: "seven", "empty": {}},
    "text": "x" * 100,
    "mixed": {1: "a", 2: "b", 4: "d"},
}


@pytest.fixture
def shared(script):
    """A state with shared data, and a task that does what it is told with it."""

    def share(body, data=DATA):
        state = script(f"function execute_code()\nlocal s = shared_data\n{body}\nend")
        state.runtime.share(0, [msgpack.packb(data)])
        return state

    return share


def test_reading_in_every_way_is_no_write(shared):
    state = shared(
        "local n = #s.list + #s.map.a.b\n"
        "for k, v in pairs(s) do n = n + 1 end for i, v in ipairs(s.list) do n = n + 1 end\n"
        "return n + #table.concat({s.list[4], s.text}) + (rawequal(s.map[8], nil) and 1 or 0)"
    )
    for _ in range(3):
        assert state.call() == 5 + 2 + 4 + 5 + 104 + 1
        assert state.runtime.check_shared() is None
    assert not state.runtime.is_spoiled


@pytest.mark.parametrize(
    ("write", "where"),
    [
        ("s.list[3] = 4", ".list"),
        ("s.list[2] = 1", ".list"),
        ("s.list[6] = 1", ".list"),
        ("s.list[5] = nil", ".list"),
        ("s.list[1] = nil", ".list"),
        ("s.map.a.b[2].x = 3", ".map.a.b[2]"),
        ("s.map.a.b[2].y = 3", ".map.a.b[2]"),
        ("s.map.a.b[2].x = nil", ".map.a.b[2]"),
        ("s.map.empty[1] = 0", ".map.empty"),
        ("s.map[7] = 'Seven'", ".map"),
        ("s.map.a = {b = s.map.a.b}", ".map"),
        ("s.mixed[3] = 'c'", ".mixed"),
        ("s.mixed[2] = nil s.mixed[3] = nil", ".mixed"),
        ("s.new = 1", ""),
        ("for k in pairs(s) do s[k] = nil end", ""),
        ("for i = 1, 1000 do s.list[i] = i end", ".list"),
        ("setmetatable(s.map, {})", ".map"),
        ("setmetatable(s.map.a.b, {__eq = function() return true end})", ".map.a.b"),
        ("table.sort(s.map.a.b, function(a, b) return a.x > b.x end)", ".map.a.b"),
    ],
)
def test_a_write_is_found_and_named(shared, write, where):
    state = shared(write)
    assert state.runtime.check_shared() is None
    state.call()
    assert state.runtime.check_shared() == where
    assert state.runtime.is_spoiled


@pytest.mark.parametrize(
    ("data", "write"),
    [
        ([1, 5, 9], "s[2], s[3], s[5] = nil, nil, 9"),
        ([1, 2, 3], "s[0] = 0"),
        ([1, 2, 3], "s[-1] = 0"),
        ([1, 2, 3], "s[1.5] = 0"),
        ([1, 2, 3], "s.n = 3"),
        ([1, 2, 3], "s[#s] = nil"),
        ([[1], [2]], "s[1], s[2] = s[2], s[1]"),
        ([[1], 2], "s[2] = s[1]"),
        ([[1], 2], "s[1] = 2"),
        ([1, [2]], "s[1] = {}"),
        ({"a": 1, "b": 2}, "s.b = nil"),
        ({"a": [1], "b": [1]}, "s.a, s.b = s.b, s.a"),
        ({"a": 1.0}, "s.a = setmetatable({}, {__eq = function() return true end})"),
        ([[]], "s[1] = setmetatable({}, {__eq = function() while true do end end})"),
        ({}, "s.x = 1"),
        ([1], "s[1] = 0/0"),
        ([float("nan")], "s[1] = 1"),
    ],
)
def test_no_write_is_hidden(shared, data, write):
    state = shared(write, data)
    assert state.runtime.check_shared() is None
    state.call()
    assert state.runtime.check_shared() == ""


@pytest.mark.parametrize("engine", ["luajit"])
def test_what_cannot_be_compared_was_written(shared):
    state = shared("s.list[4] = 4LL")
    state.call()
    assert state.runtime.check_shared() == ".list"


@pytest.mark.parametrize("index", [1, 2, 1_999, 2_000, 2_001])
def test_one_look_is_a_look_at_all_of_it(shared, index):
    state = shared(f"s[{index}] = 0", list(range(5, 2_005)))
    state.call()
    assert state.runtime.check_shared() == ""


@pytest.mark.parametrize("data", [None, 5, "text", []])
def test_there_may_be_little_to_watch(shared, data):
    state = shared("return s == nil and 'none' or s", data)
    assert state.call() == (data if data is not None else "none")
    assert state.runtime.check_shared() is None


def test_another_rounds_data_is_watched_afresh(shared):
    state = shared("s.list[1] = 0")
    state.call()
    state.runtime.share(1, [msgpack.packb([1])])
    assert state.runtime.check_shared() is None


def test_shared_data_counts_in_the_memory_limit(script):
    state = script("function execute_code() return 1 end", memory_bytes=8 * limits.MB)
    with pytest.raises(ScriptError) as caught:
        state.runtime.share(0, [msgpack.packb([0.5] * 2_000_000)])
    assert caught.value.kind == "memory"
    with pytest.raises(ScriptError) as caught:  # the value has room, its image has not
        state.runtime.share(0, [msgpack.packb([1] * 600_000)])
    assert caught.value.kind == "memory"
    assert state.runtime._memory.used_bytes < 4 * limits.MB


def test_what_is_freed_is_free(shared):
    state = shared("return #s", [0.5] * 500_000)
    assert state.call() == 500_000
    before = state.runtime._memory.used_bytes
    state.runtime.unshare()
    assert before - state.runtime._memory.used_bytes > 6 * limits.MB


def test_shared_data_that_is_no_value_is_refused(script):
    state = script("function execute_code() return shared_data == nil end")
    with pytest.raises(ScriptError) as caught:
        state.runtime.share(0, [msgpack.packb({"a": 2**60})])
    assert caught.value.message == "shared_data: an integer beyond 2^53 cannot be a Lua number"
    assert state.call() is True


def test_what_is_put_into_an_array_or_in_its_place_is_a_write(script):
    """An array of LuaJIT's takes nothing, one of the others is a table."""
    source = """
    function execute_code()
      local s = shared_data
      if midas.index == 1 then return s.a[1] + #s.list[1] end
      if midas.index == 2 then return pcall(rawset, s.a, 1, 9) end
      s.a = s.a:copy()
    end"""
    state = script(source)
    state.share({"a": array("int8", [5]), "list": [array("float64", [1.5, 2.5])]})
    assert state.call(index=1) == 7
    assert state.runtime.check_shared() is None
    was_put = state.call(index=2)
    assert state.runtime.check_shared() == (".a" if was_put else None)
    state.share({"a": array("int8", [5])})
    state.call(index=3)
    assert state.runtime.check_shared() == ""
