"""Cores that never sleep, as beside other work.

Waking a core that sleeps takes longer than many a message, above all in a virtual machine.  What
is measured with all cores awake is the work that is done for a message, and nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cores_awake() -> Iterator[None]:
    """Keeps each core busy with something that gives way to everything else at once."""
    context = multiprocessing.get_context("spawn")
    spinning = [context.Process(target=_spin, daemon=True) for _ in os.sched_getaffinity(0)]
    for process in spinning:
        process.start()
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.join()


def _spin() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        pass
