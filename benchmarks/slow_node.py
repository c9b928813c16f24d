"""A node of which the workers stand still most of the time, as if its machine were that slow."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midas_mp.local_cluster import ClusterMember

PERIOD_S: Final = 0.05


@contextlib.contextmanager
def slowed(node: ClusterMember, speed: float) -> Iterator[None]:
    """Inside, its workers run for that part of the time, also those that come later."""
    is_over = threading.Event()
    thread = threading.Thread(target=_alternate, args=(node.pid, speed, is_over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _alternate(pid: int, speed: float, is_over: threading.Event) -> None:
    launcher = psutil.Process(pid)
    while not is_over.is_set():
        workers = _workers(launcher)
        _each(workers, "suspend")
        is_over.wait(PERIOD_S * (1 - speed))
        _each(workers, "resume")
        is_over.wait(PERIOD_S * speed)


def _workers(launcher: psutil.Process) -> list[psutil.Process]:
    """Grandchildren: between them and the launcher is the zygote."""
    return [worker for zygote in launcher.children() for worker in zygote.children()]


def _each(workers: list[psutil.Process], act: str) -> None:
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            getattr(worker, act)()
