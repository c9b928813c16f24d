from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import midas_mp
from midas_mp.errors import ProcessLost
from midas_mp.participant.zygote import Zygote
from midas_mp.participant.zygote_messages import ChildSpec
from midas_mp.wire.local import WorkerReady

MB = 2**20


def open_files(pid: int) -> int:
    return psutil.Process(pid).num_fds()


def test_a_child_is_ready_and_leaves_when_its_socket_ends(spawn: Callable) -> None:
    peer = spawn()
    ready = peer.receive().message
    assert isinstance(ready, WorkerReady)
    assert psutil.Process(ready.pid).ppid() == peer.zygote.pid
    peer.child.socket.close()
    end = peer.wait_exit()
    assert (end.name, end.pid, end.exit_code, end.signal) == ("laptop-000", ready.pid, 0, None)
    assert end.peak_bytes > MB
    assert str(end) == "exit code 0"


def test_a_killed_child_is_reported_with_its_signal(spawn: Callable) -> None:
    peer = spawn()
    peer.zygote.signal(peer.child, signal.SIGKILL)
    end = peer.wait_exit()
    assert (end.exit_code, end.signal) == (None, signal.SIGKILL)
    assert str(end) == "killed by SIGKILL"


def test_a_child_that_meets_garbage_says_so_last(spawn: Callable) -> None:
    peer = spawn()
    peer.receive()
    peer.child.socket.sendall(b"\x01\0\0\0\0\0\0\0\xc1")
    end = peer.wait_exit()
    assert str(end) == "exit code 70"
    last_line = peer.child.page.last_words().splitlines()[-1]
    assert last_line.startswith("midas_mp.errors.ProtocolError: not a message")


def test_signals_stop_a_child_and_let_it_go_on(spawn: Callable) -> None:
    peer = spawn()
    process = psutil.Process(peer.receive().message.pid)
    peer.zygote.signal(peer.child, signal.SIGSTOP)
    while process.status() != psutil.STATUS_STOPPED:  # the test's own time limit bounds it
        os.sched_yield()
    peer.child.socket.shutdown(1)
    assert process.status() == psutil.STATUS_STOPPED
    peer.zygote.signal(peer.child, signal.SIGCONT)
    assert peer.wait_exit().exit_code == 0


def test_a_pause_stops_all_children_and_is_no_time_of_theirs(spawn: Callable) -> None:
    first, second = spawn(), spawn()
    processes = [psutil.Process(peer.receive().message.pid) for peer in (first, second)]
    before_ns = time.monotonic_ns()
    with first.zygote.paused():
        while {process.status() for process in processes} != {psutil.STATUS_STOPPED}:
            os.sched_yield()
        stopped_ns = time.monotonic_ns()
        while time.monotonic_ns() < stopped_ns + 1_000_000:
            os.sched_yield()
        during_ns = time.monotonic_ns()
    after_ns = time.monotonic_ns()
    paused_ns = first.zygote.paused_ns_since(first.child, before_ns)
    assert 1_000_000 < paused_ns <= after_ns - before_ns
    assert 0 < first.zygote.paused_ns_since(first.child, during_ns) < paused_ns
    assert first.zygote.paused_ns_since(first.child, after_ns) == 0
    for peer in (first, second):
        peer.child.socket.shutdown(1)
        assert peer.wait_exit().exit_code == 0


def test_a_child_that_is_held_goes_on_only_when_it_is_released(spawn: Callable) -> None:
    held, other = spawn(), spawn()
    process = psutil.Process(held.receive().message.pid)
    zygote, before_ns = held.zygote, time.monotonic_ns()
    zygote.release(held.child)
    zygote.hold(held.child)
    while process.status() != psutil.STATUS_STOPPED:
        os.sched_yield()
    zygote.signal(held.child, signal.SIGCONT)
    with zygote.paused():
        pass
    other.child.socket.shutdown(1)
    assert other.wait_exit().exit_code == 0, "whatever was sent before has arrived"
    assert process.status() == psutil.STATUS_STOPPED
    first_ns = zygote.paused_ns_since(held.child, before_ns)
    assert 0 < first_ns < zygote.paused_ns_since(held.child, before_ns), "it goes on and on"
    assert zygote.paused_ns_since(other.child, before_ns) < first_ns
    zygote.release(held.child)
    held.child.socket.shutdown(1)
    assert held.wait_exit().exit_code == 0


def test_a_signal_to_a_child_that_has_ended_hits_nobody(spawn: Callable) -> None:
    first = spawn()
    first.child.socket.close()
    first.wait_exit()
    first.zygote.signal(first.child, signal.SIGKILL)
    assert isinstance(spawn().receive().message, WorkerReady)


def test_many_children_are_told_apart(spawn: Callable) -> None:
    peers = [spawn(name=f"w{n}") for n in range(8)]
    pids = {peer.receive().message.pid for peer in peers}
    assert len(pids) == 8
    for peer in peers[::2]:
        peer.zygote.signal(peer.child, signal.SIGKILL)
    for n, peer in enumerate(peers):
        if n % 2:
            peer.child.socket.close()
        end = peer.wait_exit()
        assert (end.name, end.signal) == (f"w{n}", None if n % 2 else signal.SIGKILL)


def test_no_descriptor_is_left_after_fifty_children(zygote: Zygote, spawn: Callable) -> None:
    spawn().receive()
    ours, theirs = open_files(os.getpid()), open_files(zygote.pid)
    for _ in range(50):
        peer = spawn()
        assert open_files(peer.receive().message.pid) <= 7
        peer.child.close()
        peer.child.close()
        peer.wait_exit()
    assert (open_files(os.getpid()), open_files(zygote.pid)) == (ours, theirs)


def test_too_many_open_files_is_an_error_that_leaves_none_behind(zygote: Zygote) -> None:
    spec = ChildSpec("w", "laptop", "worker", 0, 0)
    count = open_files(os.getpid())
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    refused = 0
    for limit in range(3, highest + 10):  # each failing at another of the six it opens
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            zygote.spawn(spec, lambda _: None).close()
        except ProcessLost as error:
            assert "Too many open files" in str(error)  # noqa: PT017 - some limits suffice
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
    assert refused > 6
    assert open_files(os.getpid()) == count


def test_a_lost_zygote_is_named_with_its_cause_and_its_children_go(spawn: Callable) -> None:
    peer = spawn()
    worker = psutil.Process(peer.receive().message.pid)
    os.kill(peer.zygote.pid, signal.SIGKILL)
    with pytest.raises(ProcessLost, match="killed by SIGKILL"):
        peer.wait_exit()
    with pytest.raises(ProcessLost, match="killed by SIGKILL"):
        peer.zygote.spawn(ChildSpec("w", "laptop", "worker", 0, 0), lambda _: None)
    worker.wait(20)


def test_a_zygote_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    zygote = Zygote.start()
    while True:
        try:
            zygote.dispatch()
        except ProcessLost as error:
            assert "exit code 1" in str(error)  # noqa: PT017 - it comes at any turn of the loop
            assert "encodings" in str(error)  # noqa: PT017 - as above
            break
    zygote.close()


def test_an_interpreter_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ProcessLost, match="cannot start /nowhere/python"):
        Zygote.start()


def test_close_ends_all_of_them_and_is_idempotent(zygote: Zygote, spawn: Callable) -> None:
    peers = [spawn() for _ in range(3)]
    workers = [psutil.Process(peer.receive().message.pid) for peer in peers]
    own = psutil.Process(zygote.pid)
    zygote.close()
    zygote.close()
    assert not own.is_running()
    assert not any(worker.is_running() for worker in workers)
    assert not any(peer.exits for peer in peers)
    with pytest.raises(ProcessLost, match="closed"):
        zygote.signal(peers[0].child, signal.SIGKILL)


def test_close_ends_a_stopped_zygote_too(zygote: Zygote, spawn: Callable) -> None:
    worker = psutil.Process(spawn().receive().message.pid)
    os.kill(zygote.pid, signal.SIGSTOP)
    zygote.close()
    worker.wait(20)


def test_secrets_of_the_environment_stay_here(
    monkeypatch: pytest.MonkeyPatch, spawn: Callable
) -> None:
    monkeypatch.setenv("MIDAS_TOKEN", "sesame")
    monkeypatch.setenv("LC_TIME", "C")
    zygote = Zygote.start()
    spawn(zygote=zygote).receive()  # in the middle of its exec a process shows no environment
    environment = psutil.Process(zygote.pid).environ()
    zygote.close()
    assert "MIDAS_TOKEN" not in environment
    assert environment["LC_TIME"] == "C"


def test_the_same_midas_is_found_when_it_runs_from_a_source_tree(tmp_path: Path) -> None:
    package = Path(midas_mp.__file__).parent
    shutil.copytree(package, tmp_path / "midas_mp", ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import sys, select; sys.path.insert(0, sys.argv[1])\n"
        "from midas_mp.participant.zygote import *\n"
        "zygote = Zygote.start()\n"
        "child = zygote.spawn(ChildSpec('w', 'n', 'worker', 0, 0), print)\n"
        "select.select([child.socket], [], [])\n"
        "print(open(f'/proc/{zygote.pid}/environ').read())\n"
        "print(len(child.socket.recv(100)) > 8)\n"
        "zygote.close()\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=40,
        check=True,
    )
    assert f"PYTHONPATH={tmp_path}" in run.stdout
    assert run.stdout.endswith("True\n"), run.stdout


def test_the_handle_needs_neither_a_loop_nor_lua() -> None:
    program = (
        "import sys, midas_mp.participant.zygote\n"
        "print({'asyncio', 'uvloop', 'lupa', 'psutil'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=40, check=True
    )
    assert run.stdout == "set()\n"


def test_a_further_worker_has_little_memory_of_its_own(spawn: Callable) -> None:
    pids = [spawn().receive().message.pid for _ in range(4)]
    assert psutil.Process(pids[-1]).memory_full_info().pss < 8 * MB
