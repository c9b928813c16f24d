"""However anything dies, no process stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from midas_mp.participant.zygote import Zygote
from midas_mp.participant.zygote_process import IGNORED_SIGNALS
from midas_mp.wire.local import WorkerReady

PARENT = """
import os, select, signal, sys, time
from midas_mp.participant.zygote import Zygote
from midas_mp.participant.zygote_messages import ChildSpec
zygote = Zygote.start()
children = [zygote.spawn(ChildSpec(f"w{n}", "n", "worker", 0, 0), print) for n in range(3)]
for child in children:
    select.select([child.socket], [], [])
heir = 0
if sys.argv[1] == "with-an-heir":
    heir = os.fork()  # has all our descriptors, the control socket too
    if heir == 0:
        signal.pause()
print(zygote.pid, heir, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("how", ["alone", "with-an-heir"])
def test_a_killed_parent_leaves_nobody(how: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, how], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    zygote_pid, heir = map(int, parent.stdout.readline().split())
    zygote = psutil.Process(zygote_pid)
    family = [zygote, *zygote.children()]
    assert len(family) == 4
    parent.kill()
    parent.wait()
    try:
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive
    finally:
        parent.stdout.close()
        if heir:
            os.kill(heir, signal.SIGKILL)


def test_only_the_parent_or_sigkill_ends_it(zygote: Zygote, spawn: Callable) -> None:
    spawn().receive()
    for signum in IGNORED_SIGNALS:
        os.kill(zygote.pid, signum)
    assert isinstance(spawn().receive().message, WorkerReady)


def test_a_worker_is_not_ended_by_a_polite_signal_either(spawn: Callable) -> None:
    peer = spawn()
    pid = peer.receive().message.pid
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, signum)
    peer.child.socket.shutdown(1)
    assert peer.wait_exit().exit_code == 0


def test_a_fork_begins_with_a_clean_slate(spawn: Callable, zygote: Zygote) -> None:
    pid = spawn().receive().message.pid
    process = psutil.Process(pid)
    assert process.cwd() == "/"
    assert process.num_threads() == 1
    assert os.getsid(pid) == pid != os.getsid(zygote.pid) != os.getsid(0)
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
    assert Path(f"/proc/{pid}/fd/1").readlink().name.startswith("pipe:")
    assert Path(f"/proc/{pid}/fd/2").readlink().name.startswith("memfd:midas-status")


def test_signals_blocked_by_the_parent_are_not_by_the_zygote(spawn: Callable) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        other = Zygote.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    peer = spawn(zygote=other)
    peer.receive()
    peer.child.socket.shutdown(1)
    assert peer.wait_exit().exit_code == 0
    other.close()


def test_a_parent_that_is_gone_already_is_seen() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        name = "midas_mp.participant.zygote_process"
        run = subprocess.run(
            [sys.executable, "-P", "-m", name, str(theirs.fileno()), "1"],
            pass_fds=[theirs.fileno()],
            timeout=40,
            check=False,
        )
    assert run.returncode == 0
