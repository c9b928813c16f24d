"""What a tiny task costs with ``midas run``, start and end of the command included.

Beside it, in the same run, what a Python user has at hand: ``Pool.imap`` and
``ProcessPoolExecutor.map`` with one task to a message, on as many processes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent / "scripts"
WORKERS = 2


def command(way: str, task_count: int) -> list[str]:
    if way == "midas":
        options = ["--tasks", str(task_count), "--workers", str(WORKERS)]
        return [sys.executable, "-m", "midas_mp", "run", str(SCRIPTS / "tiny.lua"), *options]
    return [sys.executable, str(SCRIPTS / "peers.py"), way, str(task_count), str(WORKERS)]


def run(way: str, task_count: int) -> int:
    ended = subprocess.run(command(way, task_count), check=True, capture_output=True)
    return int(ended.stdout)


@pytest.mark.parametrize(
    ("way", "task_count"),
    [("midas", 1), ("midas", 100_000), ("pool-imap", 100_000), ("executor-map", 10_000)],
)
def test_tiny_tasks(benchmark: Any, way: str, task_count: int) -> None:
    answer = benchmark.pedantic(run, args=(way, task_count), rounds=3, warmup_rounds=0)
    assert answer == task_count * (task_count + 1) // 2
    if benchmark.stats:
        benchmark.extra_info["us_per_task"] = benchmark.stats["median"] / task_count * 1e6
