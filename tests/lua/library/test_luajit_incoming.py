"""Typed arrays that come, on every engine: as they were sent, or refused."""

import os
import struct

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from midas_mp.client.values import Packer
from midas_mp.client.values import unpack as unpack_values
from midas_mp.errors import ScriptError
from tests.lua.arrays import CODES, TYPES, array, elements, head, unpack
from tests.lua.conftest import Script

ECHO = "function execute_code() return global_data end"
INTEGERS = {
    **{type_: 2 ** (8 * struct.calcsize(CODES[type_][1])) for type_ in TYPES},
    "int64": 2**54,
    "uint64": 2**53,
}


@pytest.fixture(scope="module")
def states(engine):
    opened = {}

    def state(source):
        if source not in opened:
            opened[source] = Script(source, engine=engine)
        return opened[source]

    yield state
    for each in opened.values():
        each.close()


@pytest.fixture
def refusal(script):
    """Why a payload is refused."""

    def run(value, *buffers):
        with pytest.raises(ScriptError) as caught:
            script(ECHO).call_buffers("execute_code", msgpack.packb(value), *buffers)
        assert caught.value.kind == "unsendable"
        return caught.value.message.removeprefix("global_data: ")

    return run


def numbers(type_):
    """What elements of a type may be, as Lua reads them."""
    if type_ == "float64":
        return st.floats(allow_nan=False)
    if type_ == "float32":
        return st.floats(allow_nan=False, width=32)
    span = INTEGERS[type_]
    if type_.startswith("u"):
        return st.integers(0, span - (type_ != "uint64"))
    return st.integers(-span // 2, span // 2 - (type_ != "int64"))


@st.composite
def sent_arrays(draw):
    """(type, shape, elements, whether they are a buffer, how far that is from an aligned place)."""
    type_ = draw(st.sampled_from(TYPES))
    shape = draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))
    size = 1
    for each in shape:
        size *= each
    values = draw(st.lists(numbers(type_), min_size=size, max_size=size))
    return type_, tuple(shape), values, draw(st.booleans()), draw(st.sampled_from([0, 0, 1, 4]))


def sent(given_arrays):
    """The exts, and the buffers beside them."""
    exts, buffers = [], []
    for type_, shape, values, is_buffer, shift in given_arrays:
        if is_buffer:
            data = elements(type_, values)
            buffers.append(memoryview(b"\xff" * shift + data)[shift:])
            exts.append(array(type_, [], shape, len(buffers)))
        else:
            exts.append(array(type_, values, shape))
    return exts, buffers


@settings(max_examples=30)
@given(st.lists(sent_arrays(), max_size=4))
def test_arrays_go_through_lua_as_they_are(states, given_arrays):
    exts, buffers = sent(given_arrays)
    result, *more = states(ECHO).call_buffers("execute_code", msgpack.packb({"a": exts}), *buffers)
    assert more == []  # all are small
    back = [(each.type, each.shape, each.data) for each in unpack(result)["a"]]
    assert back == [(type_, shape, elements(type_, v)) for type_, shape, v, *_ in given_arrays]


READ = """
function execute_code()
  local a, shape, values = global_data, global_data.shape, {}
  for i = 1, #a do values[i] = a[i] end
  return { a.type, shape, values, midas.array(a.type, values), midas.array(a.type, a) }
end
"""


@settings(max_examples=30)
@given(sent_arrays())
def test_scripts_read_what_was_sent_and_write_what_they_read(states, one):
    (ext,), buffers = sent([one])
    result, *_ = states(READ).call_buffers("execute_code", msgpack.packb(ext), *buffers)
    type_, shape, values, *copies = unpack(result)
    assert (type_, tuple(shape), values) == (one[0], one[1], one[2])
    for each in copies:
        assert each.data == elements(one[0], one[2])


@st.composite
def numpy_arrays(draw):
    dtype = draw(st.sampled_from(TYPES))
    shape = draw(npst.array_shapes(min_dims=1, max_dims=8, min_side=0, max_side=3))
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    data = draw(st.binary(min_size=count, max_size=count))
    return np.frombuffer(data, dtype).reshape(shape)


@settings(max_examples=30)
@given(st.lists(numpy_arrays(), max_size=3), st.integers(0, 9000))
def test_arrays_of_numpy_come_back_as_they_were(states, arrays, more):
    arrays.append(np.arange(more, dtype="float32"))
    source = """
    function execute_code()
      local copies = {}
      for i, a in ipairs(global_data[1]) do copies[i] = a:copy() end
      return { global_data[1], copies }
    end"""
    payload = Packer().arguments([arrays])
    back = unpack_values(states(source).call_buffers("execute_code", *payload))
    for sent_again in back:
        for was, now in zip(arrays, sent_again, strict=True):
            assert (was.dtype, was.shape, was.tobytes()) == (now.dtype, now.shape, now.tobytes())


@settings(max_examples=60)
@given(st.lists(sent_arrays(), min_size=1, max_size=3), st.data())
def test_mutated_heads_are_an_array_or_an_error(states, given_arrays, data):
    exts, buffers = sent(given_arrays)
    packed = bytearray(msgpack.packb(exts))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        result, *_ = states(ECHO).call_buffers("execute_code", bytes(packed), *buffers)
        msgpack.unpackb(result, strict_map_key=False)
    except ScriptError as error:
        assert error.kind == "unsendable"  # noqa: PT017 - either outcome is right


def test_zero_keeps_its_sign(script):
    source = """
    function execute_code()
      local a = global_data:copy()
      a[2] = -0.0
      return a
    end"""
    for type_ in ("float64", "float32"):
        packed = msgpack.packb(array(type_, [-0.0, 0.0]))
        result, *_ = script(source).call_buffers("execute_code", packed)
        assert unpack(result).data == elements(type_, [-0.0, -0.0])


def test_any_bits_are_elements(script):
    for type_, (_, form) in CODES.items():
        data = os.urandom(100 * struct.calcsize(form))
        packed = msgpack.packb(array(type_, [], (100,), 1))
        result, *_ = script(ECHO).call_buffers("execute_code", packed, data)
        assert unpack(result).data == data


def test_a_buffer_may_be_several_arrays(script):
    body = "function execute_code() return { global_data[1][8], global_data[2].shape } end"
    value = [array("uint8", [], (8,), 1), array("float64", [], (1, 1), 1)]
    assert script(body).call_buffers("execute_code", msgpack.packb(value), b"\1" * 7 + b"\2") == [
        msgpack.packb([2, [1, 1]])
    ]


def test_an_integer_beyond_2_to_the_53_is_no_number_but_goes_on(script):
    source = """
    function execute_code()
      local said = {}
      for i = 1, 3 do said[i] = select(2, pcall(function() return global_data[i] end)) end
      return { said, global_data, global_data:copy() }
    end"""
    for type_, values in [
        ("int64", (2**53 + 1, -(2**63), 2**53)),
        ("uint64", (2**64 - 1, 2**63, 5)),
    ]:
        packed = msgpack.packb(array(type_, values))
        said, *kept = unpack(script(source).call_buffers("execute_code", packed)[0])
        assert said[0].endswith("element 1 is beyond 2^53: no Lua number is exactly that")
        assert said[1].endswith("element 2 is beyond 2^53: no Lua number is exactly that")
        assert said[2] == values[2]
        assert [each.values() for each in kept] == [list(values)] * 2


@pytest.mark.parametrize(
    ("value", "buffers", "reason"),
    [
        (msgpack.ExtType(1, b""), (), "the head of an array is 0 bytes long"),
        (msgpack.ExtType(1, b"\1\1\0\0\0\0\0"), (), "the head of an array is 7 bytes long"),
        (msgpack.ExtType(1, b"\1\1\0\0\0\0\0\0\0"), (), "the data ends in the middle of an array"),
        (msgpack.ExtType(2, b"\1"), (), "msgpack extension type 2 is not supported"),
        (head(0, (1,)), (), "an array of the unknown type 0"),
        (head(11, (1,)), (), "an array of the unknown type 11"),
        (head(1, ()), (), "a scalar array, which has no dimensions"),
        (head(1, (0,) * 9), (), "the head of an array is damaged"),
        (head(1, (0,), zero=1), (), "the head of an array is damaged"),
        (head(1, (2,), data=b"x" * 15), (), "15 bytes behind the head of an array of 16"),
        (head(1, (0,), data=b"x"), (), "1 bytes behind the head of an array of 0"),
        (head(1, (2**27 + 1,)), (), "an array of 1073741832 bytes is larger than 1024 MB"),
        (head(6, (2**32, 2**32)), (), "an array of 18446744073709551616 bytes is larger than"),
        (head(6, (2**32, 2**32), 1), (b"",), "an array of 18446744073709551616 bytes is larger"),
        (head(6, (2**63, 2)), (), "an array"),
        (head(6, (2**64 - 1,)), (), "an array"),
        (head(6, (3,), 1), (), "an array in buffer 1 of "),
        (head(6, (3,), 2), (b"abc",), "an array in buffer 2 of 2"),
        (head(6, (3,), 2**32 - 1), (b"abc",), "an array in buffer 4294967295 of 2"),
        (head(6, (3,), 1), (b"abcd",), "an array of 3 bytes in a buffer of 4"),
        (head(6, (3,), 1), (b"ab",), "an array of 3 bytes in a buffer of 2"),
        (1, (b"",), "1 buffers belong to no array"),
        (array("uint8", [], (3,), 1), (b"abc", b"d", b"e"), "2 buffers belong to no array"),
    ],
)
def test_what_is_no_array_is_refused_and_why(refusal, value, buffers, reason):
    assert refusal(value, *buffers).startswith(reason)


def test_a_large_payload_is_read_where_it_lies(script):
    source = "function execute_code() return { #global_data[1], global_data[2][3] } end"
    value = ["x" * 100_000, array("int8", [], (3,), 1)]
    result = script(source).call_buffers("execute_code", msgpack.packb(value), b"\1\2\3")
    assert result == [msgpack.packb([100_000, 3])]
