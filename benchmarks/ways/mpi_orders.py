"""The end of the socket in an MPI program: orders come in, seconds and results go out."""

from __future__ import annotations

from multiprocessing.connection import Client
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.ways.way import Way


def serve(address: str, way: Way) -> None:
    """Does what it is told until it is told to end."""
    with Client(address, family="AF_UNIX") as socket:
        while (order := socket.recv()) is not None:
            method, arguments = order
            socket.send(way.timed(method, *arguments))
