"""How long from nothing to the first answer?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from benchmarks.started import started
from benchmarks.ways import WAYS
from benchmarks.yard import WORKERS

SCRIPT = str(Path(__file__).parent / "scripts" / "trivial.lua")
COMMANDS = {
    "Midas: midas run of a trivial script": (
        *("-m", "midas_mp", "run", SCRIPT, "--workers", str(WORKERS)),
    ),
    "python -c 'import asyncio'": ("-c", "import asyncio"),
    "python -c pass": ("-c", "pass"),
}
STARTING = ["midas", "midas-aio", "midas-host", "midas-tcp"]
STARTING += ["pool", "process-pool", "joblib", "dask", "ray", "mpi-pool"]


@pytest.mark.parametrize("title", COMMANDS)
def test_command(title: str, record: Any) -> None:
    def run() -> float:
        start = perf_counter()
        subprocess.run([sys.executable, *COMMANDS[title]], check=True, capture_output=True)
        return perf_counter() - start

    run()
    record(title, "a command, from start to end", run, unit="s", rounds=10)


@pytest.mark.parametrize("name", STARTING)
def test_workers(name: str, record: Any) -> None:
    """Until two workers have done the first few calls; imports do not count."""

    def run() -> float:
        return started(name, WORKERS).seconds

    record(WAYS[name].title, "two workers, until they answer", run, unit="s", rounds=3)
