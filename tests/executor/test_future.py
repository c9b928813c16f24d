"""The future of one call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading

import pytest

from midas_mp import ExecutorClosed, ScriptError
from midas_mp.errors import ClusterLost
from midas_mp.executor.broken import BrokenCluster

SQUARE = "function(x) return x * x end"
ENDLESS = "function() print('on') while true do end end"


def test_one_that_runs_can_be_cancelled_and_its_worker_works_on(make_executor):
    executor = make_executor()
    endless = executor.submit(ENDLESS)
    assert executor.submit(SQUARE, 2).cancel()
    assert not endless.done()
    assert endless.cancel()
    assert endless.cancel()
    assert (endless.cancelled(), endless.running(), endless.done()) == (True, False, True)
    with pytest.raises(concurrent.futures.CancelledError):
        endless.result(0)
    assert executor.submit(SQUARE, 3).result() == 9


def test_who_waits_hears_of_a_cancelled_one(make_executor):
    executor = make_executor()
    endless = executor.submit(ENDLESS)
    threading.Timer(0.05, endless.cancel).start()
    done, _ = concurrent.futures.wait([endless])
    assert done == {endless}
    assert list(concurrent.futures.as_completed([endless])) == [endless]


def test_one_that_is_done_cannot_be_cancelled(executor):
    future = executor.submit(SQUARE, 3)
    assert future.result() == 9
    assert not future.cancel()
    assert future.result() == 9


def test_cancelling_and_finishing_may_meet(executor):
    for _ in range(200):
        future = executor.submit(SQUARE, 3)
        if future.cancel():
            assert future.cancelled()
        else:
            assert future.result() == 9
    assert executor.submit(SQUARE, 4).result() == 16


def test_a_result_that_does_not_come_in_time_is_a_timeout(make_executor):
    future = make_executor().submit(ENDLESS)
    with pytest.raises(TimeoutError):
        future.result(0.01)
    with pytest.raises(TimeoutError):
        future.exception(0.01)
    future.cancel()


def test_callbacks_are_called(executor):
    called = threading.Event()
    future = executor.submit(SQUARE, 3)
    future.add_done_callback(lambda f: called.set() if f.result() == 9 else None)
    assert called.wait(30)


def test_asyncio_can_wait_for_it(executor):
    async def main():
        return await asyncio.wrap_future(executor.submit(SQUARE, 3))

    assert asyncio.run(main()) == 9


def test_it_says_what_it_is(make_executor):
    executor = make_executor()
    done = executor.submit("function(x)\n  return x\nend", 1)
    done.result()
    assert repr(done) == "<LuaFuture done: function(x) return x end>"
    failed = executor.submit("function() error('x') end")
    assert isinstance(failed.exception(), ScriptError)
    assert repr(failed) == "<LuaFuture failed: ScriptError: function() error('x') end>"
    endless = executor.submit("function() while true do end end")
    assert repr(endless).startswith(("<LuaFuture pending", "<LuaFuture running"))
    endless.cancel()
    assert repr(endless).startswith("<LuaFuture cancelled: function() while")


def test_a_loss_is_a_broken_executor(make_executor):
    future = make_executor().submit(ENDLESS)
    future.fail(ClusterLost("gone"))
    with pytest.raises(BrokenCluster, match="gone"):
        future.result(0)
    future.finish([b"\x01"])  # too late


def test_a_result_that_makes_no_sense_is_an_error(make_executor):
    future = make_executor().submit(ENDLESS)
    future.finish([b"\xc1"])
    assert future.exception(0) is not None


@pytest.mark.parametrize("is_locked", [False, True])
def test_a_forked_process_does_not_wait_for_ever(make_executor, is_locked):
    executor = make_executor()
    future = executor.submit(ENDLESS)
    lock = executor._bridge._lock if is_locked else contextlib.nullcontext()
    with lock:  # as another thread may hold it at that moment
        pid = os.fork()
        if not pid:
            code = 1
            try:
                for use in (future.result, future.exception, lambda: executor.submit(SQUARE, 1)):
                    try:
                        use()
                    except ExecutorClosed:
                        code = 0
                    else:
                        os._exit(2)
                future.cancel()
                executor.shutdown()
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert future.cancel()
