"""Python values ↔ payloads."""

from __future__ import annotations

import math
import types

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.blobs import pool
from midas_mp.client.values import Packer, array_length, refused_by_lua, unpack, unpack_many
from midas_mp.errors import ProtocolError, UnsendableValue, UsageError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)
VALUES = st.recursive(
    SCALARS,
    lambda v: (
        st.lists(v, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), v, max_size=4)
    ),
    max_leaves=20,
)


@given(st.lists(VALUES, max_size=4))
def test_arguments_are_an_array_of_values(values):
    (payload,) = Packer().arguments(values)
    assert unpack([payload]) == values


@given(st.lists(st.integers(0, 9), min_size=2, max_size=6))
def test_a_batch_says_how_many_arguments_and_where_it_begins(values):
    assert unpack(Packer().batch(2, 70, values)) == [2, 70, *values]


FEW = st.lists(SCALARS | st.lists(SCALARS, max_size=2), max_size=4)


@given(st.lists(st.tuples(SCALARS, FEW), max_size=4))
def test_plain_arguments_of_many_calls_are_those_of_each(rows):
    one_by_one = [Packer().arguments(row) for row in rows]
    assert [[payload] for payload in Packer().plain_arguments(rows, 10**6)] == one_by_one


def test_what_is_not_plain_is_left_to_each_call():
    packer = Packer()
    assert packer.plain_arguments([[1], [np.ones(3)]], 100) is not None, "it is inline"
    for odd in (np.ones(1000), {1}, 2**64, b"x" * 100):
        assert packer.plain_arguments([[1], [odd], [2]], 100) is None
        assert len(packer.arguments([1])) == 1, "nothing is left of it"


def test_no_large_array_is_copied_to_see_that_it_is_not_plain():
    assert pool.allocate(0) is not None, "there is a pool"
    extents = pool._of_this_process.get()._extents
    extents.high_water = 0
    assert Packer().plain_arguments([[np.ones(100_000)]] * 100, 10**6) is None
    assert extents.high_water == 0


def test_no_more_is_packed_than_is_needed_to_see_that_it_is_too_much():
    taken = []
    rows = ([taken.append(i) or b"x" * 1000] for i in range(1000))
    assert Packer().plain_arguments(rows, 10_000) is None
    assert len(taken) == 16


@given(FEW)
def test_values_of_many_payloads_are_read_together(values):
    assert unpack_many([Packer().arguments([v])[0][1:] for v in values]) == values


def test_small_arrays_of_many_payloads_too():
    payloads = [memoryview(Packer().arguments([np.arange(n)])[0])[1:] for n in (1, 2)]
    assert [array.tolist() for array in unpack_many(payloads)] == [[0], [0, 1]]
    assert unpack_many([msgpack.packb("x")], raw=True) == [b"x"]
    for broken in ([b"\x01\x01"], [b"\xc1"], [b"\x01", b"\xa5"], [b""]):
        with pytest.raises(ProtocolError):
            unpack_many(broken)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_an_array_says_how_long_it_is(count):
    assert array_length([memoryview(msgpack.packb([1] * count))]) == count


@pytest.mark.parametrize("payload", [[], [b""], [b"\x01"], [b"\xdc\x00"], [b"\xdd\x00\x00\x01"]])
def test_what_is_no_array_has_no_length(payload):
    assert array_length(payload) == -1


@pytest.mark.parametrize("raw", [False, True])
def test_who_sends_two_values_for_one_shifts_nobody_elses(raw):
    packed = [msgpack.packb(value) for value in (1, 2, 3)]
    assert unpack_many(packed, raw=raw) == [1, 2, 3]
    array = Packer().arguments([np.arange(3)])[0][1:]
    for first, last in [
        (b"\x07\x08", b""),
        (b"\x07\xc4\x13", b""),
        (b"\x07\x92", b"\xc0"),
        (array + array, array),
        (b"\x07" * 3, array + b"\x07"),
        (b"", b"\x07\x08"),
    ]:
        with pytest.raises(ProtocolError):
            unpack_many([first, *packed, last], raw=raw)


def test_tuples_and_scalars_of_numpy_go_as_what_they_stand_for():
    sent = [(1, 2), np.float32(0.5), np.int64(7), np.bool_(True), np.str_("x")]
    assert unpack(Packer().arguments(sent)) == [[1, 2], 0.5, 7, True, "x"]


def test_floats_stay_what_they_are():
    nan, infinite, negative = unpack(Packer().arguments([math.nan, -math.inf, -0.0]))
    assert math.isnan(nan)
    assert infinite == -math.inf
    assert math.copysign(1, negative) == -1


def test_arrays_stand_where_they_stood():
    payload = Packer().arguments([{"a": [np.ones(1000), 1]}, np.arange(3), np.zeros(2000)])
    assert len(payload) == 3, "the small one is inline"
    first, second, third = unpack(payload)
    assert first["a"][0].sum() == 1000
    assert second.tolist() == [0, 1, 2]
    assert third.shape == (2000,)


def test_buffers_of_one_payload_are_not_those_of_the_next():
    packer = Packer()
    assert len(packer.arguments([np.ones(1000)])) == 2
    with pytest.raises(UnsendableValue):
        packer.arguments([np.ones(1000), set()])
    assert len(packer.arguments([np.ones(1000)])) == 2
    assert len(packer.arguments([1])) == 1


def test_raw_gives_bytes_for_every_string():
    payload = Packer().arguments(["text", b"bytes", {"key": 1}])
    assert unpack(payload, raw=True) == [b"text", b"bytes", {b"key": 1}]


HOLDING_ITSELF: list[object] = []
HOLDING_ITSELF.append(HOLDING_ITSELF)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1}, "argument 2: cannot send a set"),
        ({"rows": [0, 0, 0, {1}]}, r"argument 2: \.rows\[3\]: cannot send a set"),
        ({"a b": object()}, r"argument 2: \['a b'\]: cannot send a object"),
        ([np.complex128(1)], r"argument 2: \[0\]: cannot send a complex128"),
        (np.datetime64("2020-01-01"), "argument 2: cannot send a datetime64"),
        (1j, "argument 2: cannot send a complex"),
        ([lambda: 1], r"argument 2: \[0\]: cannot send a function"),
        (2**64, "argument 2: an integer of more than 64 bits; float"),
        ([-(2**63) - 1], r"argument 2: \[0\]: an integer of more than 64 bits"),
        ("\ud800", "argument 2: '.*' is no valid text; encode"),
        ({"x": np.zeros(2, complex)}, r"argument 2: \.x: cannot send an array of dtype complex128"),
        ({(1, 2): {3}}, "argument 2: a key that is a tuple, neither text nor a number"),
        (types.MappingProxyType({}), "argument 2: cannot send a mappingproxy; dict"),
        (HOLDING_ITSELF, "argument 2: .*nested deeper than 64, or holds itself"),
    ],
)
def test_what_cannot_be_sent_says_which_and_where(value, text):
    with pytest.raises(UnsendableValue, match=text) as raised:
        Packer().arguments([1, value])
    assert isinstance(raised.value, TypeError)
    assert isinstance(raised.value, UsageError)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"rows": [1, [2, None]]}, "argument 2: .rows[1][1]: None inside a list"),
        ([2**53 + 1], "argument 2: [0]: an integer beyond 2^53; float() makes it a number"),
        ({"a": {True: 1}}, "argument 2: .a: a key that is a bool, neither text nor a number"),
        ({None: 1}, "argument 2: a key that is a NoneType, neither text nor a number"),
        ({math.nan: 1}, "argument 2: a key that is nan, neither text nor a number"),
    ],
)
def test_what_lua_has_not_is_found_too(value, text):
    assert Packer().arguments([1, value]), "msgpack has it"
    assert refused_by_lua([1, value]).startswith(text)


def test_what_lua_has_is_not_found():
    values = [None, 2**53, -(2**53), 1.5, math.nan, {1: None, "a": [True, b"\xff"]}, np.ones(3)]
    assert refused_by_lua(values) is None


def test_a_batch_that_cannot_be_sent_says_so():
    for value in ({1}, 2**64, HOLDING_ITSELF):
        with pytest.raises(UnsendableValue):
            Packer().batch(1, 0, [1, value])


def test_what_is_too_large_is_refused_before_it_is_sent(monkeypatch):
    monkeypatch.setattr(limits, "PAYLOAD_BYTES_MAX", 2 * limits.MB)
    with pytest.raises(UnsendableValue, match="4 MB in one call; the limit is 2 MB"):
        Packer().arguments([bytes(3 * limits.MB)])
    with pytest.raises(UnsendableValue, match="4 MB in one call; the limit is 2 MB"):
        Packer().arguments([np.zeros(3 * limits.MB, "uint8")])
    monkeypatch.setattr(limits, "BUFFERS_MAX", 3)
    with pytest.raises(UnsendableValue, match="3 arrays in one call; the limit is 2"):
        Packer().arguments([np.zeros(1024)] * 3)


@pytest.mark.parametrize(
    "payload",
    [[], [b""], [b"\x92\x01"], [b"\x01\x01"], [b"\xc1"], [msgpack.packb(msgpack.ExtType(9, b""))]],
)
def test_what_is_no_payload_is_said_to_be_none(payload):
    with pytest.raises(ProtocolError):
        unpack(payload)
