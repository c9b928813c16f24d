"""The life of an executor's thread and processes, however a program ends."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading

import psutil
import pytest

from midas_mp import Executor
from midas_mp.executor.broken import BrokenCluster

PYTHON = (sys.executable, "-W", "error", "-c")
START = "import midas_mp; e = midas_mp.Executor(max_workers=2)\n"
ENDLESS = "'function() while true do end end'"


@pytest.mark.parametrize(
    "program",
    [
        "print(e.submit('function() return 7 end').result())",
        "print(7)",
        f"f = e.submit({ENDLESS}); print(7)",
        f"m = e.map({ENDLESS}, range(9)); print(7)",
        "m = e.map('function(x) return x end', range(9)); next(m); print(7)",
        "e.shutdown(wait=False); print(7)",
        "print(7); del e",
        f"f = e.submit({ENDLESS}); print(7, flush=True); import os; os._exit(0)",
        "import os\nif not os.fork(): import sys; sys.exit()\nos.wait(); print(7)",
    ],
)
def test_a_program_ends_and_leaves_nothing_behind(start, program):
    finished = start(START + program, command=PYTHON).wait()
    assert (finished.code, finished.out.split()[-1], finished.err) == (0, "7", "")


def test_a_program_that_raises_ends_too(start):
    finished = start(START + f"f = e.submit({ENDLESS}); 1 / 0", command=PYTHON).wait()
    assert finished.code == 1
    assert finished.err.rstrip().endswith("ZeroDivisionError: division by zero")


def test_one_that_is_killed_leaves_nothing_behind(start):
    program = start(
        START + f"f = e.submit({ENDLESS}); print(7, flush=True); f.result()", command=PYTHON
    )
    program.wait_for("7")
    program.kill()


def test_control_c_ends_a_with_block_whose_calls_never_end(start):
    program = start(
        f"import midas_mp\nwith midas_mp.Executor(max_workers=1) as e:\n"
        f" f = e.submit({ENDLESS}); print(7, flush=True); f.result()",
        command=PYTHON,
    )
    program.wait_for("7")
    finished = program.stop(signal.SIGINT)
    assert finished.err.rstrip().endswith("KeyboardInterrupt")


def threads():
    return {t for t in threading.enumerate() if t.name == "midas executor"}


def test_an_executor_that_nobody_holds_ends_when_its_calls_have(nothing_left):
    before = threads()
    future = Executor(max_workers=1).submit("function() return 7 end")
    (thread,) = threads() - before
    assert future.result() == 7
    del future
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_a_map_holds_what_it_needs(nothing_left):
    before = threads()
    results = Executor(max_workers=1).map("function(x) return x end", range(5000), chunksize=1)
    (thread,) = threads() - before
    gc.collect()
    assert list(results) == list(range(5000))
    thread.join(30)
    assert not thread.is_alive()


def test_a_map_that_is_dropped_stops(make_executor):
    executor = make_executor()
    results = executor.map("function() while true do end end", range(10))
    del results
    gc.collect()
    assert executor.submit("function() return 7 end").result() == 7


def test_a_zygote_that_dies_breaks_the_executor(make_executor):
    before = set(psutil.Process().children())
    executor = make_executor()
    future = executor.submit("function() while true do end end")
    results = executor.map("function() while true do end end", range(3))
    (zygote,) = set(psutil.Process().children()) - before
    os.kill(zygote.pid, signal.SIGKILL)
    with pytest.raises(BrokenCluster, match="the zygote ended"):
        future.result()
    with pytest.raises(BrokenCluster, match="the zygote ended"):
        next(results)
    with pytest.raises(BrokenCluster, match="the zygote ended"):
        executor.submit("function() end").result()
    with pytest.raises(BrokenCluster, match="the zygote ended"):
        list(executor.map("function() end", [1]))
    executor.shutdown()


def test_one_that_cannot_be_opened_leaves_no_thread(nothing_left):
    before = threads()
    with pytest.raises(Exception, match="no host"):
        Executor("127.0.0.1:1")
    for thread in threads() - before:
        thread.join(30)
        assert not thread.is_alive()
