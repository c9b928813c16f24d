from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.scheduler.estimate import DEPTH_LONG, QUEUE_TIME_TARGET_US, Estimate


def test_nothing_is_known_at_first() -> None:
    estimate = Estimate()
    assert (estimate.task_us, estimate.depth, estimate.is_long) == (None, 1, True)
    assert estimate.assumed_us == QUEUE_TIME_TARGET_US


def test_it_jumps_up_at_once_and_comes_down_slowly() -> None:
    estimate = Estimate()
    estimate.observe(100, 100 * 10, 10)
    assert estimate.assumed_us == 10
    estimate.observe(1, 1_000, 1_000)
    assert estimate.assumed_us == 1_000
    estimate.observe(22, 22 * 10, 10)
    assert estimate.assumed_us == pytest.approx(10 + 990 / 2, rel=0.02)


def test_one_batch_or_many_come_to_the_same() -> None:
    one, many = Estimate(), Estimate()
    for estimate in (one, many):
        estimate.observe(1, 1_000, 1_000)
    one.observe(64, 64 * 10, 10)
    for _ in range(64):
        many.observe(1, 10, 10)
    assert one.assumed_us == pytest.approx(many.assumed_us)


@pytest.mark.parametrize(
    ("task_us", "depth"),
    [
        (0, limits.QUEUE_TASKS_MAX),
        (10, limits.QUEUE_TASKS_MAX),
        (1_000, 41),
        (39_999, 2),
        (40_000, DEPTH_LONG),
        (10**9, DEPTH_LONG),
    ],
)
def test_depth_holds_the_target_time(task_us: int, depth: int) -> None:
    estimate = Estimate()
    estimate.observe(1, task_us, task_us)
    assert estimate.depth == depth
    assert estimate.is_long == (task_us >= 40_000)


@given(st.lists(st.lists(st.integers(0, 10**8), min_size=1, max_size=64), min_size=1))
def test_it_never_leaves_the_range_of_what_was_seen(batches: list[list[int]]) -> None:
    estimate = Estimate()
    for batch in batches:
        estimate.observe(len(batch), sum(batch), max(batch))
        assert max(batch) <= estimate.assumed_us or max(batch) == 0
    seen = [duration for batch in batches for duration in batch]
    assert estimate.assumed_us <= max(1, *seen, 1) * (1 + 1e-9)
    assert 2 <= estimate.depth <= limits.QUEUE_TASKS_MAX
