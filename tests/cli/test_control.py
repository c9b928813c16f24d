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
