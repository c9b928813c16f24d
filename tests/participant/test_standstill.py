"""Time that does not count."""

from __future__ import annotations

from midas_mp.participant.standstill import Standstill


def test_only_what_lies_in_the_time_asked_for_counts() -> None:
    still = Standstill()
    still.begin(10)
    still.end(20)
    still.begin(30)
    still.end(50)
    assert still.ns_between(0, 100) == 30
    assert still.ns_between(15, 100) == 25
    assert still.ns_between(40, 100) == 10
    assert still.ns_between(50, 100) == 0


def test_one_that_has_not_ended_counts_until_now() -> None:
    still = Standstill()
    still.begin(10)
    assert still.is_on
    assert still.ns_between(0, 25) == 15
    assert still.ns_between(20, 25) == 5


def test_it_begins_and_ends_once() -> None:
    still = Standstill()
    still.end(5)
    still.begin(10)
    still.begin(15)
    still.end(20)
    still.end(30)
    assert not still.is_on
    assert still.ns_between(0, 100) == 10
