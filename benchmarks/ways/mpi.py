"""MPI: programs under ``mpiexec`` that take orders over a socket and time themselves.

``MpiPool`` is mpi4py.futures; ``MpiCollectives`` is Scatter and Gather as MPI programs do them,
where the root is one of the workers; ``MpiCollectivesApart`` has a root that only sends.
"""

from __future__ import annotations

import subprocess
import sys
from multiprocessing.connection import Connection, Listener
from typing import Any, ClassVar

from benchmarks.ways.way import Way


class _Program(Way):
    """The end of the socket in this process."""

    program: ClassVar[tuple[str, ...]]
    extra_ranks: ClassVar[int]

    def start(self, workers: int) -> None:
        with Listener(family="AF_UNIX") as listener:
            ranks = workers + self.extra_ranks
            self._process = subprocess.Popen(
                [
                    *("mpiexec", "-n", str(ranks), sys.executable, *self.program),
                    str(listener.address),
                ],
                stdin=subprocess.DEVNULL,
            )
            self._socket: Connection = listener.accept()

    def stop(self) -> None:
        self._socket.send(None)
        self._process.wait(timeout=30)
        self._socket.close()

    def timed(self, method: str, *arguments: Any) -> tuple[float, Any]:
        self._socket.send((method, arguments))
        seconds, result = self._socket.recv()
        return seconds, result


class MpiPool(_Program):
    each_max = 5_000
    chunked_max = 500_000
    program = ("-m", "mpi4py.futures", "-m", "benchmarks.ways.mpi_pool")
    extra_ranks = 1


class MpiCollectives(_Program):
    program = ("-m", "benchmarks.ways.mpi_collectives", "root-works")
    extra_ranks = 0


class MpiCollectivesApart(_Program):
    program = ("-m", "benchmarks.ways.mpi_collectives", "root-idle")
    extra_ranks = 1
