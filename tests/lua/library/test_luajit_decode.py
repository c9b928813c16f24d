import math

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp.errors import ScriptError

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 9), inner),
)
numbers_and_text = st.recursive(st.integers(0, 2**53) | st.text(), st.lists)


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


@given(numbers_and_text)
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


def test_float32_is_read(echo):
    assert msgpack.unpackb(echo(msgpack.packb(0.5, use_single_float=True))) == 0.5


def test_a_nil_in_a_map_is_an_absent_key(echo):
    assert msgpack.unpackb(echo(msgpack.packb({"a": None, "b": 1}))) == {"b": 1}
