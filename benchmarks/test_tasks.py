"""What a tiny task costs with ``midas run``, start and end of the command included.

Beside it, in the same run, what a Python user has at hand: ``Pool.imap`` and
``ProcessPoolExecutor.map`` with one task to a message, on as many processes.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

TINY = Path(__file__).parent / "scripts" / "tiny.lua"
WORKERS = 2


def midas_run(task_count: int) -> int:
    command = [sys.executable, "-m", "midas_mp", "run", str(TINY)]
    command += ["--tasks", str(task_count), "--workers", str(WORKERS)]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def execute(item: dict[str, int]) -> dict[str, int]:
    return {"v": item["i"] + 1}


def pool_imap(task_count: int) -> int:
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        items = ({"i": i} for i in range(task_count))
        return sum(result["v"] for result in pool.imap(execute, items))


def executor_map(task_count: int) -> int:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=spawn) as pool:
        items = ({"i": i} for i in range(task_count))
        return sum(result["v"] for result in pool.map(execute, items))


@pytest.mark.parametrize(
    ("way", "task_count"),
    [
        (midas_run, 1),
        (midas_run, 100_000),
        (pool_imap, 100_000),
        (executor_map, 10_000),
    ],
    ids=["midas-1", "midas-100000", "pool-imap-100000", "executor-map-10000"],
)
def test_tiny_tasks(benchmark: Any, way: Any, task_count: int) -> None:
    answer = benchmark.pedantic(way, args=(task_count,), rounds=3, warmup_rounds=0)
    assert answer == task_count * (task_count + 1) // 2
    benchmark.extra_info["us_per_task"] = benchmark.stats["median"] / task_count * 1e6
