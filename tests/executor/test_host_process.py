"""Executors whose host has a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

import midas_mp.aio
from midas_mp import BrokenCluster, MidasError, limits
from midas_mp.client.client import Client
from midas_mp.errors import ClusterLost, ProcessLost
from midas_mp.executor import tether
from midas_mp.executor.cluster_process import MODULE
from midas_mp.executor.host_process import HostProcess
from midas_mp.participant.node_settings import NodeSettings

SQUARE = "function(x) return x * x end"
ENDLESS = "function() while true do end end"
SHARED = """
function generate_shared_data()
  local halves = {}
  for i = 1, 100000 do halves[i] = i / 2 end
  return halves
end
"""


@pytest.fixture
def make_with_host(make_executor):
    return partial(make_executor, host_process=True)


def host_process() -> psutil.Process:
    """Among the children of this process, where other tests may have executors, too."""
    found = []
    for each in psutil.Process().children():
        with contextlib.suppress(psutil.ZombieProcess):
            if MODULE in each.cmdline():
                found.append(each)
    (host,) = found
    return host


def test_calls_and_maps_are_as_ever(make_with_host):
    executor = make_with_host(max_workers=2)
    assert executor.submit(SQUARE, 7).result() == 49
    assert list(executor.map(SQUARE, range(5000))) == [x * x for x in range(5000)]
    assert list(executor.map(SQUARE, range(50), chunksize=1)) == [x * x for x in range(50)]
    with pytest.raises(midas_mp.ScriptError, match="deliberate"):
        executor.submit("function() error('deliberate') end").result()


def test_arrays_go_there_and_back(make_with_host):
    executor = make_with_host()
    double = "function(a) local b = a:copy() for i = 1, #b do b[i] = 2 * b[i] end return b end"
    values = midas_mp.empty(200_000)
    values[:] = np.arange(200_000)
    for given in (values, np.arange(200_000.0)):
        assert np.array_equal(executor.submit(double, given).result(), 2 * given)


def test_large_arrays_are_read_where_they_are(make_with_host):
    executor = make_with_host()
    values = midas_mp.empty(100_000)
    values[:] = 1
    total = "function(a) local sum = 0 for i = 1, #a do sum = sum + a[i] end return sum end"
    assert executor.submit(total, values).result() == 100_000
    made = executor.submit("function(n) return midas.array('float64', n) end", 100_000).result()
    mapped = Path(f"/proc/{host_process().pid}/maps").read_text()
    assert "memfd:midas-pool" in mapped
    assert "memfd:midas-outbound" in mapped
    assert values.sum() == 100_000
    executor.shutdown()
    assert made.sum() == 0


def test_many_large_arrays_keep_what_is_in_them(make_with_host):
    executor = make_with_host(max_workers=2)
    fill = "function(n) local a = midas.array('int32', n) for i = 1, n do a[i] = n end return a end"
    sizes = [30_000 + 1_000 * number for number in range(50)]
    kept = []
    for number, array in enumerate(executor.map(fill, sizes * 3, chunksize=1)):
        assert array.shape == (sizes[number % 50],)
        if number % 5 == 0:
            kept.append(array)
    again = executor.map("function(a) return a[#a] end", kept, chunksize=1)
    assert list(again) == [len(array) for array in kept]
    executor.shutdown()
    assert all((array == len(array)).all() for array in kept)


def test_a_script_runs_there_with_what_its_tasks_share(make_with_host, script):
    path = script("return shared_data[global_data.index + 1]", top=SHARED)
    assert make_with_host().run(path, tasks=3) == "0.5,1,1.5"


def test_a_running_call_can_be_cancelled(make_with_host):
    executor = make_with_host()
    future = executor.submit(ENDLESS)
    assert executor.submit(ENDLESS).cancel()
    assert future.cancel()
    assert executor.submit(SQUARE, 2).result(30) == 4


def test_a_lost_host_process_is_told_with_its_end(run):
    async def main():
        async with midas_mp.aio.Client(max_workers=1, host_process=True) as client:
            assert await client.submit(SQUARE, 3) == 9
            pending = asyncio.ensure_future(client.submit(ENDLESS))
            await asyncio.sleep(0)
            host_process().kill()
            with pytest.raises(BrokenCluster, match="host process ended: killed by SIGKILL"):
                await pending
            with pytest.raises(BrokenCluster, match="host process ended: killed by SIGKILL"):
                await client.submit(SQUARE, 3)

    run(main())


def test_one_that_is_frozen_keeps_nobody_from_closing(make_with_host, monkeypatch):
    monkeypatch.setattr(tether, "CLOSE_TIMEOUT_S", 0.2)
    executor = make_with_host()
    assert executor.submit(SQUARE, 3).result() == 9
    host_process().suspend()
    executor.shutdown()


def test_lost_workers_are_told_with_their_end(make_with_host):
    executor = make_with_host()
    future = executor.submit(ENDLESS)
    (zygote,) = host_process().children()
    zygote.kill()
    with pytest.raises(BrokenCluster, match="the zygote ended: killed by SIGKILL"):
        future.result()


def test_why_it_does_not_start_is_told(tmp_path, monkeypatch, nothing_left):
    (tmp_path / "uvloop.py").write_text("raise RuntimeError('no loop today')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(
        ProcessLost, match=r"(?s)the host process ended: exit code 1.*no loop today"
    ):
        midas_mp.Executor(max_workers=1, host_process=True)


def test_after_its_end_nobody_dials_it(run):
    async def main():
        host = HostProcess(NodeSettings("here", False, 1, 64 * limits.MB))
        psutil.Process(host.pid).kill()
        with pytest.raises(MidasError) as told:
            await Client(host, patience_s=0).connect()
        assert isinstance(told.value, ClusterLost | ProcessLost)
        assert "killed by SIGKILL" in str(told.value)
        await host.close()

    run(main())


def test_nothing_is_left_by_a_program_that_is_killed(commands):
    program = """
import time, midas_mp
executor = midas_mp.Executor(max_workers=2, host_process=True)
executor.submit("function() while true do end end")
print(executor.submit("function(x) return x end", 5).result(), flush=True)
time.sleep(1000)
"""
    parent = commands.start(
        "-c", program.replace("max_workers=1", "max_workers=2"), command=[sys.executable]
    )
    parent.wait_for(r"5\n")
    parent.kill()


def test_nothing_is_left_by_a_program_that_forgets_it(commands):
    program = """
import midas_mp
executor = midas_mp.Executor(max_workers=1, host_process=True)
endless = executor.submit("function() while true do end end")
"""
    assert commands.start("-c", program, command=[sys.executable]).wait() == (0, "", "")


def test_an_interrupt_is_the_affair_of_the_program(commands):
    """Ctrl-C goes to every process that the terminal knows as the program's."""
    program = """
import os, signal, time, midas_mp
os.setpgid(0, 0)
executor = midas_mp.Executor(max_workers=1, host_process=True)
try:
    print(executor.submit("function(x) return x end", 5).result(), flush=True)
    time.sleep(1000)
except KeyboardInterrupt:
    print(executor.submit("function(x) return x end", 6).result(), flush=True)
"""
    command = commands.start("-c", program, command=[sys.executable])
    command.wait_for(r"5\n")
    os.killpg(command.pid, signal.SIGINT)
    assert command.wait() == (0, "5\n6\n", "")
