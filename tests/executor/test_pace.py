"""How many items a task of a map takes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from midas_mp.executor.pace import GROWTH_MAX, TASK_BYTES_TARGET, TASK_TIME_TARGET_S, Pace

MANY = 10**9


def run(item_us, *, overhead_us=30, item_bytes=5, tasks=8):
    """The sizes of so many tasks in a row."""
    pace, sizes = Pace(), []
    for _ in range(tasks):
        sizes.append(pace.size(MANY, 2))
        pace.learn(sizes[-1], int(overhead_us + sizes[-1] * item_us), sizes[-1] * item_bytes)
    return sizes


def test_it_begins_with_one_and_grows_fast():
    sizes = run(0.1)
    assert sizes[0] == 1
    assert sizes[5] > 10_000
    assert all(b <= GROWTH_MAX * a for a, b in itertools.pairwise(sizes))


def test_a_task_comes_to_hold_a_few_milliseconds_of_work():
    for item_us in (1, 17, 250):
        (*_, last) = run(item_us, tasks=12)
        assert 0.7 * TASK_TIME_TARGET_S < last * item_us / 1e6 < 1.1 * TASK_TIME_TARGET_S


def test_long_items_go_one_by_one():
    assert run(5_000) == [1] * 8


def test_large_items_are_not_gathered():
    assert run(0.1, item_bytes=TASK_BYTES_TARGET) == [1] * 8
    assert max(run(0.1, item_bytes=TASK_BYTES_TARGET // 10)) == 10


def test_items_that_become_slow_shrink_it():
    pace = Pace()
    for _ in range(6):
        size = pace.size(MANY, 2)
        pace.learn(size, size, 0)
    before = pace.size(MANY, 2)
    pace.learn(before, before * 1000, 0)
    assert pace.size(MANY, 2) < before / 100


def test_the_tail_is_split_evenly():
    pace = Pace()
    for _ in range(8):
        size = pace.size(MANY, 2)
        pace.learn(size, size, 0)
    usual = pace.size(MANY, 4)
    assert pace.size(usual, 4) == -(-usual // 8)
    assert pace.size(8, 4) == 8, "but not into tasks of next to nothing"


@given(st.integers(1, 10**6), st.integers(0, 300), st.integers(0, 10**7), st.integers(0, 10**9))
def test_a_size_is_always_one_that_can_be(left, workers, duration_us, size_bytes):
    pace = Pace()
    pace.learn(1, duration_us, size_bytes)
    assert 1 <= pace.size(left, workers) <= left
