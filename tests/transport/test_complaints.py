from __future__ import annotations

import pytest

from midas_mp import limits
from midas_mp.transport.complaints import Complaints


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def test_a_few_are_told_at_once_the_rest_is_counted(clock):
    told = []
    complaints = Complaints(told.append, clock)
    for number in range(1_000):
        complaints.add(f"peer {number}")
    assert told == [f"peer {number}" for number in range(limits.TURNED_AWAY_BURST)]


def test_later_one_is_told_each_second_with_how_many_there_were(clock):
    told = []
    complaints = Complaints(told.append, clock)
    for _ in range(limits.TURNED_AWAY_BURST + 5):
        complaints.add("a peer")
    told.clear()
    for _ in range(32):
        clock.now_s += 0.125  # exact in binary
        complaints.add("another")
    counts = (12, 7, 7, 7)
    assert told == [f"another (and {n} more were turned away before)" for n in counts]


def test_after_a_while_of_peace_there_is_room_again(clock):
    told = []
    complaints = Complaints(told.append, clock)
    for _ in range(2):
        clock.now_s += 3_600
        for _ in range(100):
            complaints.add("a peer")
    assert len(told) == 2 * limits.TURNED_AWAY_BURST
