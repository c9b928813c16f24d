"""Tiny tasks with what Python has: ``peers.py pool-imap|executor-map TASKS WORKERS``.

A command of its own, so that start and end count as they do for ``midas run``.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor


def execute(item: dict[str, int]) -> dict[str, int]:
    return {"v": item["i"] + 1}


def main() -> None:
    way, task_count, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    items = ({"i": i} for i in range(task_count))
    if way == "pool-imap":
        with multiprocessing.Pool(workers) as pool:
            print(sum(result["v"] for result in pool.imap(execute, items)))
    else:
        with ProcessPoolExecutor(workers) as executor:
            print(sum(result["v"] for result in executor.map(execute, items)))


if __name__ == "__main__":
    main()
