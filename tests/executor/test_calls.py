"""Calls of one program at an engine that the test plays."""

from __future__ import annotations

import asyncio

import pytest

from midas_mp import limits
from midas_mp.client.values import Packer, unpack
from midas_mp.errors import ClusterLost, ScriptError
from midas_mp.executor.calls import SINGLE_CALLS, FunctionCalls, located, task_error
from midas_mp.executor.function import as_function
from midas_mp.wire.messages import CallForm, JobSpec, Outcome, Status

SQUARE = as_function("function(x) return x * x end")
ECHO = as_function("function(...) return ... end")


class Receiver:
    """Remembers how its call ended."""

    def __init__(self):
        self.told = []

    def finish(self, payload):
        self.told.append(unpack(payload))

    def fail(self, error):
        self.told.append(error)

    def cancel(self):
        self.told.append("cancelled")


class RoundReceiver:
    def __init__(self):
        self.told = []

    def results_arrived(self, results, buffers):
        indices = [outcome.index for outcome in results.outcomes]
        self.told += zip(indices, [unpack([buffer]) for buffer in buffers], strict=True)

    def fail(self, error):
        self.told.append(error)


@pytest.fixture
def run_with(run, engine):
    """Runs a coroutine function with calls at the engine."""

    def start(work):
        async def main():
            calls = FunctionCalls(engine, "title", JobSpec(seed=7), lambda *printed: None)
            try:
                await work(calls)
            finally:
                calls.close(ClusterLost("the end"))
                await asyncio.sleep(0)

        run(main())

    return start


def call(calls, *arguments, function=SQUARE):
    receiver = Receiver()
    receiver.number = calls.call(function, Packer().arguments(arguments), receiver)
    return receiver


def test_calls_of_one_function_go_together_and_come_back_one_by_one(run_with, engine):
    async def work(calls):
        receivers = [call(calls, x) for x in range(5)]
        await engine.submitted(5)
        (order,) = engine.orders
        assert (order.round, order.form, order.entry) == (0, CallForm.ARGUMENTS, "function")
        assert engine.sent == {(SINGLE_CALLS, x): [x] for x in range(5)}
        engine.finish(SINGLE_CALLS, {3: 9, 1: 1})
        assert [r.told for r in receivers] == [[], [1], [], [9], []]
        assert engine.acknowledged == [(SINGLE_CALLS, [3, 1])]

    run_with(work)


def test_many_calls_go_in_frames_of_a_bounded_size(run_with, engine):
    async def work(calls):
        for x in range(limits.TASKS_PER_FRAME_MAX + 1):
            call(calls, x)
        large = b"\xff" * (limits.FRAME_BYTES_TARGET // 2)
        for _ in range(3):
            call(calls, large)
        await engine.submitted(limits.TASKS_PER_FRAME_MAX + 4)
        sizes = [len(order.calls) for order in engine.orders]
        assert sizes == [limits.TASKS_PER_FRAME_MAX, 2, 1, 1]

    run_with(work)


def test_a_bundle_is_put_once_before_its_first_call(run_with, engine):
    async def work(calls):
        for function in (SQUARE, ECHO, SQUARE, ECHO):
            call(calls, 1, function=function)
        await engine.submitted(4)
        assert engine.bundles == [SQUARE.bundle, ECHO.bundle]
        digests = [order.digest for order in engine.orders]
        assert digests == [f.bundle.digest for f in (SQUARE, ECHO, SQUARE, ECHO)]
        assert engine.titles == ["title"], "all of it is one job"

    run_with(work)


def test_one_that_failed_says_why_and_where(run_with, engine):
    async def work(calls):
        receiver = call(calls, 1)
        await engine.submitted(1)
        engine.fail(SINGLE_CALLS, 0, "a.lua:1: oops")
        (error,) = receiver.told
        assert isinstance(error, ScriptError)
        assert (error.kind, error.message) == ("runtime", "a.lua:1: oops")
        assert (error.index, error.worker, error.traceback) == (0, "lab-000", "a.lua:1")
        assert calls.is_idle

    run_with(work)


def test_where_lua_refuses_arguments_it_is_said_which(run_with, engine):
    async def work(calls):
        receivers = [call(calls, 1, {"a": [None]}), call(calls, 1)]
        await engine.submitted(2)
        for index in range(2):
            engine.fail(SINGLE_CALLS, index, "arguments: no", kind="unsendable")
        messages = [error.message for receiver in receivers for error in receiver.told]
        assert messages[0].startswith("argument 2: .a[0]: None inside a list")
        assert messages[1:] == ["arguments: no"], "nothing better is known"

    run_with(work)


def test_what_python_cannot_read_back_is_left_as_lua_said_it():
    payload = Packer().arguments([{(1, 2): 3}])
    error = ScriptError("unsendable", "arguments: a table cannot be a key")
    assert located(error, lambda: unpack(payload)).message == "arguments: a table cannot be a key"


def test_one_that_is_cancelled_hears_nothing_more(run_with, engine):
    async def work(calls):
        sent = call(calls, 1)
        await engine.submitted(1)
        calls.cancel_call(sent.number)
        calls.cancel_call(sent.number)
        assert engine.cancelled == [(SINGLE_CALLS, [0])]
        engine.finish(SINGLE_CALLS, {0: 1})
        assert sent.told == []
        assert calls.is_idle

    run_with(work)


def test_one_that_is_cancelled_before_it_went_never_goes(run_with, engine):
    async def work(calls):
        receivers = [call(calls, x) for x in range(3)]
        calls.cancel_call(receivers[1].number)
        await engine.submitted(2)
        assert engine.sent == {(0, 0): [0], (0, 2): [2]}

    run_with(work)


def test_all_may_be_cancelled_and_are_told(run_with, engine):
    async def work(calls):
        receivers = [call(calls, x) for x in range(3)]
        await engine.submitted(3)
        waiting = call(calls, 3)
        calls.cancel_all()
        assert [r.told for r in (*receivers, waiting)] == [["cancelled"]] * 4
        assert engine.cancelled == [(SINGLE_CALLS, [0, 1, 2, 3])]
        await calls.wait_idle()

    run_with(work)


def test_results_of_a_round_go_to_whoever_began_it(run_with, engine):
    async def work(calls):
        one, other = RoundReceiver(), RoundReceiver()
        rounds = [calls.begin_round(receiver) for receiver in (one, other)]
        assert rounds == [1, 2]
        for round_ in rounds:
            # the engine is told of a job with the first call
            await calls.submit(round_, SQUARE, CallForm.BATCH, [], [], count=0)
        engine.finish(2, {0: ["b"]})
        engine.finish(1, {0: ["a"]})
        assert (one.told, other.told) == ([(0, ["a"])], [(0, ["b"])])
        assert not calls.is_idle
        calls.end_round(1, open_tasks=[4, 9])
        assert engine.cancelled == [(1, [4, 9])]
        engine.finish(1, {4: ["late"]})
        calls.end_round(1, open_tasks=[4])
        assert (len(one.told), len(engine.cancelled)) == (1, 1)
        calls.end_round(2)
        await calls.wait_idle()

    run_with(work)


def test_a_loss_ends_all_and_what_comes_later(run_with, engine):
    async def work(calls):
        receiver, round_receiver = call(calls, 1), RoundReceiver()
        calls.begin_round(round_receiver)
        await engine.submitted(1)
        queued, error = call(calls, 2), ClusterLost("gone")
        engine.lose(error)
        assert receiver.told == queued.told == round_receiver.told == [error]
        assert call(calls, 3).told == [error]
        with pytest.raises(ClusterLost, match="gone"):
            calls.begin_round(RoundReceiver())
        assert calls.is_idle

    run_with(work)


def test_closing_closes_the_job_and_ends_what_waits_for_credit(run_with, engine):
    async def work(calls):
        engine.has_credit = False
        receiver = call(calls, 1)
        await engine.until(lambda: engine.titles)
        calls.close(ClusterLost("closed"))
        calls.close(ClusterLost("closed again"))
        assert engine.is_closed
        assert [str(error) for error in receiver.told] == ["closed"]

    run_with(work)


def test_it_knows_how_many_workers_there_are(run_with, engine):
    async def work(calls):
        assert (calls.workers, calls.state) == (0, "connected")
        call(calls, 1)
        await engine.submitted(1)
        assert (calls.workers, calls.state) == (2, "2 workers")
        engine.lose(ClusterLost("gone"))
        assert calls.state == "broken: gone"

    run_with(work)


def test_until_it_knows_it_says_what_is_expected(run, engine):
    async def main():
        calls = FunctionCalls(engine, "title", JobSpec(), lambda *_: None, workers=1)
        assert (calls.workers, calls.state) == (1, "1 worker")

    run(main())


def test_a_failure_that_is_none_is_one_of_unknown_cause():
    outcome = Outcome(0, 0, Status.FAILED, 1)
    for payload in ([b"\xc1"], [b"\x80"], []):
        error = task_error(outcome, payload, worker="lab-000")
        assert isinstance(error, ScriptError)
        assert (error.kind, error.index, error.worker) == ("lost", 0, "lab-000")
