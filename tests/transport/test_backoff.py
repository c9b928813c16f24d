"""Delays between tries."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from midas_mp.transport.backoff import FIRST_DELAY_S, Backoff


@given(st.integers(), st.floats(0.2, 100))
def test_delays_stay_below_a_bound_that_doubles_up_to_the_cap(seed, cap):
    backoff = Backoff(delay_s_max=cap, jitter=random.Random(seed))
    for attempt in range(12):
        assert 0 <= backoff.next_delay_s() <= min(FIRST_DELAY_S * 2**attempt, cap)


def test_delays_are_spread_over_the_whole_range():
    delays = [Backoff(delay_s_max=30, jitter=random.Random(n)).next_delay_s() for n in range(200)]
    assert min(delays) < 0.1 * FIRST_DELAY_S
    assert max(delays) > 0.9 * FIRST_DELAY_S


def test_after_a_success_the_next_failure_is_a_first_one():
    backoff = Backoff(delay_s_max=30, jitter=random.Random(1))
    for _ in range(10):
        backoff.next_delay_s()
    backoff.reset()
    assert backoff.next_delay_s() <= FIRST_DELAY_S
