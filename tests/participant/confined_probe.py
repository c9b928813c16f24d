"""Run as a program by test_confinement: is confined, tries everything, prints what came of it."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyseccomp

from midas_mp.participant import confinement
from midas_mp.permissions import Permissions


def pretend_to_lack(system_call: str) -> None:
    """From here on the kernel says that it has no such system call."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), system_call)
    if system_call == "seccomp":  # libseccomp falls back to the older way
        mode = pyseccomp.Arg(0, pyseccomp.EQ, 22)  # PR_SET_SECCOMP
        rules.add_rule(pyseccomp.ERRNO(errno.EINVAL), "prctl", mode)
    rules.load()


def protect(protection: int, first: int = 0) -> None:
    """A fresh page with one protection, then another."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    page = libc.mmap(None, 4096, first or protection, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if page == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    if libc.mprotect(ctypes.c_void_p(page), 4096, protection):
        raise OSError(ctypes.get_errno(), "mprotect")


def fork(body: Callable[[], None]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(1)
    if os.waitpid(pid, 0)[1]:
        raise PermissionError


def attempts() -> dict[str, Callable[[], object]]:
    here, elsewhere = Path(REQUEST["here"]), Path(REQUEST["elsewhere"])
    write, execute = mmap.PROT_WRITE, mmap.PROT_EXEC
    address = ("127.0.0.1", REQUEST["port"])
    return {
        "read a file": Path("/etc/passwd").read_bytes,
        "read a folder": lambda: list(Path("/etc").iterdir()),
        "read a device": Path("/dev/null").read_bytes,
        "read what somebody types": lambda: os.close(os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY)),
        "read about a process": Path("/proc/self/environ").read_bytes,
        "write to its own memory": lambda: Path("/proc/self/mem").open("r+b").close(),
        "create a file here": lambda: (here / "new.txt").write_text("new"),
        "append to a file here": lambda: (here / "old.txt").open("a").close(),
        "truncate a file here": lambda: (here / "old.txt").open("w").close(),
        "create a file elsewhere": lambda: (elsewhere / "new.txt").write_text("new"),
        "truncate a file elsewhere": lambda: (elsewhere / "old.txt").open("w").close(),
        "delete a file here": (here / "old.txt").unlink,
        "read stdin": lambda: os.read(0, 1),
        "make a socket": socket.socket,
        "connect": lambda: socket.create_connection(address),
        "listen": lambda: socket.create_server(("127.0.0.1", 0)),
        "connect to an abstract socket": lambda: socket.socket(socket.AF_UNIX).connect(
            "\0" + REQUEST["abstract"]
        ),
        "signal another process": lambda: os.kill(os.getppid(), 0),
        "fork": lambda: fork(lambda: os._exit(0)),
        "exec": lambda: fork(lambda: os.execv("/bin/true", ["true"])),
        "start a thread": threading.Thread(target=int).start,
        "map memory to write and execute": lambda: protect(write | execute),
        "turn executable memory writable": lambda: protect(write | execute, write),
        "recurse deeply in C": lambda: (
            resource.getrlimit(resource.RLIMIT_STACK)[0] < 16 * 2**20 and os.close(-1)
        ),
        "leave a core": lambda: resource.getrlimit(resource.RLIMIT_CORE)[1] or os.close(-1),
        "write, then execute": lambda: protect(execute, write),
        "allocate": lambda: bytearray(200 * 2**20),
        "watch the clock": lambda: (time.time(), time.monotonic(), time.sleep(0)),
    }


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except (OSError, MemoryError, RuntimeError):  # RuntimeError: can't start new thread
        return "refused"
    return "done"


def main() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    planned = attempts()
    libc = ctypes.CDLL(None)  # resolved before, as nothing can be opened later
    assert libc.mmap
    confinement.warm_up()
    if REQUEST["lacking"]:
        pretend_to_lack(REQUEST["lacking"])
    answer: dict[str, object] = {
        "level": confinement.confine(
            REQUEST["profile"],
            Permissions(**REQUEST["permissions"]),
            level_max=REQUEST["level_max"],
            memory_hard_bytes=REQUEST["memory_hard_bytes"],
            private=REQUEST["private"],
        )
    }
    for name, attempt in planned.items():
        answer[name] = outcome(attempt)
    sys.stdout.write(json.dumps(answer))


TERMINAL = os.ttyname(os.openpty()[1])
REQUEST = json.loads(sys.argv[1])
main()
