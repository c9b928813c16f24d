"""Digests of payloads: equal for equal values, and only for those."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midas_mp.journal import digests
from midas_mp.journal.digests import payload_digest

KEYS = st.one_of(st.text(max_size=5), st.binary(max_size=3), st.integers(0, 99), st.floats(2, 3))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(KEYS, inner)),
)


def turned(value):
    """An equal value whose tables are walked through the other way."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(each) for each in value] if isinstance(value, list) else value


def digest(value, *arrays):
    return payload_digest([msgpack.packb(value), *arrays])


@settings(max_examples=50)
@given(VALUES)
def test_the_order_of_a_table_does_not_count(value):
    assert digest(value) == digest(turned(value))


@settings(max_examples=50)
@given(VALUES)
def test_no_digest_is_all_zeros(value):
    assert any(digest(value))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [2, 1]),
        ({"a": 12, "b": 21}, {"a": 21, "b": 12}),
        ({1: "a", "k": "b"}, {1: "b", "k": "a"}),
        ({1: {"x": 1}}, {1: {"x": 2}}),
        ("1", 1),
        (0.0, -0.0),
        ({}, []),
    ],
)
def test_other_values_have_other_digests(one, other):
    assert digest(one) != digest(other)


def test_arrays_count():
    assert digest([1], b"abc") != digest([1], b"abd")


def test_of_what_is_very_large_only_the_length_counts(monkeypatch):
    monkeypatch.setattr(digests, "COMPARED_BYTES_MAX", 8)
    assert digest("123456789") == digest("987654321") != digest("12345678910")
    assert digest("1234567") != digest("7654321")


@pytest.mark.parametrize(
    "value", [b"\xa1\xff", b"\x91" * 5_000 + b"\xc0", b"\x81\x01" * 900 + b"\xc0"]
)
def test_what_is_no_value_has_a_digest_too(value):
    assert any(payload_digest([value]))
    assert payload_digest([value]) != payload_digest([value + b"\xc0"])
