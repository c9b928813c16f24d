"""Medians out of counts."""

from __future__ import annotations

import random
import statistics

import pytest

from midas_mp import limits
from midas_mp.scheduler.task_times import TaskTimes


def of(durations_us: list[int], round_: int = 0) -> TaskTimes:
    times = TaskTimes()
    times.add(round_, durations_us)
    return times


@pytest.mark.parametrize("seed", range(20))
def test_a_median_is_at_most_nine_percent_too_large(seed: int) -> None:
    rng = random.Random(seed)
    durations = [int(rng.lognormvariate(rng.uniform(3, 16), 2)) + 1 for _ in range(501)]
    median_us = of(durations).median_us(0)
    assert median_us is not None
    assert 1 <= median_us / statistics.median(durations) <= 1.1


def test_what_has_no_result_counts_as_longest() -> None:
    times = of([10] * 6 + [1_000] * 4)
    assert times.median_us(0) == pytest.approx(10, rel=0.1)
    assert times.median_us(3) == pytest.approx(1_000, rel=0.1)
    assert times.median_us(9) == pytest.approx(1_000, rel=0.1)
    assert times.median_us(10) is None


def test_few_results_say_nothing() -> None:
    assert of([10] * (limits.MEDIAN_RESULTS_MIN - 1)).median_us(0) is None
    assert of([10] * limits.MEDIAN_RESULTS_MIN).median_us(0) is not None


def test_each_round_begins_anew_and_stragglers_of_the_last_are_left_out() -> None:
    times = of([10] * 9)
    times.bound_s = 3.0
    times.add(1, [1_000] * 5)
    assert (times.round, times.bound_s) == (1, 0.0)
    times.add(0, [10] * 20)
    assert times.median_us(0) == pytest.approx(1_000, rel=0.1)


def test_a_task_of_no_time_at_all_is_counted() -> None:
    assert of([0] * 5).median_us(0) == pytest.approx(1, rel=0.1)


def test_only_what_was_added_is_new() -> None:
    times = TaskTimes()
    times.add(0, [])
    assert not times.is_new
    times.add(0, [1])
    assert times.is_new
