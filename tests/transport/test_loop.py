from __future__ import annotations

import asyncio
import sys

import pytest

from midas_mp.transport import loop


async def current_loop() -> str:
    return type(asyncio.get_running_loop()).__module__.split(".")[0]


def test_uvloop_runs_it_where_there_is_one():
    pytest.importorskip("uvloop")
    assert loop.run(current_loop()) == "uvloop"


def test_asyncio_runs_it_where_there_is_no_uvloop(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop.run(current_loop()) == "asyncio"


def test_its_answer_and_its_errors_come_back():
    async def fail():
        raise KeyError("oops")

    async def answer():
        return 42

    assert loop.run(answer()) == 42
    with pytest.raises(KeyError, match="oops"):
        loop.run(fail())
