"""One map on the loop's side, at an engine that the test plays."""

from __future__ import annotations

import asyncio

import msgpack
import numpy as np
import pytest

from midas_mp import limits
from midas_mp.client.values import unpack
from midas_mp.errors import ClusterLost, ScriptError, UnsendableValue
from midas_mp.executor.calls import FunctionCalls
from midas_mp.executor.feed import TASKS_AHEAD, Failed, Feed, MapPlan
from midas_mp.executor.function import as_function
from midas_mp.wire.messages import CallForm, JobSpec

SQUARE = as_function("function(x) return x * x end")
WORKERS = 2


class Mapping:
    """A feed, and what it told."""

    def __init__(self, calls, *, arity=1, chunksize=None, size_max=0, hold_s=0.0):
        self.told = []
        plan = MapPlan(SQUARE, arity, chunksize, size_max)
        self.feed = Feed(calls, plan, self.told.append, hold_s=hold_s)

    def results(self):
        """What arrived, by the first item of each task."""
        arrivals = [a for told in self.told if isinstance(told, list) for a in told]
        return {start: decoded(what) for start, what in arrivals}


def decoded(arrival):
    if isinstance(arrival, Failed):
        return str(arrival.error), unpack(arrival.payload) if arrival.payload else None
    return unpack(arrival if isinstance(arrival, list | tuple) else [arrival])


@pytest.fixture
def run_with(run, engine):
    """Runs a coroutine function with calls at the engine, that knows of its workers."""

    def start(work):
        async def main():
            calls = FunctionCalls(engine, "title", JobSpec(), lambda *printed: None)
            calls.workers = WORKERS
            try:
                await work(calls)
            finally:
                calls.close(ClusterLost("the end"))
                await asyncio.sleep(0)

        run(main())

    return start


def test_a_task_is_known_by_its_first_item_and_holds_the_arguments_of_all(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, arity=2, chunksize=2)
        mapping.feed.add([0, "a", 1, "b", 2, "c"], is_last=True)
        await engine.submitted(2)
        (order,) = engine.orders
        assert (order.form, order.count) == (CallForm.BATCH, 3)
        assert engine.sent == {(1, 0): [2, 0, 0, "a", 1, "b"], (1, 2): [2, 2, 2, "c"]}
        engine.finish(1, {2: ["C"], 0: ["A", "B"]})
        assert mapping.results() == {0: ["A", "B"], 2: ["C"]}
        assert calls.is_idle, "it ends by itself after the last result"

    run_with(work)


def test_tasks_of_one_item_take_its_arguments_as_they_are(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, arity=2, chunksize=1)
        mapping.feed.add([0, "a", 1, "b"], is_last=True)
        await engine.submitted(2)
        assert engine.orders[0].form is CallForm.ARGUMENTS
        assert engine.sent == {(1, 0): [0, "a"], (1, 1): [1, "b"]}
        engine.finish(1, {1: "B", 0: "A"})
        assert mapping.results() == {0: "A", 1: "B"}

    run_with(work)


def test_items_with_arrays_go_among_others(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, chunksize=1)
        items = [1, np.arange(1000), "x", b"\xff" * (2 * limits.FRAME_BYTES_TARGET), 5]
        mapping.feed.add(items, is_last=True)
        await engine.submitted(5)
        sent = [value for _, (value,) in sorted(engine.sent.items())]
        np.testing.assert_array_equal(sent.pop(1), items.pop(1))
        assert sent == items
        mapping.feed.stop()
        assert engine.cancelled == [(1, [0, 1, 2, 3, 4])]

    run_with(work)


def test_frames_hold_many_tasks_but_not_too_many(run_with, engine):
    async def work(calls):
        many = limits.TASKS_PER_FRAME_MAX + 5
        Mapping(calls, chunksize=1).feed.add([*range(many)], is_last=True)
        large = [b"\xff" * (limits.FRAME_BYTES_TARGET // 2 + 1)] * 3
        Mapping(calls, chunksize=1).feed.add(large, is_last=True)
        await engine.submitted(many + 3)
        sizes = {1: [], 2: []}
        for order in engine.orders:
            sizes[order.round].append(len(order.calls))
        assert sizes == {1: [limits.TASKS_PER_FRAME_MAX, 5], 2: [2, 1]}

    run_with(work)


def test_tasks_of_automatic_size_begin_with_one_item_and_grow_by_their_time(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls)
        mapping.feed.add([*range(100_000)], is_last=True)
        ahead = TASKS_AHEAD * WORKERS
        await engine.submitted(ahead)
        assert [len(order.calls) for order in engine.orders] == [1] * ahead, "each at once"
        assert [len(sent) - 2 for sent in engine.sent.values()] == [1] * ahead
        sizes = [1]
        while sizes[-1] < 1000:
            start = min({index for _, index in engine.sent} - mapping.results().keys())
            _, _, *items = engine.sent[1, start]
            sizes.append(len(items))
            tasks = len(engine.sent)
            engine.finish(1, {start: items}, duration_us=10 + len(items))
            await engine.submitted(tasks + 1)
        assert sizes == sorted(sizes)
        assert len(sizes) < 6 * ahead

    run_with(work)


def test_no_task_is_larger_than_what_items_come_in(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, size_max=3)
        mapping.feed.add([*range(1000)], is_last=False)
        ahead = TASKS_AHEAD * WORKERS
        await engine.submitted(ahead)
        for start in range(ahead):
            engine.finish(1, {start: [start]}, duration_us=1)
        await engine.submitted(2 * ahead)
        assert max(len(sent) - 2 for sent in engine.sent.values()) == 3

    run_with(work)


def test_more_items_follow_those_that_were_not_sent(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, chunksize=4)
        mapping.feed.add([0, 1, 2], is_last=False)
        mapping.feed.add([3, 4], is_last=True)
        await engine.submitted(2)
        assert engine.sent == {(1, 0): [1, 0, 0, 1, 2, 3], (1, 4): [1, 4, 4]}
        assert [order.count for order in engine.orders] == [5]

    run_with(work)


def test_how_many_there_are_is_not_said_before_it_is_known(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, chunksize=2)
        mapping.feed.add([0, 1], is_last=False)
        await engine.submitted(1)
        engine.finish(1, {0: [0, 1]})
        assert not calls.is_idle
        mapping.feed.add([], is_last=True)
        await calls.wait_idle()
        assert [order.count for order in engine.orders] == [0]

    run_with(work)


def test_arrays_in_results_stay_in_their_buffers(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, chunksize=1)
        mapping.feed.add([1, 2], is_last=True)
        await engine.submitted(2)
        engine.finish(1, {0: np.arange(1000), 1: 7})
        results = mapping.results()
        assert results[0].tolist() == list(range(1000))
        assert results[1] == 7

    run_with(work)


def test_an_item_that_fails_comes_with_the_results_before_it(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, chunksize=3)
        mapping.feed.add([*range(9)], is_last=True)
        await engine.submitted(3)
        engine.fail(1, 3, "oops", done=["third", "fourth"])
        ((_, failed),) = mapping.told[0]
        assert failed.error.index == 5, "of the map, not of the task"
        assert unpack(failed.payload) == ["third", "fourth"]
        mapping.feed.stop()
        assert engine.cancelled == [(1, [0, 6])], "what is left of it"

    run_with(work)


def test_behind_a_failure_nothing_more_is_sent(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls)
        mapping.feed.add([*range(1000)], is_last=True)
        ahead = TASKS_AHEAD * WORKERS
        await engine.submitted(ahead)
        engine.fail(1, 0, "oops", done=[])
        for start in range(1, ahead):
            engine.finish(1, {start: [start]})
        await calls.wait_idle()
        assert len(engine.sent) == ahead

    run_with(work)


@pytest.mark.parametrize("chunksize", [None, 1, 5, 100])
def test_an_item_that_cannot_be_sent_is_a_failure_at_its_place(run_with, engine, chunksize):
    async def work(calls):
        mapping = Mapping(calls, chunksize=chunksize)
        mapping.feed.add([0, 1, 2, {3}, 4], is_last=True)
        await engine.until(lambda: mapping.told)
        refusal = mapping.told[-1][0]
        assert refusal[0] == 3
        assert isinstance(refusal[1].error, UnsendableValue)
        assert str(refusal[1].error) == "item 3, argument 1: cannot send a set"
        items = [item for sent in engine.sent.values() for item in sent[2 * (chunksize != 1) :]]
        assert sorted(items) == [0, 1, 2]

    run_with(work)


def test_one_that_is_stopped_takes_back_what_is_open_and_tells_nothing(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, chunksize=1)
        mapping.feed.add([*range(4)], is_last=True)
        await engine.submitted(4)
        engine.finish(1, {2: "two"})
        mapping.feed.stop()
        mapping.feed.stop()
        assert engine.cancelled == [(1, [0, 1, 3])]
        engine.finish(1, {0: "late"})
        mapping.feed.add([7], is_last=True)
        assert mapping.results() == {2: "two"}
        assert calls.is_idle

    run_with(work)


def test_a_loss_is_told_once(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, chunksize=1)
        mapping.feed.add([1], is_last=False)
        await engine.submitted(1)
        error = ClusterLost("gone")
        engine.lose(error)
        engine.lose(ClusterLost("gone again"))
        assert mapping.told == [error]
        assert Mapping(calls).told == [error], "and to those that come later"

    run_with(work)


def test_a_failure_that_is_none_is_an_error_of_the_map(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, chunksize=2)
        mapping.feed.add([1, 2], is_last=True)
        await engine.submitted(1)
        engine.arrive_broken(1, 0)
        ((start, failed),) = mapping.told[0]
        assert start == 0
        assert isinstance(failed.error, ScriptError)
        assert failed.error.kind == "lost"
        assert "why it failed is not known" in str(failed.error)

    run_with(work)


@pytest.mark.parametrize("results", [[], [1], [1, 2, 3], 5, list(range(20)), list(range(70_000))])
def test_as_many_results_come_as_there_are_items_or_an_error(run_with, engine, results):
    async def work(calls):
        mapping = Mapping(calls, chunksize=2)
        mapping.feed.add([1, 2], is_last=True)
        await engine.submitted(1)
        engine.finish_with(1, 0, msgpack.packb(results))
        ((start, failed),) = mapping.told[0]
        said = f"{len(results)} results" if isinstance(results, list) else "no results"
        assert (start, failed.error.kind) == (0, "lost")
        assert failed.error.message == f"its worker gave {said} for 2 items"

    run_with(work)


@pytest.mark.parametrize(("item", "results"), [(1, [1, 2]), (1, []), (2, [1, 2]), (1, 7)])
def test_so_it_is_with_those_before_an_item_that_failed(run_with, engine, item, results):
    async def work(calls):
        mapping = Mapping(calls, chunksize=2)
        mapping.feed.add([1, 2], is_last=True)
        await engine.submitted(1)
        engine.fail_at(1, 0, item, msgpack.packb(results))
        ((start, failed),) = mapping.told[0]
        assert (start, failed.error.kind, failed.payload) == (0, "lost", None)

    run_with(work)


def test_whatever_an_item_raises_is_an_error_of_the_map(run_with, engine):
    """A warning, say, where the user made warnings errors."""

    async def work(calls):
        mapping = Mapping(calls)
        mapping.feed.add([1, np.zeros((3, 3)).T], is_last=True)
        await engine.until(lambda: mapping.told)
        (error,) = mapping.told
        assert isinstance(error, UserWarning)
        assert calls.is_idle

    run_with(work)


def test_an_error_tells_the_worker_and_the_line(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, chunksize=1)
        mapping.feed.add([1], is_last=True)
        await engine.submitted(1)
        engine.fail(1, 0, "function:1: oops")
        ((_, failed),) = mapping.told[0]
        assert failed.error.worker == "lab-000"
        assert failed.error.excerpt == f"1 | return {SQUARE}"

    run_with(work)


def test_where_lua_refuses_an_item_it_is_said_which_of_its_arguments(run_with, engine):
    async def work(calls):
        mapping = Mapping(calls, arity=2, chunksize=2)
        mapping.feed.add([0, 1, 2, 3, 4, 5], is_last=False)
        await engine.submitted(2)
        mapping.feed.add([6, 7, 8, [None]], is_last=True)
        await engine.submitted(3)
        engine.fail(1, 3, "arguments: no", kind="unsendable", done=["third"])
        engine.fail(1, 2, "arguments: no", kind="unsendable", done=[])
        messages = [failed.error.message for told in mapping.told for _, failed in told]
        assert messages[0].startswith("argument 2: [0]: None inside a list")
        assert messages[1] == "arguments: no", "that item is here no more"

    run_with(work)


# -- told together ---------------------------------------------------------------------------------

LONG_S = 10_000.0


@pytest.fixture
def held(run_with, engine):
    """Runs a coroutine function with a map of four items, the first of which was told."""

    def start(work, *, hold_s=LONG_S):
        async def begin(calls):
            mapping = Mapping(calls, chunksize=1, hold_s=hold_s)
            mapping.feed.add([0, 1, 2, 3], is_last=True)
            await engine.submitted(4)
            engine.finish(1, {0: "a"})
            assert len(mapping.told) == 1, "what comes first is told at once"
            await work(mapping)

        run_with(begin)

    return start


def test_what_comes_soon_after_is_told_with_the_last(held, engine):
    async def work(mapping):
        engine.finish(1, {1: "b"})
        engine.finish(1, {2: "c"})
        assert len(mapping.told) == 1
        engine.finish(1, {3: "d"})
        assert len(mapping.told) == 2
        assert mapping.results() == {0: "a", 1: "b", 2: "c", 3: "d"}

    held(work)


def test_or_when_its_time_has_come(held, engine, eventually):
    async def work(mapping):
        engine.finish(1, {1: "b"})
        engine.finish(1, {2: "c"})
        await eventually(lambda: len(mapping.told) > 1)
        assert mapping.results() == {0: "a", 1: "b", 2: "c"}
        mapping.feed.stop()

    held(work, hold_s=0.02)


def test_it_comes_before_what_ends_the_map(held, engine):
    async def work(mapping):
        engine.finish(1, {1: "b"})
        error = ClusterLost("gone")
        engine.lose(error)
        assert mapping.results() == {0: "a", 1: "b"}
        assert mapping.told[-1] is error

    held(work)


def test_one_that_is_stopped_tells_nothing_that_was_held(held, engine):
    async def work(mapping):
        engine.finish(1, {1: "b"})
        mapping.feed.stop()
        engine.lose(ClusterLost("gone"))
        assert mapping.results() == {0: "a"}

    held(work)
