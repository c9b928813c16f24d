"""What do very many tiny tasks take as a command, start and end included?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent / "scripts"
WORKERS = 2
MIDAS = [sys.executable, "-m", "midas_mp", "run", str(SCRIPTS / "tiny.lua")]
PEERS = [sys.executable, str(SCRIPTS / "peers.py")]


def command(way: str, task_count: int) -> list[str]:
    if way == "midas":
        return [*MIDAS, "--tasks", str(task_count), "--workers", str(WORKERS)]
    return [*PEERS, way, str(task_count), str(WORKERS)]


@pytest.mark.parametrize(
    ("name", "title", "task_count"),
    [
        ("midas", "Midas: midas run", 100_000),
        ("pool-imap", "multiprocessing.Pool.imap", 100_000),
        ("executor-map", "ProcessPoolExecutor.map", 20_000),
    ],
    ids=["midas", "pool", "process-pool"],
)
def test_tiny_tasks(name: str, title: str, task_count: int, record: Any, quick: bool) -> None:
    task_count //= 100 if quick else 1

    def run() -> float:
        start = perf_counter()
        ended = subprocess.run(command(name, task_count), check=True, capture_output=True)
        seconds = perf_counter() - start
        assert int(ended.stdout) == task_count * (task_count + 1) // 2
        return seconds

    record(title, "tiny tasks, as a command", run, unit="/s", amount=task_count, rounds=3)
