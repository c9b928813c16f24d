"""Processes that end with their parent, or when it lets go of them."""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time

import psutil
import pytest

from midas_mp.errors import ProcessLost
from midas_mp.executor import tether
from midas_mp.executor.tether import TetheredProcess, wait_heard

CHILD = """
import asyncio, sys
from midas_mp.executor.tether import Tether, ignore_signals

async def main():
    tether = Tether.attach(*sys.argv[1:3])
    tether.say("here I am")
    {body}

ignore_signals()
asyncio.run(main())
"""

SERVE = """
    while (socks := await tether.receive()) is not None:
        for sock in socks:
            sock.sendall(sock.recv(9))
            sock.close()
    tether.say("bye")
"""

PARENT = """
import os, sys, time
from midas_mp.executor.tether import TetheredProcess, wait_heard
process = TetheredProcess("a child", "tethered_child")
assert wait_heard([process], 30)
{body}
"""


@pytest.fixture
def child_module(tmp_path, monkeypatch):
    """Writes what children of this test, and of its programs, run."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    def write(body: str = SERVE) -> None:
        (tmp_path / "tethered_child.py").write_text(CHILD.replace("{body}", body.strip()))

    return write


@pytest.fixture
def child(child_module, nothing_left):
    """Starts one, and waits until it is there."""
    started = []

    def start(body: str = SERVE) -> TetheredProcess:
        child_module(body)
        started.append(TetheredProcess("a child", "tethered_child"))
        assert wait_heard(started[-1:], 30)
        started[-1].listen()
        return started[-1]

    yield start
    for process in started:
        process.close()


def is_heard_to_end(process: TetheredProcess) -> bool:
    while process.listen():
        if not wait_heard([process], 30):
            return False
    return True


def test_what_the_child_says_is_heard(child):
    process = child()
    assert process.heard == ["here I am"]
    process.let_go()
    assert is_heard_to_end(process)
    assert process.heard == ["here I am", "bye"]
    process.wait()
    assert not process.is_alive


def test_sockets_that_are_handed_over_work_there(child):
    process = child()
    pairs = [socket.socketpair() for _ in range(100)]
    for one, two in zip(pairs[::2], pairs[1::2], strict=True):
        process.hand_over(one[1], two[1])
    for _, theirs in pairs:
        theirs.close()
    for number, (mine, _) in enumerate(pairs):
        mine.sendall(bytes([number]))
        assert mine.recv(9) == bytes([number])
        assert mine.recv(9) == b""
        mine.close()


def test_nothing_said_in_time_is_told(child):
    process = child()
    assert process.listen()
    assert not wait_heard([process], 0.0)


def test_it_has_no_part_in_what_its_terminal_does(child):
    process = child()
    assert os.getsid(process.pid) == process.pid
    for signum in tether.IGNORED_SIGNALS:
        os.kill(process.pid, signum)
    process.let_go()
    assert is_heard_to_end(process)
    assert process.heard[-1] == "bye"


def test_a_signal_may_end_it_in_order(child):
    process = child("tether.end_at(12); tether.say('armed')" + SERVE)
    while process.heard[-1] != "armed":
        assert wait_heard([process], 30)
        process.listen()
    os.kill(process.pid, 12)
    assert is_heard_to_end(process)
    assert process.heard[-1] == "bye"


def test_what_it_explains_is_why_it_ended(child):
    process = child("tether.explain(ValueError('all is\\nlost'))")
    assert is_heard_to_end(process)
    error = process.ending()
    assert isinstance(error, ProcessLost)
    assert str(error) == "a child ended: all is lost"


def test_else_its_last_words_are(child):
    process = child("raise ValueError('no more')")
    assert is_heard_to_end(process)
    told = str(process.ending())
    assert told.startswith("a child ended: exit code 1\nTraceback")
    assert told.endswith("ValueError: no more")


def test_else_what_killed_it_is(child):
    process = child()
    process.kill()
    assert not process.is_alive
    assert str(process.ending()) == "a child ended: killed by SIGKILL"
    with socket.socket() as sock, pytest.raises(ProcessLost, match="killed by SIGKILL"):
        process.hand_over(sock)


def test_what_does_not_start_is_told(monkeypatch, nothing_left):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ProcessLost, match="cannot start /nowhere/python: No such file"):
        TetheredProcess("a child", "tethered_child")


def test_closing_ends_it_once(child):
    process = child()
    process.close()
    assert not process.is_alive
    process.close()
    process.let_go()


def test_one_that_does_not_end_is_killed(child):
    process = child("import time; time.sleep(1000)")
    process.wait(time.monotonic() + 0.1)
    assert str(process.ending()) == "a child ended: killed by SIGKILL"


def test_one_that_is_forgotten_is_gone(child_module, nothing_left):
    child_module()
    process = TetheredProcess("a child", "tethered_child")
    pid = process.pid
    del process
    gc.collect()
    assert not psutil.pid_exists(pid)


def run_parent(commands, body):
    return commands.start("-c", PARENT.replace("{body}", body), command=[sys.executable])


def test_a_program_that_forgets_it_leaves_nothing(child_module, commands):
    child_module()
    assert run_parent(commands, "print('done')").wait() == (0, "done\n", "")


def test_it_ends_with_a_parent_that_is_killed(child_module, commands):
    """Also where a process that the parent forked holds the parent's end of the socket."""
    child_module()
    hold = """
if os.fork() == 0:
    time.sleep(1000)
print(process.pid, flush=True)
time.sleep(1000)
"""
    parent = run_parent(commands, hold)
    pid = int(parent.wait_for(r"(\d+)\n")[1])
    child = psutil.Process(pid)
    (forked,) = [each for each in psutil.Process(parent.pid).children() if each.pid != pid]
    watched = os.pidfd_open(pid)
    parent.kill()
    assert select.select([watched], [], [], 30)[0]
    os.close(watched)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    forked.send_signal(signal.SIGKILL)


def test_a_fork_of_the_parent_cannot_end_it(child_module, commands):
    child_module()
    fork = """
pid = os.fork()
if pid == 0:
    process.let_go()
    process.kill()
    process.close()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert process.is_alive
process.listen()
process.let_go()
process.wait()
assert not process.listen()
print(process.heard)
"""
    assert run_parent(commands, fork).wait() == (0, "['here I am', 'bye']\n", "")
