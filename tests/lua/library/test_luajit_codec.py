import math
import os
import struct

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.errors import ScriptError
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.runtime import Context, Profile, Runtime
from midas_mp.wire.messages import JobSpec

INTEGER_MAX = 2**53

numbers = st.integers(-INTEGER_MAX, INTEGER_MAX) | st.floats(allow_nan=False)
keys = st.text(max_size=8) | st.binary(max_size=8) | numbers
scalars = st.booleans() | numbers | st.text() | st.binary()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(keys, inner, max_size=20),
    max_leaves=40,
)


@pytest.fixture(scope="module")
def echo():
    """Lua decodes, Lua encodes: bytes in, bytes out."""
    output = os.open(os.devnull, os.O_WRONLY)
    runtime = Runtime(
        profile=Profile.WORKER,
        job="j",
        spec=JobSpec(),
        worker="w",
        node="n",
        output_fd=output,
        memory_bytes=256 * limits.MB,
    )
    source = b"function execute_code() return global_data end"
    bundle = Bundle.from_sources("echo.lua", [], [source])
    runtime.load(bundle)
    yield lambda data: runtime.call(bundle.digest, "execute_code", Context(0, 1), data)
    runtime.close()
    os.close(output)


def as_lua_sees(value):
    """Lua has one kind of number, one of string, and arrays are tables with keys 1..n."""
    match value:
        case bool():
            return value
        case float() if value.is_integer() and abs(value) <= INTEGER_MAX:
            return -0.0 if value == 0 and math.copysign(1, value) < 0 else int(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return value
        case list():
            return [as_lua_sees(v) for v in value]
        case dict():
            table = {}
            for k, v in value.items():
                k = as_lua_sees(k)
                table[0 if isinstance(k, float) and k == 0 else k] = as_lua_sees(v)
            if set(table) == set(range(1, len(table) + 1)):
                return [table[i] for i in range(1, len(table) + 1)]
            return table
    return value


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
def test_what_python_packs_lua_gives_back(echo, value):
    data = echo(msgpack.packb(value))
    found = msgpack.unpackb(data, strict_map_key=False)
    assert exactly(found) == exactly(as_lua_sees(value))


@given(values)
def test_lua_reads_what_lua_wrote(echo, value):
    once = msgpack.unpackb(echo(msgpack.packb(value)), strict_map_key=False)
    twice = msgpack.unpackb(echo(echo(msgpack.packb(value))), strict_map_key=False)
    assert exactly(once) == exactly(twice)


@given(st.integers(-INTEGER_MAX, INTEGER_MAX) | st.text() | st.lists(st.integers(0, 300)))
def test_the_shortest_form_is_used(echo, value):
    assert echo(msgpack.packb(value)) == msgpack.packb(value)


@given(values, st.data())
def test_mutated_bytes_are_a_value_or_an_error(echo, value, data):
    packed = bytearray(msgpack.packb(value))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        msgpack.unpackb(echo(bytes(packed)), strict_map_key=False)
    except ScriptError as error:
        assert error.kind == "unsendable"  # noqa: PT017 - either outcome is right


@given(st.binary(max_size=200))
def test_garbage_is_a_value_or_an_error(echo, data):
    try:
        msgpack.unpackb(echo(data), strict_map_key=False)
    except ScriptError as error:
        assert error.kind == "unsendable"  # noqa: PT017 - either outcome is right


@given(values)
def test_every_cut_is_refused(echo, value):
    packed = msgpack.packb(value)
    for size in range(min(len(packed), 40)):
        with pytest.raises(ScriptError, match="ends in the middle"):
            echo(packed[:size])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xdd\xff\xff\xff\xff", "the data ends in the middle of a value"),
        (b"\xdf\xff\xff\xff\xff", "the data ends in the middle of a value"),
        (b"\xdb\xff\xff\xff\xffabc", "the data ends in the middle of a value"),
        (b"\x91" * 65 + b"\x01", "nested deeper than 64"),
        (b"\x91\xc0", "nil inside an array"),
        (b"\x81\xc3\x01", "a boolean cannot be a key"),
        (b"\x81\x90\x01", "a table cannot be a key"),
        (b"\x81\xc0\x01", "a nil cannot be a key"),
        (b"\x81" + msgpack.packb(math.nan) + b"\x01", "nan cannot be a key"),
        (msgpack.packb(2**53 + 1), "an integer beyond 2^53 cannot be a Lua number"),
        (msgpack.packb(-(2**53) - 1), "an integer beyond 2^53 cannot be a Lua number"),
        (msgpack.packb(2**64 - 1), "an integer beyond 2^53 cannot be a Lua number"),
        (msgpack.packb(-(2**63)), "an integer beyond 2^53 cannot be a Lua number"),
        (msgpack.packb(msgpack.ExtType(5, b"abc")), "msgpack extension type 5 is not supported"),
        (msgpack.packb(msgpack.ExtType(7, b"x" * 70_000)), "extension type 7 is not supported"),
        (b"\xd6\xff\x00\x00\x00\x00", "msgpack extension type -1 is not supported"),
        (b"\xc1", "byte 0xc1 begins no msgpack value"),
        (b"\x01\x02", "1 bytes left behind the value"),
    ],
)
def test_what_cannot_be_a_lua_value_is_refused_with_its_reason(echo, data, reason):
    with pytest.raises(ScriptError) as caught:
        echo(data)
    assert caught.value.kind == "unsendable"
    assert caught.value.message.startswith("global_data: ")
    assert caught.value.message.endswith(reason)


def test_nested_claims_do_not_multiply(echo):
    # Each level claims all bytes that are left: 63 tables of 8 MB each, were claims not summed up.
    size = 2**20
    bomb = b"".join(b"\xdd" + (size - 5 * i - 5).to_bytes(4) for i in range(63))
    with pytest.raises(ScriptError) as caught:
        echo(bomb + b"\x01" * (size - len(bomb)))
    assert caught.value.kind == "unsendable"


def test_depth_64_passes(echo):
    data = b"\x91" * 64 + b"\x01"
    assert echo(data) == data


@pytest.mark.parametrize("size", [15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_sizes_at_the_borders_of_the_forms(echo, size):
    for value in ("s" * size, b"\xff" * size, [1] * size, {f"k{i}": i for i in range(size)}):
        found = msgpack.unpackb(echo(msgpack.packb(value)))
        assert found == value


def test_float32_is_read(echo):
    assert msgpack.unpackb(echo(msgpack.packb(0.5, use_single_float=True))) == 0.5


def test_nan_and_infinities_pass(echo):
    found = msgpack.unpackb(echo(msgpack.packb([math.nan, math.inf, -math.inf, -0.0])))
    assert math.isnan(found[0])
    assert found[1:3] == [math.inf, -math.inf]
    assert math.copysign(1, found[3]) == -1


def test_a_nil_in_a_map_is_an_absent_key(echo):
    assert msgpack.unpackb(echo(msgpack.packb({"a": None, "b": 1}))) == {"b": 1}


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
            "(function() local t = {} for i = 1, 9 do t[i] = i end t[9] = nil t.x = 1 t.x = nil "
            "return t end)()",
            list(range(1, 9)),
        ),
        (
            "(function() local t = {x=1} for i = 1, 9 do t[i] = i end return t end)()",
            {"x": 1, **{i: i for i in range(1, 10)}},
        ),
        (
            "setmetatable({1}, {__index = function() error('ran') end, __len = function() return 9 end,"
            " __pairs = error})",
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
