"""Clusters of real processes, which users of the library may harm in their tests."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from midas_mp import ExecutorClosed, JobKilled, LocalCluster, ScriptError, UsageError
from midas_mp.blobs import farewells
from midas_mp.blobs.mapping import locate
from midas_mp.blobs.pool import SharedFile
from midas_mp.errors import ProcessLost
from midas_mp.executor import tether
from midas_mp.testing import Blow, Faults

SQUARE = "function(x) return x * x end"
ENDLESS = "function() while true do end end"
NODE = "function() return midas.node end"
BUSY = """
function(x)
  local start = os.clock()
  while os.clock() - start < 0.004 do end
  return { x * x, midas.node }
end
"""


@pytest.fixture(scope="module")
def shared_cluster():
    with LocalCluster(workers=1, participants=2) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster):
    """Must be left as it was."""
    return shared_cluster


@pytest.fixture
def broken_python(tmp_path, monkeypatch):
    """Processes of ours do not start."""
    (tmp_path / "uvloop.py").write_text("raise RuntimeError('no loop today')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def test_all_its_workers_compute(cluster):
    with cluster.executor() as executor:
        assert executor.submit(SQUARE, 7).result() == 49
        results = list(executor.map(BUSY, range(200), chunksize=1))
    assert [result[0] for result in results] == [x * x for x in range(200)]
    assert {result[1] for result in results} == {"node-0", "node-1"}


def test_it_says_what_it_is(cluster):
    assert repr(cluster) == (
        f"<midas_mp.LocalCluster at {cluster.address}, 2 participants of 1 worker>"
    )
    assert [member.name for member in (cluster.host, *cluster.participants)] == [
        *("host", "node-0", "node-1")
    ]
    assert repr(cluster.participants[0]) == f"<node-0, process {cluster.participants[0].pid}>"


def test_other_programs_find_it_at_its_address(cluster, midas, script):
    ended = midas("run", script(), "--tasks", "3", "--address", cluster.address)
    assert ended == (0, "0,1,2\n", "")


def test_a_job_that_somebody_kills_breaks_its_executor_and_no_other(cluster, midas):
    at = ("--address", cluster.address)
    with cluster.executor() as killed, cluster.executor() as other:
        future = killed.submit(ENDLESS)
        while not (listed := re.search(r"\n(\w+) +started +0 +1 ", midas("jobs", *at).out)):
            pass
        assert midas("kill", listed[1], *at).code == 0
        with pytest.raises(BrokenExecutor, match=r"the job was killed by \S+@\S+") as caught:
            future.result()
        assert isinstance(caught.value.__cause__, JobKilled)
        with pytest.raises(BrokenExecutor, match="the job was killed"):
            killed.submit(SQUARE, 1).result()
        assert other.submit(SQUARE, 7).result() == 49


def test_threads_have_executors_of_their_own(cluster):
    results = {}

    def work(number):
        with cluster.executor() as executor:
            results[number] = list(executor.map(SQUARE, range(number, number + 500)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: [x * x for x in range(n, n + 500)] for n in range(6)}


USES = """
function(path)
  local reads, why = pcall(io.open, path)
  return { (pcall(os.clock)), reads or why }
end
"""


def test_tasks_may_use_what_it_grants_and_an_executor_asks_for(tmp_path, midas):
    (tmp_path / "a.txt").write_text("text")
    path = str(tmp_path / "a.txt")
    grants = {"allow": [f"read={tmp_path}"], "deny": ["clock", "jit"], "sandbox_level_min": 1}
    with LocalCluster(workers=1, **grants) as cluster:
        (node,) = json.loads(midas("workers", "--json", "--address", cluster.address).out)
        assert node["permits"] == f"read={tmp_path}"
        with cluster.executor() as executor, cluster.executor(deny=["read"]) as other:
            assert executor.submit(USES, path).result() == [False, True]
            assert (
                "reading files is not what this job asks for"
                in (other.submit(USES, path).result()[1])
            )


def test_a_cluster_that_is_confined_less_than_is_wanted_does_not_start():
    with (
        pytest.raises(ProcessLost, match="reaches only sandbox level 1 of 3"),
        LocalCluster(workers=1, sandbox_level_max=1, sandbox_level_min=2),
    ):
        pass


DOUBLED = """
function(a)
  local b = a:copy()
  for i = 1, #b do b[i] = 2 * b[i] end
  return b
end
"""
LONG = 50_000


def open_count():
    return len(list(Path("/proc/self/fd").iterdir()))


def shared_files(member):
    """What a process has mapped of others' shared memory."""
    lines = Path(f"/proc/{member.pid}/maps").read_text().splitlines()
    return {line.split("memfd:")[1] for line in lines if "memfd:" in line and "r--s" in line}


def test_arrays_stay_where_they_are(cluster):
    with cluster.executor() as executor:
        given = [np.arange(LONG) + float(number) for number in range(20)]
        results = list(executor.map(DOUBLED, given, chunksize=1))
        for member in (cluster.host, *cluster.participants):
            assert "midas-pool (deleted)" in shared_files(member)
        assert "midas-outbound (deleted)" in shared_files(cluster.host)
        for result in results:
            mapping, _ = locate(result)
            assert isinstance(mapping, SharedFile)
        again = list(executor.map(DOUBLED, results, chunksize=1))
    assert all((now == 4 * before).all() for now, before in zip(again, given, strict=True))


def test_arrays_outlive_executor_host_and_participants(nothing_left):
    before = open_count()
    with LocalCluster(workers=2) as cluster:
        with cluster.executor() as executor:
            kept = list(executor.map(DOUBLED, [np.full(LONG, float(n)) for n in range(40)]))
            del kept[::2]
        with cluster.executor() as executor:
            numbers = range(100, 140)
            late = list(executor.map(DOUBLED, [np.full(LONG, float(n)) for n in numbers]))
            cluster.host.kill()
        cluster.participants[0].kill()
    assert all((array == 2 * (2 * i + 1)).all() for i, array in enumerate(kept))
    assert all((array == 2 * (100 + i)).all() for i, array in enumerate(late))
    kept.clear()
    late.clear()
    gc.collect()
    farewells.sweep()
    assert not farewells._farewells
    assert open_count() <= before


def test_a_host_that_is_started_again_is_shown_what_the_last_one_was(nothing_left):
    with LocalCluster(workers=2) as cluster, cluster.executor() as executor:
        results = executor.map(DOUBLED, [np.full(LONG, float(n)) for n in range(80)], chunksize=1)
        kept = list(itertools.islice(results, 20))
        cluster.host.kill()
        cluster.host.restart()
        kept += results
        again = executor.map(DOUBLED, kept, chunksize=1)
        assert all((array == 4 * number).all() for number, array in enumerate(again))
        assert "midas-outbound (deleted)" in shared_files(cluster.host)
    assert all((array == 2 * number).all() for number, array in enumerate(kept))


UNDER_A_SMALL_SHM = """
import os
import numpy as np
import psutil
from midas_mp import LocalCluster

def main():
    with LocalCluster(workers=1) as cluster, cluster.executor() as executor:
        given = np.arange(2.0**24)
        taken = executor.submit("function(a) return a:copy() end", given).result()
        assert (taken == given).all()
        for member in (*cluster.participants, cluster.host):
            member.kill()
        assert os.listdir("/dev/shm") == []
        print("all of it")

main()
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not here")
def test_a_small_dev_shm_bounds_nothing(nothing_left):
    """64 MB are what a container has; an array of 128 MB goes there and back."""
    mount = "mount -t tmpfs -o size=64m tmpfs /dev/shm"
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces are not allowed here")
    command += [sys.executable, "-c", UNDER_A_SMALL_SHM]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "all of it\n"), ended.stderr


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_participant_that_goes_takes_no_result_along(how, nothing_left):
    with LocalCluster(workers=2, participants=2) as cluster, cluster.executor() as executor:
        results = executor.map(BUSY, range(200), chunksize=1)
        seen = list(itertools.islice(results, 50))
        getattr(cluster.participants[0], how)()
        assert [member.is_alive for member in cluster.participants] == [False, True]
        assert repr(cluster.participants[0]) == "<node-0, ended>"
        seen += results
        assert [result[0] for result in seen] == [x * x for x in range(200)]
        assert executor.submit(NODE).result() == "node-1"


def test_another_participant_takes_the_place_of_lost_ones(nothing_left):
    with LocalCluster(workers=1) as cluster, cluster.executor() as executor:
        futures = [executor.submit(BUSY, x) for x in range(20)]
        cluster.participants[0].kill()
        assert cluster.add_participant() is cluster.participants[1]
        assert [future.result()[0] for future in futures] == [x * x for x in range(20)]
        assert executor.submit(NODE).result() == "node-1"


def test_a_program_on_asyncio_uses_it_too(run):
    async def main():
        async with LocalCluster(workers=1) as cluster, cluster.client() as client:
            assert await client.submit(SQUARE, 3) == 9
            return [x async for x in client.map(SQUARE, range(100))]

    assert run(main()) == [x * x for x in range(100)]


def test_a_start_that_is_given_up_leaves_nothing(run):
    async def main():
        cluster = LocalCluster(workers=1)
        entering = asyncio.ensure_future(cluster.__aenter__())
        await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert not cluster.host.is_alive

    run(main())


def test_closing_it_ends_its_executors(nothing_left):
    cluster = LocalCluster(workers=1)
    executor = cluster.executor(timeout=100)
    future = executor.submit(ENDLESS)
    cluster.close()
    assert future.cancelled()
    with pytest.raises(ExecutorClosed):
        executor.submit(SQUARE, 1)
    with pytest.raises(UsageError, match="the cluster is closed"):
        cluster.add_participant()
    cluster.close()
    executor.shutdown()


def test_members_that_are_frozen_keep_nobody_from_closing(nothing_left, monkeypatch):
    monkeypatch.setattr(tether, "CLOSE_TIMEOUT_S", 0.2)
    with LocalCluster(workers=1, participants=2) as cluster:
        for member in (cluster.host, *cluster.participants):
            os.kill(member.pid, signal.SIGSTOP)


def test_a_host_that_is_started_again_is_where_it_was(nothing_left):
    with LocalCluster(workers=1) as cluster, cluster.executor() as executor:
        with pytest.raises(UsageError, match="host runs: kill or terminate it first"):
            cluster.host.restart()
        cluster.host.kill()
        future = executor.submit(SQUARE, 3)
        cluster.host.restart()
        assert future.result() == 9


def test_a_participant_that_is_started_again_has_its_name(nothing_left):
    with LocalCluster(workers=1) as cluster, cluster.executor() as executor:
        cluster.participants[0].kill()
        cluster.participants[0].restart()
        assert executor.submit(NODE).result() == "node-0"
    with pytest.raises(UsageError, match="the cluster is closed"):
        cluster.participants[0].restart()


def test_what_goes_wrong_by_itself_costs_no_result(nothing_left):
    faults = Faults(seed=3, kill_worker_s=0.2, kill_participant_s=1, cut_s=1)
    cluster = LocalCluster(workers=1, participants=2, faults=faults)
    with cluster, cluster.executor() as executor:
        results = executor.map(BUSY, range(300), chunksize=1)
        assert [result[0] for result in results] == [x * x for x in range(300)]
        cluster.strike(Blow.KILL_WORKER)
        assert cluster.calm()[Blow.KILL_WORKER] > 0
        assert executor.submit(SQUARE, 4).result() == 16


def test_nothing_goes_wrong_where_nothing_was_said_of_it(cluster):
    assert cluster.calm() == {}
    with pytest.raises(UsageError, match=r"faults=Faults\(\)"):
        cluster.strike(Blow.CUT)


def test_an_exception_leaves_nothing(nothing_left):
    with pytest.raises(ZeroDivisionError), LocalCluster(workers=1):
        raise ZeroDivisionError


def test_one_that_is_forgotten_is_gone(nothing_left):
    cluster = LocalCluster(workers=1)
    cluster.wait_ready()
    del cluster
    gc.collect()


def test_an_executor_keeps_its_cluster(nothing_left):
    executor = LocalCluster(workers=1).executor()
    gc.collect()
    assert executor.submit(SQUARE, 5).result() == 25
    executor.shutdown()
    del executor
    gc.collect()


def test_memory_is_that_of_each_lua_state(nothing_left):
    with LocalCluster(workers=1, memory="32MB") as cluster, cluster.executor() as executor:
        with pytest.raises(ScriptError) as told:
            executor.submit("function() return #string.rep('x', 100 * 2 ^ 20) end").result()
        assert told.value.kind == "memory"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"workers": 0}, "workers must be a whole number from 1 to 1024, not 0"),
        ({"participants": 1.5}, "participants must be a whole number from 1 to 1024, not 1.5"),
        ({"memory": "much"}, "much"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(UsageError, match=text):
        LocalCluster(**options)


def test_why_it_does_not_start_is_shown(broken_python, nothing_left):
    with pytest.raises(ProcessLost, match=r"(?s)ended: exit code 1.*no loop today"), LocalCluster():
        pass
    with pytest.raises(ProcessLost, match="no loop today"):
        LocalCluster().executor()


def test_a_start_takes_no_longer_than_it_may(nothing_left):
    with pytest.raises(ProcessLost, match=r"not there within 0\.001 s"):
        LocalCluster(workers=1, start_timeout=0.001).__enter__()


PROGRAM = """
import sys, time, midas_mp
cluster = midas_mp.LocalCluster(workers=1)
executor = cluster.executor()
future = executor.submit("function() while true do end end")
print("ready", flush=True)
"""


def test_nothing_is_left_by_a_program_that_is_killed(commands):
    parent = commands.start("-c", PROGRAM + "time.sleep(1000)", command=[sys.executable])
    parent.wait_for("ready")
    parent.kill()


def test_nothing_is_left_by_a_program_that_forgets_it(commands):
    assert commands.start("-c", PROGRAM, command=[sys.executable]).wait() == (0, "ready\n", "")


def test_what_a_stopped_worker_was_given_another_node_runs_as_well():
    where = "function() return { midas.attempt, midas.node } end"
    with LocalCluster(workers=1, participants=2) as cluster, cluster.executor() as executor:
        first = list(executor.map(where, [None] * 8, chunksize=1))
        assert {node for _, node in first} == {"node-0", "node-1"}
        zygotes = psutil.Process(cluster.participants[0].pid).children()
        for worker in (worker for zygote in zygotes for worker in zygote.children()):
            worker.suspend()
        runs = list(executor.map(where, [None] * 2, chunksize=1))
        assert sorted(runs) == [[0, "node-1"], [1, "node-1"]]
