"""``midas host``: with a script and without."""

from __future__ import annotations

import signal
import socket

import msgspec
import psutil
import pytest

from midas_mp.wire.messages import PROTOCOL_VERSION

ANYWHERE = ("--address", "127.0.0.1:0")
SPIN = "while true do end"
SPIN_FIRST = f'if midas.index == 2 and midas.attempt == 0 then print("spinning") {SPIN} end'


def listed(count):
    return ",".join(map(str, range(count))) + "\n"


@pytest.fixture
def participant(start):
    def join(where, *options):
        return start("participant", "--address", where, "--workers", "1", *options)

    return join


@pytest.fixture
def free_address():
    """An address where nobody listens now; another process may take it, though that is rare."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def exchange(where, data):
    """What a host answers to bytes, until it hangs up."""
    host, port = where.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as peer:
        peer.sendall(data)
        answer = b""
        while piece := peer.recv(65_536):
            answer += piece
        return answer


def test_participants_may_come_before_and_after_the_host(start, participant, script, free_address):
    before = participant(free_address, "--name", "before")
    before.wait_for("waiting for a host")
    run = start("host", script(), "--address", free_address, "--tasks", "4x", "--workers-min", "2")
    run.wait_for("node before joined")
    after = participant(free_address, "--name", "after")
    assert run.wait()[:2] == (0, listed(8))
    for node in (before, after):
        node.wait_for(r"is gone \(the script is done\); waiting for the next one")


def test_a_participant_that_is_killed_costs_no_result(start, participant, script):
    path = script(f"{SPIN_FIRST} return global_data.index")
    run = start("host", path, *ANYWHERE, "--tasks", "60", "--workers-min", "2")
    where = run.address()
    nodes = {name: participant(where, "--name", name) for name in ("one", "two")}
    victim = run.wait_for(r"\[2 (one|two)-000\] spinning")[1]
    processes = [nodes[victim].zygote(), *nodes[victim].children(1)]
    nodes[victim].kill()
    ended = run.wait()
    assert (ended.code, ended.out) == (0, listed(60))
    assert f"midas: node {victim} lost: " in ended.err
    assert psutil.wait_procs(processes, timeout=20)[1] == []


def test_a_participant_that_is_stopped_costs_no_result(start, participant, script):
    path = script(f"{SPIN_FIRST} return global_data.index")
    run = start("host", path, *ANYWHERE, "--tasks", "60", "--workers-min", "2")
    where = run.address()
    nodes = {name: participant(where, "--name", name) for name in ("one", "two")}
    victim = run.wait_for(r"\[2 (one|two)-000\] spinning")[1]
    assert nodes[victim].stop(signal.SIGINT).code == 130
    assert run.wait()[:2] == (0, listed(60))


def test_without_workers_it_says_so_until_somebody_joins(start, participant, script):
    run = start("host", script(), *ANYWHERE, "--tasks", "5")
    run.wait_for("midas: waiting for 1 worker: no node is connected; 'midas ", count=2)
    participant(run.address())
    assert run.wait()[:2] == (0, listed(5))


def test_waiting_for_workers_may_be_bounded(midas, script):
    ended = midas("host", script(), *ANYWHERE, "--wait", "200ms", "--workers-min", "2")
    assert (ended.code, ended.out) == (4, "")
    assert "midas: after 0.2 s there are fewer than 2 workers; start a participant" in ended.err


def test_the_end_of_its_zygote_is_told_while_it_waits(start, script):
    run = start("host", script(), *ANYWHERE)
    run.wait_for("listening")
    run.zygote().kill()
    ended = run.wait()
    assert (ended.code, ended.out) == (4, "")
    assert "killed by SIGKILL" in ended.err
    assert "Traceback" not in ended.err


def test_an_error_of_the_script_needs_no_worker(midas, script):
    ended = midas("host", script(top='error("no luck", 0)'), *ANYWHERE)
    assert (ended.code, ended.out) == (1, "")
    assert "midas: script error in main chunk\n  no luck" in ended.err


def test_an_error_in_a_task_ends_the_host(start, participant, script):
    run = start("host", script('error("no luck", 0)'), *ANYWHERE)
    participant(run.address(), "--name", "node")
    ended = run.wait()
    assert (ended.code, ended.out) == (1, "")
    assert "midas: script error in execute_code, task 0, on node-000\n  no luck" in ended.err


def test_a_port_that_is_taken_is_told(start, midas, script):
    where = start("host", *ANYWHERE).address()
    for command in (["host"], ["host", script()]):
        ended = midas(*command, "--address", where)
        assert (ended.code, ended.out) == (4, "")
        assert ended.err.startswith(f"midas: {where} is taken by another process: stop it, or")


def test_a_host_that_is_killed_leaves_nothing(start, participant, script):
    run = start("host", script(f'print("spinning") {SPIN}'), *ANYWHERE)
    node = participant(run.address())
    run.wait_for("spinning")
    processes = [run.zygote(), *run.children(1)]
    run.send(signal.SIGKILL)
    assert psutil.wait_procs(processes, timeout=20)[1] == []
    node.wait_for("is gone")


@pytest.mark.parametrize(
    ("version", "who"), [(PROTOCOL_VERSION + 1, "the host's"), (0, "the peer's")]
)
def test_another_version_is_refused_with_what_to_upgrade(start, version, who):
    host = start("host", *ANYWHERE)
    body = msgspec.msgpack.encode([version, "whatever", "it says"])
    opening = b"midas\x01" + len(body).to_bytes(2, "little") + body
    answer = exchange(host.address(), opening)
    assert answer.startswith(b"midas\x04")
    code, reason = msgspec.msgpack.decode(answer[8:])
    assert code == "version"
    assert f"speaks protocol {version}" in reason
    assert reason.endswith(f"upgrade midas_mp on {who} machine")
    assert reason in host.wait_for(r"midas: 127\.0\.0\.1:\d+ was refused: .*\n")[0]


def test_noise_on_the_port_hurts_nobody(start, midas, participant, script):
    host = start("host", *ANYWHERE)
    where = host.address()
    participant(where).wait_for("joined")
    for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 64, b"\xff" * 4096, b""):
        if noise:
            assert exchange(where, noise) == b""
        else:
            host_name, port = where.split(":")
            socket.create_connection((host_name, int(port))).close()
    assert midas("run", script(), "--address", where, "--tasks", "5").out == listed(5)
    assert host.process.poll() is None
    assert "Traceback" not in host.err


@pytest.mark.parametrize("option", [("--tasks", "4x"), ("--workers-min", "2"), ("--wait", "1s")])
def test_a_standing_host_refuses_options_that_it_would_ignore(midas, option):
    end = midas("host", *ANYWHERE, *option)
    assert end.code == 2
    assert f"{option[0]} belongs to a job" in end.err
