"""What the machine itself allows: messages to and fro, and bytes copied."""

from __future__ import annotations

import multiprocessing
import socket
from time import perf_counter

import numpy as np

MESSAGE = b"x" * 64


def unix_ping_pong(count: int) -> list[float]:
    """Seconds of each message to another process and back over a Unix socket."""
    here, there = socket.socketpair()
    return _ping_pong(here, there, count)


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


def _ping_pong(here: socket.socket, there: socket.socket, count: int) -> list[float]:
    echoing = multiprocessing.get_context("fork").Process(target=_echo, args=(here, there))
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


def _echo(theirs: socket.socket, mine: socket.socket) -> None:
    theirs.close()
    while data := mine.recv(len(MESSAGE)):
        mine.sendall(data)
