"""Starts workers in a process that holds nothing else: ``start.py WAY WORKERS``.

Prints the seconds until they have answered their first calls, and the megabytes that this took in
all processes, this one included.  What is imported before does not count.
"""

from __future__ import annotations

import sys
from time import perf_counter

import psutil

from benchmarks.ways import WAYS


def used_mb() -> float:
    """Proportional set size, which shares out what processes share."""
    this = psutil.Process()
    return (
        sum(each.memory_full_info().pss for each in (this, *this.children(recursive=True))) / 2**20
    )


def main() -> None:
    name, workers = sys.argv[1], int(sys.argv[2])
    way = WAYS[name].make()
    before_mb = used_mb()
    start = perf_counter()
    way.start(workers)
    seconds = perf_counter() - start
    print(seconds, used_mb() - before_mb)
    way.stop()


if __name__ == "__main__":
    main()
