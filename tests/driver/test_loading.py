"""A script is loaded with what was said of it and what its ``config`` says, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from midas_mp import limits
from midas_mp.config import TimeLimit
from midas_mp.errors import ScriptError, UsageError


def test_a_script_that_cannot_be_read_is_wrong_usage(
    run: Callable, driver: Callable, tmp_path: Path
) -> None:
    async def main() -> None:
        async with driver() as d:
            with pytest.raises(UsageError):
                d.job(tmp_path / "absent.lua")

    run(main())


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ("return +", ("syntax", "job.lua:1:")),
        ("error('top')", ("runtime", "job.lua:1: top")),
        ("require 'absent'", ("runtime", "absent")),
    ],
)
def test_a_top_level_that_fails_is_explained(
    top: str, expected: tuple[str, str], run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            with pytest.raises(ScriptError) as caught:
                await d.job(script(top=top)).load()
            kind, part = expected
            assert caught.value.kind == kind
            assert part in caught.value.message

    run(main())


@pytest.mark.parametrize("name", ["generate_data", "execute_code", "interpret_results"])
def test_a_missing_function_is_named(
    name: str, run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        path = script()
        path.write_text(path.read_text().replace(name, "something_else"))
        async with driver() as d:
            with pytest.raises(ScriptError, match=f"does not define the function {name}") as caught:
                await d.job(path).load()
            assert caught.value.kind == "missing_function"

    run(main())


def test_config_says_what_nobody_said(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(
            top="config = { tasks = '3x', timeout_s = 7, memory = '32MB', isolate = false }"
        )
        async with driver() as d:
            engine = new_engine(workers=2)
            running = asyncio.create_task(d.run(path, engine, timeout=TimeLimit(9.0)))
            await engine.submitted(6)
            engine.finish(*((index, index) for index in range(6)))
            assert (await running).value == "0,1,2,3,4,5"
            spec = engine.opened[0][1]
            assert (spec.timeout_s, spec.memory_bytes, spec.isolate) == (
                9.0,
                32 * limits.MB,
                False,
            )

    run(main())


def test_a_memory_limit_in_config_holds_for_the_top_level_too(
    run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        path = script(top="config = { memory = '16MB' } local s = ('x'):rep(40 * 2 ^ 20)")
        async with driver() as d:
            with pytest.raises(ScriptError) as caught:
                await d.job(path).load()
            assert caught.value.kind == "memory"
        async with driver() as d:
            await d.job(path, driver_memory_bytes=128 * limits.MB).load()
        async with driver() as d:
            await d.job(path, memory_bytes=128 * limits.MB).load()

    run(main())


def test_modules_in_config_are_there_for_the_top_level(
    run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        path = script(
            top="config = { modules = { 'late' } } local name = 'late' late = require(name)",
            interpret="return late.value",
        )
        (path.parent / "late.lua").write_text("print('loaded') return { value = 7 }")
        async with driver() as d:
            assert (await d.answer(path)).value == 7
            assert d.view.prints == [(0, "", b"loaded")], "the first attempt got no further"

    run(main())


def test_what_the_top_level_prints_is_shown_once_whatever_config_may_say(
    run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        path = script(top="print('memory') print('modules')", interpret="print('end')")
        async with driver() as d:
            await d.answer(path)
            assert [text for _, _, text in d.view.prints] == [b"memory", b"modules", b"end"]

    run(main())


NAMES_ITS_ENGINE = "config = { requires = { lua = '5.4' } } "


@pytest.mark.parametrize("top", ["", "local only_there = 7 // 2 "])
def test_a_script_runs_by_the_engine_that_it_requires(
    top: str, run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    """Also where no other engine can read it."""

    async def main() -> None:
        path = script(
            top=NAMES_ITS_ENGINE + top,
            generate="return { _VERSION, arg.key, arg[1] }",
            interpret="return _VERSION",
        )
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(
                d.run(path, engine, tasks=1, arg=("x",), arg_named={"key": "v"})
            )
            await engine.submitted(1)
            assert engine.payloads[0] == ["Lua 5.4", "v", "x"]
            engine.finish((0, 0))
            assert (await running).value == "Lua 5.4"
            spec = engine.opened[0][1]
            assert (spec.engine, spec.named_arg) == ("lua5.4", {"key": "v"})

    run(main())


def test_source_that_nobody_requires_another_engine_for_is_told_as_the_default_sees_it(
    run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            with pytest.raises(ScriptError, match=r"job\.lua:1: .*near '/'") as caught:
                await d.job(script(top="local requires = 7 // 2")).load()
            assert caught.value.kind == "syntax"
            assert caught.value.excerpt == "1 | local requires = 7 // 2"

    run(main())


def test_an_engine_that_contradicts_the_script_is_wrong_usage(
    run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            with pytest.raises(UsageError, match=r"for lua5\.4, but --lua asks for luajit"):
                await d.job(script(top=NAMES_ITS_ENGINE), engine="luajit").load()

    run(main())


def test_an_engine_that_is_not_installed_is_wrong_usage(
    run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            await d.script.ready
            d.script.engines.remove("lua5.5")
            with pytest.raises(UsageError, match=r"cannot run lua5\.5, only .*luajit"):
                await d.job(script(), engine="lua5.5").load()

    run(main())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{ speed = 9 }", "config.speed is unknown"),
        ("{ tasks = 'many' }", "config.tasks: 'many' is not a number of tasks"),
        ("{ modules = { 'absent' } }", "the module 'absent' is not beside job.lua"),
        ("'fast'", "config must be a table"),
    ],
)
def test_a_config_that_means_nothing_is_wrong_usage(
    config: str, message: str, run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            with pytest.raises(UsageError, match=message):
                await d.job(script(top=f"config = {config}")).load()

    run(main())
