"""Seals: what they bind, and what breaks them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp.errors import JournalFailed
from midas_mp.journal.records import (
    PartRecord,
    RoundRecord,
    body_seal,
    journal_key,
    seal,
    unseal,
)

KEY = b"k" * 32
ROUND = RoundRecord(0, 10, b"", 1.0)


def test_what_was_sealed_is_read_again():
    for record in (ROUND, PartRecord()):
        header = seal(KEY, 5, record, [b"ab", b"c"])
        assert unseal(KEY, 5, header) == (record, body_seal(KEY, [b"abc"]))


def test_a_seal_is_of_one_journal_one_place_and_one_body():
    header = seal(KEY, 5, ROUND, [b"body"])
    for key, sequence in ((b"o" * 32, 5), (KEY, 6)):
        with pytest.raises(JournalFailed, match=f"record {sequence} is not as it was written"):
            unseal(key, sequence, header)
    assert body_seal(KEY, [b"body"]) not in (body_seal(KEY, [b"bodY"]), body_seal(b"o", [b"body"]))


@given(st.data())
def test_any_change_of_a_header_is_noticed(data):
    header = seal(KEY, 5, ROUND)
    place = data.draw(st.integers(0, len(header) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != header[place]))
    for broken in (header[:place], header[:place] + bytes([other]) + header[place + 1 :]):
        with pytest.raises(JournalFailed):
            unseal(KEY, 5, broken)


@pytest.mark.parametrize("header", [None, 5, "text", b""])
def test_what_is_no_header_at_all_is_refused(header):
    with pytest.raises(JournalFailed):
        unseal(KEY, 5, header)


def test_jobs_that_differ_in_anything_have_other_keys(job):
    others = [
        msgspec.structs.replace(job, **{name: value})
        for name, value in (("seed", 8), ("arg", ["y"]), ("recorded_s", 1.5), ("engine", "lua5.4"))
    ]
    assert len({journal_key(each) for each in [job, *others]}) == len(others) + 1


def test_a_seal_around_what_is_no_record_is_refused(job):
    with pytest.raises(JournalFailed):
        unseal(KEY, 5, seal(KEY, 5, msgspec.structs.replace(job, arg=5)))


def test_arguments_are_as_a_command_line_says_them(job):
    job = msgspec.structs.replace(job, arg=["a b", "-x"], named_arg={"k": "1 2", "a": ""})
    assert job.words == "--arg a= --arg 'k=1 2' 'a b' -x"
