from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp.errors import ProtocolError
from midas_mp.wire.framing import Frame, decode_header, encode
from midas_mp.wire.messages import (
    BeginJob,
    Failure,
    Hello,
    JobSpec,
    Role,
    TaskProgress,
    WorkerDown,
)

encode_plainly = msgspec.msgpack.encode


def header_of(message: object) -> bytes:
    return encode_plainly([message, []])


@given(data=st.data())
def test_every_message_round_trips(data, any_message):
    message = data.draw(any_message)
    (encoded,) = encode(Frame(0, message))
    decoded = decode_header(encoded[8:]).message
    assert decoded == message
    assert type(decoded) is type(message)


@given(data=st.data())
def test_fields_with_defaults_may_be_missing_at_the_end(data, any_message):
    message = data.draw(any_message)
    kind = type(message)
    required = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
    array = msgspec.msgpack.decode(encode_plainly(message))
    decoded = decode_header(header_of(array[: 1 + required])).message
    for field in kind.__struct_fields__[:required]:
        assert getattr(decoded, field) == getattr(message, field)
    if required:
        with pytest.raises(ProtocolError):
            decode_header(header_of(array[:required]))


@given(data=st.data())
def test_fields_that_a_later_release_appends_are_ignored(data, any_message):
    message = data.draw(any_message)
    array = msgspec.msgpack.decode(encode_plainly(message))
    missing = 1 + len(type(message).__struct_fields__) - len(array)
    assert missing == 0
    assert decode_header(header_of([*array, "new", [1, 2]])).message == message


HELLO = [1, 1, "launcher", "0.1", "ab", "name"]


@pytest.mark.parametrize(
    "array",
    [
        [1, 1, "emperor", "0.1", "ab", "name"],
        [1, -1, "launcher", "0.1", "ab", "name"],
        [1, 1, "launcher", "0.1", "not hex", "name"],
        [1, 1, "launcher", "0.1", "ab", ""],
        [1, 1, "launcher", "0.1", "ab", "two words"],
        [1, 1, "launcher", "0.1", "ab", "line\n"],
        [1, 1, "launcher", "0.1", "ab", "x" * 129],
        [1, 1, "launcher", "0.1", "ab", "name", False, 65_536],
        [1, 1.5, "launcher", "0.1", "ab", "name"],
        [4, "x" * 8_193],
        [12, 0, 0, "channel nought"],
        [25, "job", ["luajit", 0, float("nan")]],
        [25, "job", ["luajit", 0, float("inf")]],
        [25, "job", ["luajit", 0, -1.0]],
        [27, "job", "0" * 63, "main.lua", []],
        [31, "job", 0, "w", [[0, 0, 2, 0]]],
        [32, 2**53 + 1],
        [32, True],
        [35, "job", 0, 0, float("nan")],
        [35, "job", 0, 0, 1.5],
        [99],
        [],
        {},
        "Hello",
        None,
    ],
)
def test_values_out_of_bounds_are_refused(array):
    with pytest.raises(ProtocolError, match="not a message"):
        decode_header(header_of(array))


def test_the_cases_above_differ_from_a_good_one_only_in_the_bad_value():
    assert decode_header(header_of(HELLO)).message == Hello(1, Role.LAUNCHER, "0.1", "ab", "name")
    spec = ["luajit", 0, 1.0]
    assert decode_header(header_of([25, "job", spec])).message == BeginJob(
        "job", JobSpec("luajit", 0, 1.0)
    )
    assert decode_header(header_of([35, "job", 0, 0, 1.0])).message == TaskProgress("job", 0, 0, 1)
    assert decode_header(header_of([12, 1, 0, ""])).message == WorkerDown(1, 0, "")


def test_a_failure_travels_as_a_payload():
    failure = Failure("runtime", "primes.lua:3: oops", "stack traceback: …")
    assert Failure.from_payload(failure.to_payload()) == failure


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xc0", b"\x81\xa4kind\x01", b"\x91" * 5_000, b"\x81\xa1a" * 5_000, b"\x81\xa1\xff\x01"],
)
def test_what_is_no_failure_is_one_whose_cause_nobody_knows(payload):
    failure = Failure.from_payload(payload)
    assert (failure.kind, failure.traceback, failure.item) == ("lost", "", None)
    assert failure.message.startswith("why it failed is not known: its worker said nonsense (")
    assert Failure.from_payload(failure.to_payload()) == failure
