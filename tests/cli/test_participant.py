"""``midas participant``: lends workers, outlives its hosts, leaves nothing behind."""

from __future__ import annotations

import signal

import psutil
import pytest

SPIN = 'print("spinning") while true do end'


@pytest.fixture
def host(start):
    return start("host", "--address", "127.0.0.1:0")


@pytest.fixture
def join(start):
    def join(where, *options):
        return start("participant", "--address", where, *options)

    return join


def test_it_serves_the_next_host_on_the_same_port(start, midas, join, host, script):
    where = host.address()
    node = join(where, "--workers", "2", "--name", "node")
    node.wait_for("joined the host as node, 2 workers")
    workers = node.children(2)
    path = script()
    for count in (1, 2):
        host.kill()
        node.wait_for("is gone", count=count)
        host = start("host", "--address", where)
        host.wait_for("listening")
        node.wait_for("back at the host as node, 2 workers", count=count)
        assert midas("run", path, "--address", where).out == "0,1\n"
    assert node.children(2) == workers


def test_what_runs_goes_on_while_its_host_is_restarted(start, join, host, script):
    where = host.address()
    node = join(where, "--workers", "1")
    path = script(
        'print("spinning") local ends = os.clock() + 1.5 '
        'while os.clock() < ends do end return "done"'
    )
    run = start("run", path, "--address", where, "--tasks", "1")
    run.wait_for("spinning")
    workers = node.children(1)
    host.kill()
    node.wait_for("is gone.*; 1 task goes on here")
    start("host", "--address", where).wait_for("listening")
    node.wait_for("back at the host")
    ended = run.wait()
    assert (ended.code, ended.out) == (0, "done\n")
    assert ended.err.count("spinning") == 1, "it ran once"
    assert node.children(1) == workers


@pytest.mark.parametrize("how", ["--once", "MIDAS_ONCE"])
def test_once_it_leaves_with_its_host(how, midas, start, join, host):
    options = ["--once"] if how == "--once" else []
    variables = {} if options else {how: "1"}
    where = ("--address", host.address(), "--workers", "1")
    node = start("participant", *where, *options, env=variables)
    node.wait_for("joined")
    processes = [node.zygote(), *node.children(1)]
    host.stop()
    ended = node.wait()
    assert (ended.code, ended.out) == (0, "")
    assert "is gone" not in ended.err
    assert not any(process.is_running() for process in processes)


def test_once_it_waits_for_a_host_that_broke_off(start, join, host):
    where = host.address()
    node = join(where, "--workers", "1", "--once")
    node.wait_for("joined")
    host.kill()
    node.wait_for("is gone")
    second = start("host", "--address", where)
    node.wait_for("back at the host")
    second.stop()
    assert node.wait().code == 0


@pytest.mark.parametrize("how", ["--idle-timeout=0.2s", "MIDAS_IDLE_TIMEOUT"])
def test_it_leaves_when_there_is_nothing_to_do(how, start, host):
    options = [how] if how.startswith("--") else []
    variables = {} if options else {how: "200ms"}
    address = host.address() if options else "127.0.0.1:1"
    where = ("--address", address, "--workers", "1")
    ended = start("participant", *where, *options, env=variables).wait()
    assert (ended.code, ended.out) == (0, "")
    assert "midas: nothing to do for 0.2 s; leaving" in ended.err


def test_an_idle_timeout_has_to_be_a_duration(midas):
    ended = midas("participant", "--idle-timeout", "soon")
    assert ended.code == 2
    assert "'soon' is not a duration" in ended.err


def test_workers_that_are_killed_are_replaced(midas, join, host, script):
    node = join(host.address(), "--workers", "2")
    node.wait_for("joined")
    killed = node.children(2)
    for worker in killed:
        worker.kill()
    psutil.wait_procs(killed, timeout=20)
    assert not set(node.children(2)) & set(killed)
    assert midas("run", script(), "--address", host.address(), "--tasks", "4").out == "0,1,2,3\n"


def test_it_ends_when_its_zygote_is_killed(join, host):
    node = join(host.address(), "--workers", "1")
    node.wait_for("joined")
    node.zygote().kill()
    ended = node.wait()
    assert ended.code == 4
    assert "midas: the zygote ended: killed by SIGKILL" in ended.err
    assert "Traceback" not in ended.err
    host.wait_for("midas: node .* (left|lost)")


def test_the_host_tells_when_it_is_killed(join, host):
    node = join(host.address(), "--workers", "1", "--name", "node")
    node.wait_for("joined")
    processes = [node.zygote(), *node.children(1)]
    node.send(signal.SIGKILL)
    host.wait_for("midas: node node lost: ")
    assert psutil.wait_procs(processes, timeout=20)[1] == []


def test_a_name_that_was_typed_and_is_taken_is_refused(midas, join, host):
    where = host.address()
    join(where, "--workers", "1", "--name", "twin").wait_for("joined")
    ended = midas("participant", "--address", where, "--workers", "1", "--name", "twin")
    assert (ended.code, ended.out) == (3, "")
    assert "midas: the name 'twin' is taken by another node: choose another --name" in ended.err


def test_a_name_that_nobody_typed_gets_a_number(join, host):
    where = host.address()
    names = set()
    for _ in range(2):
        node = join(where, "--workers", "1")
        names.add(node.wait_for(r"joined the host as (\S+),")[1])
    assert len(names) == 2
    shorter, longer = sorted(names, key=len)
    assert longer == f"{shorter}-2"


def test_options_may_come_from_the_environment(start, host):
    variables = {"MIDAS_ADDRESS": host.address(), "MIDAS_WORKERS": "3", "MIDAS_NAME": "lab"}
    node = start("participant", env=variables)
    node.wait_for("joined the host as lab, 3 workers")
    assert len(node.children(3)) == 3


def test_its_owner_bounds_the_memory_whatever_a_job_asks_for(midas, join, host, script):
    join(host.address(), "--workers", "1", "--memory", "32MB").wait_for("joined")
    path = script('return #("x"):rep(64 * 2^20)')
    ended = midas("run", path, "--tasks=1", "--memory=1GB", "--address", host.address())
    assert (ended.code, ended.out) == (1, "")
    assert "memory limit of 32 MB reached" in ended.err


def test_a_host_that_is_not_there_is_looked_for_and_told(join):
    node = join("127.0.0.1:1", "--workers", "1")
    node.wait_for("midas: waiting for a host: no host listens at 127.0.0.1:1")
    assert node.stop(signal.SIGINT).code == 130


SPIN_A_WHILE = (
    'print("spinning") local ends = os.clock() + 0.7 while os.clock() < ends do end '
    "return global_data.index"
)


def test_after_sigterm_it_finishes_what_runs_and_has_left(start, join, host, script):
    where = host.address()
    first = join(where, "--workers", "1", "--name", "first")
    first.wait_for("joined")
    run = start("run", script(SPIN_A_WHILE), "--address", where, "--tasks", "3")
    run.wait_for("spinning")
    join(where, "--workers", "1", "--name", "second").wait_for("joined")
    ended = first.stop(signal.SIGTERM)
    assert (ended.code, ended.out) == (0, "")
    assert "leaving: 1 task goes on here for up to 30 s" in ended.err
    assert ended.err.endswith("midas: left\n")
    host.wait_for("node first is leaving .draining.; what runs there has 30 s to end")
    host.wait_for("node first left: drained")
    done = run.wait()
    assert (done.code, done.out) == (0, "0,1,2\n")
    assert done.err.count("spinning") == 3, "each ran once"
    assert "lost" not in host.err


def test_what_does_not_end_in_its_grace_goes_to_others(start, join, host, script):
    where = host.address()
    first = join(where, "--workers", "1", "--name", "first", "--grace", "200ms")
    first.wait_for("joined")
    path = script(
        "if midas.node == 'first' then print('spinning') while true do end end "
        "return midas.attempt",
    )
    run = start("run", path, "--address", where, "--tasks", "1")
    run.wait_for("spinning")
    join(where, "--workers", "1", "--name", "second").wait_for("joined")
    ended = first.stop(signal.SIGTERM)
    assert ended.code == 0
    assert "1 task is not done after 0.2 s and left to others" in ended.err
    done = run.wait()
    assert (done.code, done.out) == (0, "1\n")
    assert "lost" not in host.err


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_wait(start, join, host, script, signum):
    node = join(host.address(), "--workers", "1", "--name", "node")
    node.wait_for("joined")
    run = start("run", script(SPIN), "--address", host.address(), "--tasks", "1")
    run.wait_for("spinning")
    node.send(signal.SIGTERM)
    node.wait_for("1 task goes on here")
    assert node.stop(signum).code == 128 + signum
    host.wait_for("node node left: ")


def test_sigterm_ends_one_that_has_nothing_to_do_at_once(join, host):
    node = join(host.address(), "--workers", "1")
    node.wait_for("joined")
    ended = node.stop(signal.SIGTERM)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.endswith("midas: left\n")
    waiting = join("127.0.0.1:1", "--workers", "1")
    waiting.wait_for("waiting for a host")
    assert waiting.stop(signal.SIGTERM).code == 0
