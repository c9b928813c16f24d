"""What both encoders promise; each test runs with every engine's own."""

import math
import struct

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

INTEGER_MAX = 2**53

numbers = st.integers(-INTEGER_MAX, INTEGER_MAX) | st.floats(allow_nan=False)
keys = st.text(max_size=8) | st.binary(max_size=8) | st.integers(-INTEGER_MAX, INTEGER_MAX)
keys |= st.floats(-INTEGER_MAX, INTEGER_MAX, allow_nan=False)
scalars = st.booleans() | numbers | st.text() | st.binary()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(keys, inner, max_size=20),
    max_leaves=40,
)


def as_lua_sees(value, engine):
    """LuaJIT has one kind of number; Lua one of string, and arrays are tables with keys 1..n."""
    match value:
        case float() if is_integer_to(value, engine):
            return int(value)
        case bytes():
            is_text = value.decode(errors="replace").encode() == value
            return value.decode() if is_text else value
        case list():
            return [as_lua_sees(v, engine) for v in value]
        case dict():
            table = {as_key(k, engine): as_lua_sees(v, engine) for k, v in value.items()}
            is_array = set(table) == set(range(1, len(table) + 1))
            return [table[i] for i in range(1, len(table) + 1)] if is_array else table
        case _:
            return value


def is_integer_to(value, engine):
    if not value.is_integer() or abs(value) > INTEGER_MAX or math.copysign(1, value) < 0 == value:
        return False
    return engine == "luajit"


def as_key(key, engine):
    """A table has one zero, and no float that is an integer."""
    if isinstance(key, float) and key.is_integer() and abs(key) <= INTEGER_MAX:
        return int(key)
    return as_lua_sees(key, engine)


def exactly(value):
    """Comparable, with types and the sign of zero told apart."""
    match value:
        case float():
            return ("float", struct.pack(">d", value))
        case list():
            return [exactly(v) for v in value]
        case dict():
            return {(type(k), k): exactly(v) for k, v in value.items()}
    return (type(value), value)


@given(values)
def test_what_python_packs_lua_gives_back(echo, engine, value):
    data = echo(msgpack.packb(value))
    found = msgpack.unpackb(data, strict_map_key=False)
    assert exactly(found) == exactly(as_lua_sees(value, engine))


@given(values)
def test_lua_reads_what_lua_wrote(echo, value):
    once = msgpack.unpackb(echo(msgpack.packb(value)), strict_map_key=False)
    twice = msgpack.unpackb(echo(echo(msgpack.packb(value))), strict_map_key=False)
    assert exactly(once) == exactly(twice)


@given(st.integers(-INTEGER_MAX, INTEGER_MAX) | st.text() | st.lists(st.integers(0, 300)))
def test_the_shortest_form_is_used(echo, value):
    assert echo(msgpack.packb(value)) == msgpack.packb(value)


@pytest.mark.parametrize("size", [15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_sizes_at_the_borders_of_the_forms(echo, size):
    for value in ("s" * size, b"\xff" * size, [1] * size, {f"k{i}": i for i in range(size)}):
        found = msgpack.unpackb(echo(msgpack.packb(value)))
        assert found == value


def test_nan_and_infinities_pass(echo):
    found = msgpack.unpackb(echo(msgpack.packb([math.nan, math.inf, -math.inf, -0.0])))
    assert math.isnan(found[0])
    assert found[1:3] == [math.inf, -math.inf]
    assert math.copysign(1, found[3]) == -1


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("{}", []),
        ("{1, 2, 3}", [1, 2, 3]),
        ("{1, nil, 3}", {1: 1, 3: 3}),
        ("{[2]='b', [1]='a'}", ["a", "b"]),
        ("{[0]=0, 1, 2}", {0: 0, 1: 1, 2: 2}),
        ("{1, 2, x=3}", {1: 1, 2: 2, "x": 3}),
        ("{[1.5]=1}", {1.5: 1}),
        ("{[3]=1}", {3: 1}),
        ("{[-1]=1}", {-1: 1}),
        (
            "(function() local t = {} for i = 40, 1, -1 do t[i] = i end return t end)()",
            list(range(1, 41)),
        ),
        (
            "(function() local t = {x = 1} for i = 1, 9 do t[i] = i end t.x = nil return t end)()",
            list(range(1, 10)),
        ),
        (
            "(function() local t = {x=1} for i = 1, 9 do t[i] = i end return t end)()",
            {"x": 1, **{i: i for i in range(1, 10)}},
        ),
        (
            "setmetatable({1}, {__index = error, __len = error, __pairs = error})",
            [1],
        ),
    ],
)
def test_tables_are_arrays_or_maps_by_their_keys(task, table, expected):
    assert task(f"return {table}") == expected


def test_a_returned_nil_is_nil(task):
    assert task("return nil") is None
    assert task("") is None


def test_the_output_buffer_survives_a_refusal_in_the_middle(script):
    state = script(
        "function execute_code() if midas.index == 0 then "
        "return {('x'):rep(100000), print} end return {midas.index} end"
    )
    for _ in range(3):
        assert state.fail(index=0).kind == "unsendable"
        assert state.call(index=7) == [7]


@pytest.mark.parametrize(
    "text",
    [
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\x80",
        b"\xe2\x82",
        b"\xf0\x80\x80\x80",
        b"\xe0\x80\x80",
        b"ascii\xff",
        b"\xc3(",
    ],
)
def test_what_python_would_not_decode_travels_as_bytes(echo, text):
    assert echo(msgpack.packb(text)) == msgpack.packb(text)
