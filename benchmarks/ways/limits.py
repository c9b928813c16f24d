"""What the machine itself allows: messages to and fro, and bytes copied."""

from __future__ import annotations

import multiprocessing
import os
import socket
from time import perf_counter

import numpy as np

MESSAGE = b"x" * 64


def unix_ping_pong(count: int) -> list[float]:
    """Seconds of each message to another process and back over a Unix socket.

    Since the two never work at the same time, the kernel likes to run both on one core.
    """
    here, there = socket.socketpair()
    return _ping_pong(here, there, count)


def unix_ping_pong_apart(count: int) -> list[float]:
    """The same, where each process has a core of its own, as a worker mostly has."""
    here, there = socket.socketpair()
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        return _ping_pong(here, there, count, {max(cores)})
    finally:
        os.sched_setaffinity(0, cores)


def tcp_ping_pong(count: int) -> list[float]:
    """The same over TCP on the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    for end in (here, there):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _ping_pong(here, there, count)


def memcpy(source: np.ndarray, target: np.ndarray) -> float:
    """Seconds to copy one array over another."""
    start = perf_counter()
    np.copyto(target, source)
    return perf_counter() - start


def _ping_pong(
    here: socket.socket, there: socket.socket, count: int, cores_there: set[int] | None = None
) -> list[float]:
    echoing = multiprocessing.get_context("fork").Process(
        target=_echo, args=(here, there, cores_there)
    )
    echoing.start()
    there.close()
    seconds = []
    with here:
        for _ in range(count):
            start = perf_counter()
            here.sendall(MESSAGE)
            got = here.recv(len(MESSAGE))
            seconds.append(perf_counter() - start)
            if got != MESSAGE:
                raise AssertionError(f"expected {MESSAGE!r}, got {got!r}")
    echoing.join()
    return seconds


def _echo(theirs: socket.socket, mine: socket.socket, cores: set[int] | None) -> None:
    if cores is not None:
        os.sched_setaffinity(0, cores)
    theirs.close()
    while data := mine.recv(len(MESSAGE)):
        mine.sendall(data)
