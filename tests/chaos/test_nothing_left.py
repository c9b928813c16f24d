"""After everything was killed at once, nothing is there that was not there before."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

SPIN = 'print("spinning") while true do end'


@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="Linux says what sockets there are")
def test_nothing_is_left_after_sigkill_of_everything(start, commands, script):
    """0 processes, 0 shared memory, 0 sockets."""
    host = start("host", "--address", "127.0.0.1:0")
    where = host.address()
    nodes = [start("participant", "--address", where, "--workers", "2") for _ in range(2)]
    for node in nodes:
        node.wait_for("joined")
    shared = "function generate_shared_data() return midas.array('float64', 100000) end"
    path = script(SPIN, top=shared)
    runs = [
        start("run", path, "--address", where, "--tasks", "4"),
        start("run", path, "--workers", "1", "--tasks", "1"),
    ]
    for run in runs:
        run.wait_for("spinning")
    processes = commands.survivors()
    named = {name for process in processes for name in named_things_of(process)}
    killed = [host, *nodes, *runs]
    for command in killed:
        command.send(signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []
    assert commands.survivors() == []
    left = [name for name in named if is_there(name)]
    print(f"{len(processes)} processes killed by {len(killed)} signals: 0 processes, ", end="")  # noqa: T201
    print(f"{len(left)} of {len(named)} names of sockets and shared memory are left")  # noqa: T201
    assert left == []


def named_things_of(process):
    """Listening ports, Unix sockets with names, and files in shared memory, of a process."""
    for connection in process.net_connections("all"):
        if connection.status == psutil.CONN_LISTEN:
            yield f"port {connection.laddr.port}"
        elif connection.family.name == "AF_UNIX" and connection.laddr:
            yield f"socket {connection.laddr}"
    for fd in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            target = str(fd.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("/dev/shm/"):
            yield target


def is_there(name):
    kind, _, what = name.partition(" ")
    if kind == "port":
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        return int(what) in {c.laddr.port for c in listening}
    if kind == "socket":
        return what in Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
    return Path(name).exists()
