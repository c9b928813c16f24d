"""NumPy arrays ↔ ext values with raw buffers."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp.blobs import pool
from midas_mp.client.arrays import empty, is_array, is_scalar, pack_array, unpack_array
from midas_mp.errors import ProtocolError, UnsendableValue, UsageError

TYPES = {
    "float64": 1,
    "float32": 2,
    "int8": 3,
    "int16": 4,
    "int32": 5,
    "uint8": 6,
    "uint16": 7,
    "uint32": 8,
    "int64": 9,
    "uint64": 10,
}


def there_and_back(array):
    arrays = []
    data = pack_array(array, arrays)
    buffers = [b"the msgpack", *arrays]
    return unpack_array(data, buffers), data, buffers


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("count", [0, 3, 1000])
def test_every_type_comes_back_as_it_was(name, count):
    array = np.arange(count).astype(name)
    back, data, _ = there_and_back(array)
    assert data[0] == TYPES[name]
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_shapes_are_kept(shape):
    array = np.arange(np.prod(shape, dtype=int), dtype="int32").reshape(shape)
    back, _, _ = there_and_back(array)
    assert back.shape == tuple(shape)
    np.testing.assert_array_equal(back, array)


def test_the_bytes_are_those_of_the_contract():
    buffers = []
    assert pack_array(np.array([[1, 2, 3]], "int16"), buffers) == (
        struct.pack("<BBHIQQ", 4, 2, 0, 0, 1, 3) + struct.pack("<3h", 1, 2, 3)
    )
    large = np.ones(1024, "uint8")
    assert pack_array(large, buffers) == struct.pack("<BBHIQ", 6, 1, 0, 1, 1024)
    assert buffers == [large.tobytes()]
    assert pack_array(large, buffers)[4:8] == struct.pack("<I", 2)


def test_an_array_may_be_written_to_when_it_was_packed():
    array = np.zeros(1024)
    arrays = []
    data = pack_array(array, arrays)
    array[:] = 1
    assert unpack_array(data, [b"", *arrays]).sum() == 0


def test_an_array_that_came_is_read_only_and_lies_where_it_came():
    back, data, buffers = there_and_back(np.ones(1024))
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1
    assert np.shares_memory(back, np.frombuffer(buffers[1]))
    buffers[1] = bytearray(buffers[1])
    with pytest.raises(ValueError, match="read-only"):
        unpack_array(data, buffers)[0] = 1


def test_one_that_is_not_contiguous_is_copied_and_said_so():
    array = np.arange(12.0).reshape(3, 4).T
    with pytest.warns(UserWarning, match="not contiguous in C order is copied") as said:
        back, _, _ = there_and_back(array)
    np.testing.assert_array_equal(back, array)
    assert said[0].filename == __file__, "where it can be mended"


def test_one_that_hides_elements_is_refused():
    with pytest.raises(UnsendableValue, match=r"a masked array; filled\(\) makes it a plain one"):
        pack_array(np.ma.array([1.0, 2.0], mask=[True, False]), [])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(2, complex),
        np.zeros(2, bool),
        np.zeros(2, "float16"),
        np.zeros(2, ">f8"),
        np.zeros(2, "U3"),
        np.zeros(2, object),
        np.zeros(2, "datetime64[s]"),
        np.zeros(2, [("x", "f8")]),
    ],
)
def test_other_types_are_refused_by_name(array):
    with pytest.raises(UnsendableValue, match="cannot send an array of dtype ") as raised:
        pack_array(array, [])
    assert str(array.dtype) in str(raised.value)


@pytest.mark.parametrize("array", [np.zeros(()), np.zeros((1,) * 9)])
def test_dimensions_are_one_to_eight(array):
    with pytest.raises(UnsendableValue, match=f"an array of {array.ndim} dimensions"):
        pack_array(array, [])


HEAD = struct.pack("<BBHIQ", 1, 1, 0, 1, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD[:7],
        HEAD[:-1],
        b"\x00" + HEAD[1:],
        b"\x0b" + HEAD[1:],
        HEAD[:1] + b"\x00" + HEAD[2:],
        HEAD[:1] + b"\x09" + HEAD[2:] + bytes(64),
        struct.pack("<BBHIQ", 1, 1, 0, 2, 3),
        struct.pack("<BBHIQ", 1, 1, 0, 1, 4),
        struct.pack("<BBHIQQ", 1, 2, 0, 1, 2**62, 2**62),
        struct.pack("<BBHIQ", 1, 1, 0, 0, 3) + bytes(23),
        struct.pack("<BBHIQQ", 1, 2, 0, 0, 0, 2**63),
    ],
)
def test_what_fits_neither_itself_nor_its_buffers_is_no_array(data):
    with pytest.raises(ProtocolError):
        unpack_array(data, [b"", bytes(24)])


def test_without_numpy_an_array_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(UsageError, match=r"midas_mp\[numpy\]"):
        unpack_array(HEAD, [b"", bytes(24)])
    assert not is_array([])
    assert not is_scalar(1)


def test_scalars_of_numpy_are_known():
    assert is_scalar(np.float32(1))
    assert not is_scalar(1.0)
    assert is_array(np.zeros(1))
    assert not is_array(np.float32(1))


# -- in shared memory ------------------------------------------------------------------------------


def test_an_array_made_in_shared_memory_is_sent_where_it_is():
    array = empty((100, 1000))
    array[:] = 1
    _, _, buffers = there_and_back(array)
    assert np.shares_memory(np.frombuffer(buffers[1]), array)
    assert array.shape == (100, 1000)


@pytest.mark.parametrize(
    ("shape", "dimensions"),
    [
        *((5, (5,)), (np.int64(5), (5,)), ((2, 3), (2, 3)), ([2, 3], (2, 3))),
        *((np.array([2, 3]), (2, 3)), ((np.int8(2), 3), (2, 3)), (0, (0,)), ((0, 4), (0, 4))),
    ],
)
def test_a_shape_may_be_whatever_it_may_be_in_numpy(shape, dimensions):
    array = empty(shape, "int16")
    assert (array.shape, array.dtype, array.flags.writeable) == (dimensions, np.int16, True)


@pytest.mark.parametrize(
    ("shape", "error", "text"),
    [
        *(((), UnsendableValue, "0 dimensions"), ((1,) * 9, UnsendableValue, "9 dimensions")),
        *((-1, ValueError, "negative"), ((2, -3), ValueError, "negative")),
        *((3.5, TypeError, "float"), ("x", TypeError, "str"), (None, TypeError, "NoneType")),
        *(((2, 3.5), TypeError, "float"), (2**70, ValueError, "dimension")),
    ],
)
def test_a_shape_that_is_none_is_refused(shape, error, text):
    with pytest.raises(error, match=text):
        empty(shape)


def test_another_large_array_is_copied_there_once():
    array = np.ones(100_000)
    back, _, (_, buffer) = there_and_back(array)
    array[:] = 0
    assert back.sum() == 100_000
    _, _, (_, again) = there_and_back(np.frombuffer(buffer))
    assert np.shares_memory(np.frombuffer(again), np.frombuffer(buffer))


def test_it_keeps_its_place_as_long_as_anything_of_it_is_left():
    array = empty(100_000)
    array[:] = 7
    part = array[5:10]
    del array
    others = [empty(100_000) for _ in range(4)]
    for other in others:
        other[:] = 0
    assert part.tolist() == [7] * 5


@pytest.mark.parametrize("name", TYPES)
def test_every_type_can_be_made_there(name):
    assert empty(3, name).dtype == name
    assert empty([2, 0], name).shape == (2, 0)


def test_other_types_cannot_be_made_there():
    with pytest.raises(UnsendableValue, match="no array of dtype complex128 in Lua"):
        empty(3, complex)


def test_without_shared_memory_it_is_an_array_like_any_other(monkeypatch):
    monkeypatch.setattr(pool, "allocate", lambda _: None)
    monkeypatch.setattr(pool, "place", lambda _: None)
    array = empty(100_000)
    array[:] = 1
    back, _, _ = there_and_back(array)
    array[:] = 0
    assert back.sum() == 100_000
