import msgpack
import pytest

from midas_mp import limits
from midas_mp.errors import ScriptError

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
        state.runtime.share(0, msgpack.packb(data))
        return state

    return share


def check_all(state, entries=3, passes=1):
    """How often it had to go on."""
    steps = 0
    for _ in range(passes):
        while not state.runtime.check_shared(entries):
            steps += 1
            assert steps < 1000
    return steps


@pytest.mark.parametrize("entries", [1, 2, 5, 1000])
def test_reading_in_every_way_is_no_write(shared, entries):
    state = shared(
        "local n = #s.list + #s.map.a.b\n"
        "for k, v in pairs(s) do n = n + 1 end for i, v in ipairs(s.list) do n = n + 1 end\n"
        "return n + #table.concat({s.list[4], s.text}) + (rawequal(s.map[8], nil) and 1 or 0)"
    )
    for _ in range(3):
        assert state.call() == 5 + 2 + 4 + 5 + 104 + 1
        check_all(state, entries)
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
@pytest.mark.parametrize("begun", [0, 4])
def test_a_write_is_found_and_named(shared, write, where, begun):
    state = shared(write)
    if begun:
        state.runtime.check_shared(begun)
    state.call()
    with pytest.raises(ScriptError) as caught:
        check_all(state, passes=2)
    assert caught.value.kind == "runtime"
    assert caught.value.message == (
        f"a task wrote into shared_data{where}: all tasks of a worker share it, so copy what is to"
        " be changed"
    )
    assert state.runtime.is_spoiled


def test_values_that_look_like_keys_hide_no_write(shared):
    state = shared("s[2], s[3], s[5] = nil, nil, 9", [1, 5, 9])
    state.call()
    with pytest.raises(ScriptError):
        check_all(state)


@pytest.mark.parametrize("data", [None, 5, "text", []])
def test_there_may_be_little_to_watch(shared, data):
    state = shared("return s == nil and 'none' or s", data)
    assert state.call() == (data if data is not None else "none")
    assert check_all(state, 10) == 0


def test_a_large_value_is_compared_a_bounded_part_at_a_time(shared):
    state = shared("s[9000] = 0", list(range(10_000)))
    state.call()
    assert not any(state.runtime.check_shared(1000) for _ in range(8))
    with pytest.raises(ScriptError):
        state.runtime.check_shared(1000)


def test_another_rounds_data_is_watched_afresh(shared):
    state = shared("s.list[1] = 0")
    state.runtime.check_shared(5)
    state.call()
    state.runtime.share(1, msgpack.packb([1]))
    check_all(state)


def test_shared_data_counts_in_the_memory_limit(script):
    state = script("function execute_code() return 1 end", memory_bytes=8 * limits.MB)
    with pytest.raises(ScriptError) as caught:
        state.runtime.share(0, msgpack.packb([0.5] * 2_000_000))
    assert caught.value.kind == "memory"
    with pytest.raises(ScriptError) as caught:  # the value has room, its image has not
        state.runtime.share(0, msgpack.packb([1] * 600_000))
    assert caught.value.kind == "memory"
    assert state.runtime.memory_used < 4 * limits.MB


def test_what_is_freed_is_free(shared):
    state = shared("return #s", [0.5] * 500_000)
    assert state.call() == 500_000
    before = state.runtime.memory_used
    state.runtime.unshare()
    assert before - state.runtime.memory_used > 6 * limits.MB


def test_shared_data_that_is_no_value_is_refused(script):
    state = script("function execute_code() return shared_data == nil end")
    with pytest.raises(ScriptError) as caught:
        state.runtime.share(0, msgpack.packb({"a": 2**60}))
    assert caught.value.message == "shared_data: an integer beyond 2^53 cannot be a Lua number"
    assert state.call() is True
