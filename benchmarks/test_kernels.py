"""How fast does Lua run inside a worker, sandbox and limits on?

Beside Debian's luajit binary, which has neither, PUC Lua in a worker, and CPython.  Processor time,
by the same clock for all that run Lua.
"""

from __future__ import annotations

import shutil
import subprocess
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
ROUNDS = 7


@pytest.fixture
def size(name: str, quick: bool) -> int:
    return (QUICK_SIZES if quick else SIZES)[name]


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("engine", ["luajit", "5.4"])
def test_worker(engine: str, name: str, size: int, record: Any) -> None:
    title = "Midas worker" if engine == "luajit" else f"worker with --lua {engine}"
    timed = midas_mp.lua_function(FOLDER / "kernels.lua", "timed")
    with midas_mp.Executor(max_workers=1, lua=engine, memory=MEMORY) as executor:

        def run() -> float:
            told = executor.submit(timed, name, size).result()
            assert told["answer"] == pytest.approx(_answer(name, size))
            return float(told["seconds"])

        run()
        record(title, name, run, unit="ms", rounds=ROUNDS if engine == "luajit" else 2)


@pytest.mark.parametrize("name", KERNELS)
def test_luajit_binary(name: str, size: int, record: Any, quick: bool) -> None:
    luajit = shutil.which("luajit")
    if luajit is None:
        pytest.skip("luajit is not installed")
    rounds = 1 if quick else ROUNDS
    told = subprocess.run(
        [luajit, "run_kernel.lua", "kernels.lua", name, str(size), str(rounds)],
        cwd=FOLDER,
        capture_output=True,
        check=True,
    )
    answer, *seconds = map(float, told.stdout.split())
    assert answer == pytest.approx(_answer(name, size))
    each = iter(seconds)
    record("luajit binary", name, lambda: next(each), unit="ms", rounds=rounds)


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
