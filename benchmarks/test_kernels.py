"""How fast does Lua run inside a worker, sandbox and limits on?

Beside Debian's luajit binary, which has neither, PUC Lua in a worker, and CPython.  Processor time,
by the same clock for all that run Lua.  A round is a process of its own, since where things lie in
memory matters, and counts as the median of its calls; the first ones are for the compiler.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import pytest

import midas_mp
from benchmarks.kernels import KERNELS

FOLDER = Path(__file__).parent
SIZES = {
    "sieve": 5_000_000,
    "mandelbrot": 1_200,
    "fib": 35,
    "nbody": 600_000,
    "strings": 1_000_000,
}
QUICK_SIZES = {"sieve": 50_000, "mandelbrot": 50, "fib": 20, "nbody": 1_000, "strings": 5_000}
MEMORY = "1GB"
ROUNDS = 5
WARMING, CALLS = 3, 5
"""Calls of a round: those that do not count, and those that do."""


@pytest.fixture
def size(name: str, quick: bool) -> int:
    return (QUICK_SIZES if quick else SIZES)[name]


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("engine", ["luajit", "5.4"])
def test_worker(engine: str, name: str, size: int, record: Any) -> None:
    """Each call is a task: the script's top level runs anew for it, in a fresh environment."""
    timed = midas_mp.lua_function(FOLDER / "kernels.lua", "timed")
    is_fast = engine == "luajit"

    def run() -> float:
        with midas_mp.Executor(max_workers=1, lua=engine, memory=MEMORY) as executor:

            def call() -> float:
                told = executor.submit(timed, name, size).result()
                assert told["answer"] == pytest.approx(_answer(name, size))
                return float(told["seconds"])

            return _settled_s(call, *((WARMING, CALLS) if is_fast else (0, 1)))

    title = "Midas worker" if is_fast else f"worker with --lua {engine}"
    record(title, name, run, unit="ms", rounds=ROUNDS if is_fast else 2)


@pytest.mark.parametrize("name", KERNELS)
def test_luajit_binary(name: str, size: int, record: Any) -> None:
    luajit = shutil.which("luajit")
    if luajit is None:
        pytest.skip("luajit is not installed")
    order = [luajit, "run_kernel.lua", "kernels.lua", name, str(size), str(WARMING + CALLS)]

    def run() -> float:
        told = subprocess.run(order, cwd=FOLDER, capture_output=True, check=True)
        answer, *seconds = map(float, told.stdout.split())
        assert answer == pytest.approx(_answer(name, size))
        return _settled_s(iter(seconds).__next__, WARMING, CALLS)

    record("luajit binary", name, run, unit="ms", rounds=ROUNDS)


@pytest.mark.parametrize("name", KERNELS)
def test_cpython(name: str, size: int, record: Any) -> None:
    def run() -> float:
        start = process_time()
        KERNELS[name](size)
        return process_time() - start

    record("CPython", name, run, unit="ms", rounds=1)


_ANSWERS: dict[tuple[str, int], float] = {}


def _answer(name: str, size: int) -> float:
    """What all must come to, by CPython."""
    if (name, size) not in _ANSWERS:
        _ANSWERS[name, size] = KERNELS[name](size)
    return _ANSWERS[name, size]


def _settled_s(call: Callable[[], float], warming: int, calls: int) -> float:
    for _ in range(warming):
        call()
    return statistics.median(call() for _ in range(calls))
