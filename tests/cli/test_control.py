"""``midas jobs``, ``midas pause`` and ``midas resume`` at a host with real workers."""

from __future__ import annotations

import re

import psutil
import pytest

SPIN = (
    "if midas.index < {} then print('spinning on ' .. midas.worker .. '.') "
    "local ends = os.clock() + 1.5 while os.clock() < ends do end end return midas.index"
)
"""Long enough for a command to come in between."""


@pytest.fixture
def cluster(start):
    """A standing host, and one participant called node with two workers."""
    host = start("host", "--address", "127.0.0.1:0")
    node = start("participant", "--address", host.address(), "--workers", "2", "--name", "node")
    node.wait_for("joined")
    return host, node


def stopped(node):
    return [p for p in node.zygote().children() if p.status() == psutil.STATUS_STOPPED]


def test_a_job_that_is_paused_stops_in_tight_loops(start, midas, script, cluster):
    host, node = cluster
    at = ("--address", host.address())
    run = start("run", script(SPIN.format(2)), *at, "--tasks", "4")
    run.wait_for("spinning", count=2)
    job = host.wait_for(r"job (\w+) \(job.lua\) queued")[1]
    assert midas("pause", job, *at) == (0, "", f"midas: job {job} is paused\n")
    node.wait_until(lambda: len(stopped(node)) == 2)
    run.wait_for("the job is paused")
    listed = midas("jobs", *at)
    assert re.search(rf"\n{job}  paused +2 +2 +0 +client-\d+  job.lua\n", listed.out)
    run.wait_for(f"paused; 'midas resume {job}' lets it go on")
    assert midas("resume", job, *at) == (0, "", f"midas: job {job} goes on\n")
    ended = run.wait()
    assert (ended.code, ended.out) == (0, "0,1,2,3\n")
    assert ended.err.count("spinning") == 2, "each ran once"
    assert stopped(node) == []


def test_what_waits_behind_a_paused_worker_goes_to_the_others(start, midas, script, cluster):
    host, node = cluster
    at = ("--address", host.address())
    run = start("run", script(SPIN.format(1)), *at, "--tasks", "40")
    worker = run.wait_for(r"spinning on (\S+)\.")[1]
    assert midas("pause", worker, *at).err == f"midas: worker {worker} is paused\n"
    node.wait_until(lambda: len(stopped(node)) == 1)
    run.wait_for("waiting for workers that are paused")
    assert re.search(r" +started +0 +1 +\d+ +client", midas("jobs", *at).out)
    assert midas("resume", worker, *at).code == 0
    ended = run.wait()
    assert (ended.code, ended.out) == (0, ",".join(map(str, range(40))) + "\n")


def test_a_paused_node_gets_nothing_new(start, midas, script, cluster):
    host, node = cluster
    at = ("--address", host.address())
    assert midas("pause", "node", *at).err == "midas: node node is paused\n"
    run = start("run", script(), *at, "--tasks", "3")
    run.wait_for("waiting for workers that are paused; 'midas resume' lets them go on")
    start("participant", *at, "--workers", "1", "--name", "other").wait_for("joined")
    assert run.wait().out == "0,1,2\n"
    assert midas("resume", "node", *at).code == 0
    node.wait_until(lambda: not stopped(node))


def test_a_job_that_is_paused_can_be_stopped(start, midas, script, cluster):
    host, node = cluster
    at = ("--address", host.address())
    run = start("run", script('print("spinning") while true do end'), *at, "--tasks", "1")
    run.wait_for("spinning")
    job = host.wait_for(r"job (\w+) \(job.lua\) queued")[1]
    assert midas("pause", job, *at).code == 0
    node.wait_until(lambda: len(stopped(node)) == 1)
    assert run.stop().code == 143
    node.wait_until(lambda: not stopped(node))
    assert midas("run", script(), *at, "--tasks", "3").out == "0,1,2\n"


def test_who_is_not_there_cannot_be_paused(midas, cluster):
    host, _ = cluster
    ended = midas("pause", "nobody", "--address", host.address())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "midas: no job, node or worker here is called nobody\n"


def test_without_a_host_there_is_nothing_to_ask(midas):
    ended = midas("jobs", "--address", "127.0.0.1:1")
    assert (ended.code, ended.out) == (4, "")
    assert "no host listens at 127.0.0.1:1" in ended.err


def test_a_job_that_is_killed_ends_in_tight_loops(start, midas, script, cluster):
    host, node = cluster
    at = ("--address", host.address())
    run = start("run", script('print("spinning") while true do end'), *at, "--tasks", "4")
    run.wait_for("spinning", count=2)
    processes = node.busy_children(2)
    job = host.wait_for(r"job (\w+) \(job.lua\) queued")[1]
    assert midas("kill", job, *at) == (0, "", f"midas: job {job} is killed\n")
    ended = run.wait()
    assert (ended.code, ended.out) == (4, "")
    assert re.search(r"\nmidas: the job was killed by \S+@\S+\n$", ended.err)
    host.wait_for(rf"job {job} \(job.lua\) ended: killed by \S+@\S+")
    node.wait_until(lambda: not any(p.is_running() for p in processes))
    assert midas("jobs", *at).out == f"the host at {host.address()} has no jobs\n"
    assert midas("run", script(), *at, "--tasks", "3").out == "0,1,2\n"
    assert midas("kill", job, *at).err == f"midas: no job, node or worker here is called {job}\n"


def test_a_job_that_was_killed_goes_on_from_its_journal(start, midas, script, cluster, tmp_path):
    host, _ = cluster
    at = ("--address", host.address())
    journal = ("--journal", str(tmp_path / "job.journal"))
    body = "if midas.index > 3 then {} end print('task ' .. midas.index .. '.') return midas.index"
    path = script(body.format("print('stuck.') while midas.attempt == 0 do end"))
    run = start("run", path, *at, "--tasks", "6", *journal)
    run.wait_for(r"stuck\.", count=2)
    run.wait_for(r"task 3\.")
    node = midas("journal", "show", str(tmp_path / "job.journal"))
    assert node.code in (0, 4)
    job = host.wait_for(r"job (\w+) \(job.lua\) queued")[1]
    assert midas("kill", job, *at).code == 0
    ended = run.wait()
    assert ended.code == 4
    assert ended.err.endswith(f"midas: the same command goes on from {journal[1]}\n")
    again = start("run", path, *at, "--tasks", "6", *journal)
    again.wait_for(r"stuck\.", count=2)
    for worker in ("node-000", "node-001"):
        assert midas("kill", worker, *at).code == 0
    ended = again.wait()
    assert (ended.code, ended.out) == (0, "0,1,2,3,4,5\n")
    assert not re.search(r"task [0-3]\.", ended.err), "these were done"


@pytest.mark.parametrize("is_paused", [False, True])
def test_the_task_of_a_killed_worker_runs_again_and_is_not_to_blame(
    start, midas, script, cluster, is_paused
):
    host, node = cluster
    at = ("--address", host.address())
    stuck = (
        "if midas.index == 1 and midas.attempt < 4 then print('stuck on ' .. midas.worker .. '.')"
    )
    run = start(
        "run", script(stuck + " while true do end end return midas.index"), *at, "--tasks", "3"
    )
    for count in range(1, 5):
        worker = run.wait_for(r"stuck on (\S+)\.", count=count)[1]
        (process,) = node.busy_children(1)
        if is_paused:
            assert midas("pause", worker, *at).code == 0
            node.wait_until(lambda: len(stopped(node)) == 1)
        assert midas("kill", worker, *at) == (0, "", f"midas: worker {worker} is killed\n")
        node.wait_until(lambda process=process: not process.is_running())
        if is_paused:
            node.children(2)
            assert midas("resume", worker, *at).code == 0
    ended = run.wait()
    assert (ended.code, ended.out) == (0, "0,1,2\n")
    told = r"midas: worker node-\d+ was killed by \S+@\S+"
    assert len(re.findall(rf"{told}; what it was at runs again\n", ended.err)) == 4
    host.wait_for(r"worker node-\d+ killed by \S+@\S+", count=4)
    node.wait_for(rf"{told}\n", count=4)


def test_a_node_that_is_killed_ends_and_its_tasks_go_elsewhere(start, midas, script, cluster):
    host, node = cluster
    at = ("--address", host.address())
    stuck = "if midas.node == 'node' then print('stuck.') while true do end end return midas.index"
    run = start("run", script(stuck), *at, "--tasks", "3")
    run.wait_for(r"stuck\.", count=2)
    processes = node.busy_children(2)
    start("participant", *at, "--workers", "1", "--name", "other").wait_for("joined")
    assert midas("kill", "node", *at) == (0, "", "midas: node node is killed\n")
    ended = node.wait()
    where = host.address()
    assert ended.code == 0
    assert re.search(
        rf"\nmidas: the host at {where} ended this participant: killed by \S+@\S+\n$", ended.err
    )
    assert not any(process.is_running() for process in processes)
    host.wait_for(r"node node left: killed by \S+@\S+")
    ended = run.wait()
    assert (ended.code, ended.out) == (0, "0,1,2\n")


def test_who_is_not_there_cannot_be_killed(midas, cluster):
    host, _ = cluster
    ended = midas("kill", "nobody", "--address", host.address())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "midas: no job, node or worker here is called nobody\n"


def test_with_a_token_one_manages_ones_own_jobs_and_with_one_for_operators_all(
    start, midas, script, tmp_path
):
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    host = start("host", "--address", "0.0.0.0:0", env=state)
    at = ("--address", "127.0.0.1:" + host.wait_for(r"listening on .*:(\d+)")[1])

    def token(kind):
        return {"MIDAS_TOKEN": midas("token", "new", "--for", kind, env=state).out.strip()}

    mine, yours, operator = token("clients"), token("clients"), token("operators")
    node = start("participant", *at, "--workers", "1", "--name", "node", env=token("participants"))
    node.wait_for("joined")
    run = start("run", script("print('stuck') while true do end"), *at, "--tasks", "1", env=mine)
    run.wait_for("stuck")
    job = host.wait_for(r"job (\w+) \(job.lua\) queued")[1]
    only = "midas: only the host's own user may kill {}, or who has a token for operators: 'midas "
    for target, label, env in (
        (job, f"job {job}", yours),
        ("node", "node node", mine),
        ("node-000", "worker node-000", mine),
    ):
        refused = midas("kill", target, *at, env=env)
        assert refused.code == 3
        assert refused.err.startswith(only.format(label))
        assert refused.err.count("\n") == 1
    assert midas("pause", job, *at, env=mine).code == 0
    assert midas("kill", "node-000", *at, env=operator).code == 0
    host.wait_for(r"worker node-000 killed by \S+@\S+ \(token [0-9a-f]{16}\)")
    assert midas("resume", job, *at, env=operator).code == 0
    run.wait_for("stuck", count=2)
    assert midas("kill", job, *at, env=mine).code == 0
    assert run.wait().code == 4
    assert midas("kill", "node", *at, env=state).code == 0, "of the host's own user"
    assert node.wait().code == 0
