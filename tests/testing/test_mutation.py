from __future__ import annotations

import msgpack
import pytest

from midas_mp.testing import mutation
from midas_mp.testing.chance import Chance

CASES = range(300)


def test_a_case_is_known_by_its_name():
    assert [mutation.hostile_msgpack(Chance(f"{n}")) for n in range(20)] == [
        mutation.hostile_msgpack(Chance(f"{n}")) for n in range(20)
    ]


def test_what_was_tampered_with_is_changed_as_a_rule():
    data = bytes(range(64))
    changed = [mutation.tamper(Chance(f"{n}"), data) for n in CASES]
    assert sum(each != data for each in changed) > 280
    assert {len(each) < len(data) for each in changed} == {True, False}
    assert any(len(each) > len(data) for each in changed)


def test_nothing_can_be_tampered_with_too():
    for number in CASES:
        mutation.tamper(Chance(f"{number}"), b"")


def test_pieces_are_all_of_it():
    data = bytes(range(100))
    pieces = [mutation.cut(Chance(f"{n}"), data) for n in CASES]
    assert all(b"".join(each) == data for each in pieces)
    assert len({len(each) for each in pieces}) > 4


def test_some_of_it_is_sound_and_some_is_not():
    def is_sound(data):
        try:
            msgpack.unpackb(data, strict_map_key=False)
        except (ValueError, TypeError, msgpack.UnpackException):
            return False
        return True

    found = [is_sound(mutation.hostile_msgpack(Chance(f"{n}"))) for n in CASES]
    assert 30 < sum(found) < 270


@pytest.mark.parametrize("make", [mutation.nested, mutation.hollow])
def test_heads_promise_more_than_there_is(make):
    data = [make(Chance(f"{n}")) for n in range(50)]
    assert max(map(len, data)) < 200_000
    assert len(set(data)) > 20
