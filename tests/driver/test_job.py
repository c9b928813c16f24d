"""The three-function job with a real script process, on an engine that the test plays."""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import Callable

import msgpack
import pytest

from midas_mp import limits
from midas_mp.config import TimeLimit
from midas_mp.driver.round import REQUESTS_MAX
from midas_mp.errors import ClusterLost, MidasError, ProcessLost, ScriptError
from midas_mp.wire.messages import Call

LISTING = """
  local parts = {}
  for i = 1, results.n do parts[i] = tostring(results[i]) end
  for i, message in pairs(errors or {}) do parts[#parts + 1] = i .. ": " .. message end
  return table.concat(parts, " ")
"""


# -- the contract --------------------------------------------------------------------------------


def test_the_three_functions_meet(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(
            generate="return { index, count, arg[1], arg[0], midas.dir }",
            interpret="return results.n .. ':' .. table.concat(results, ',')",
        )
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(path, engine, arg=("x",)))
            await engine.submitted(2)
            assert engine.payloads == {
                index: [index, 2, "x", str(path), str(path.parent)] for index in range(2)
            }
            engine.finish((0, "a"), (1, "b"))
            answer = await running
            assert (answer.value, answer.failed) == ("2:a,b", 0)
            assert d.view.starts == [(0, 2, 2)], "one task per worker when nobody says"
            assert d.view.advances[-1] == (2, 0)
            assert engine.closed == [""]
            ((title, spec, bundle, _),) = engine.opened
            assert (title, bundle.main, spec.arg) == ("job.lua", "job.lua", [str(path), "x"])

    run(main())


def test_results_are_in_index_order_whatever_came_first(
    run: Callable, driver: Callable, script: Callable, shuffled: Callable, new_engine: Callable
) -> None:
    count = 700

    async def main() -> None:
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(script(), engine, tasks=count))
            await engine.submitted(count)
            for index in shuffled(range(count)):
                engine.finish((index, index))
            assert (await running).value == ",".join(map(str, range(count)))
            assert sorted(engine.acknowledged) == list(range(count)), "each once"

    run(main())


def test_no_tasks_at_all_are_a_job_too(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            answer = await d.run(script(interpret="return #results"), new_engine(), tasks=0)
            assert answer.value == 0

    run(main())


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        ("'text'", "text"),
        ("'B\\195\\188cher'", "Bücher"),
        ("'\\255\\0'", b"\xff\0"),
        ("''", ""),
        ("42", 42),
        ("2^53", 2**53),
        ("-0.0", -0.0),
        ("0.1", 0.1),
        ("1/0", math.inf),
        ("nil", None),
        ("", None),
    ],
)
def test_every_kind_of_answer(
    returned: str, value: object, run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            answer = await d.answer(script(interpret=f"return {returned}"), tasks=1)
            assert answer.value == value
            assert type(answer.value) is type(value)

    run(main())


@pytest.mark.parametrize("returned", ["{}", "{ 1 }", "true", "print"])
def test_an_answer_that_cannot_be_printed_is_an_error(
    returned: str, run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            with pytest.raises(ScriptError, match="return a string or a number") as caught:
                await d.answer(script(interpret=f"return {returned}"), tasks=1)
            assert caught.value.function == "interpret_results"
            assert caught.value.kind == "unsendable"

    run(main())


def test_a_nan_is_an_answer(run: Callable, driver: Callable, script: Callable) -> None:
    async def main() -> None:
        async with driver() as d:
            assert math.isnan((await d.answer(script(interpret="return 0/0"))).value)

    run(main())


def test_the_state_of_the_driver_lives_as_long_as_the_job(
    run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            path = script(
                top="local seen = 0",
                generate="seen = seen + index return index",
                interpret="return seen",
            )
            assert (await d.answer(path, tasks=50)).value == sum(range(50))

    run(main())


def test_what_the_script_prints_is_shown_before_its_answer(
    run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            path = script(
                top="print('top')",
                generate="print('generate', index) return index",
                interpret="print(('x'):rep(300000)) return 1",
            )
            await d.answer(path, tasks=2)
            assert d.view.prints == [
                (0, "", b"top"),
                (0, "", b"generate\t0"),
                (0, "", b"generate\t1"),
                (0, "", b"x" * 300_000),
            ]

    run(main())


def test_what_the_engine_tells_is_shown(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(script(), engine, tasks=1))
            await engine.submitted(1)
            observer = engine._observer
            observer.task_printed(0, "lab-000", b"hello")
            observer.task_progressed(0, 0.5)
            observer.workers_changed(7)
            observer.noticed("a sentence")
            engine.finish((0, 0))
            await running
            assert d.view.prints == [(0, "lab-000", b"hello")]
            assert (d.view.progress, d.view.workers, d.view.notices) == (
                [(0, 0.5)],
                [7],
                ["a sentence"],
            )

    run(main())


# -- credit --------------------------------------------------------------------------------------


def test_a_million_tasks_are_not_generated_ahead_of_credit(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(top="n = 0", generate="n = n + 1 return n", interpret="return n")
        async with driver() as d:
            engine = new_engine(credit=1_000)
            job = d.job(path, tasks=1_000_000)
            await job.load()
            running = asyncio.create_task(job.run(engine))
            for credit in (1_000, 5_000):
                engine.credit = credit
                engine.changed()
                await engine.until(
                    lambda c=credit: (
                        engine.is_waiting and len(engine.payloads) > c - limits.TASKS_PER_FRAME_MAX
                    )
                )
                # it answers in the order in which it is asked, so what was under way is done
                order = job._script.orders.order(0, 0, "interpret_results", [Call(0, 0, 0)])
                generated = (await d.script.call(order)).buffers
                ahead = msgpack.unpackb(generated[0]) - len(engine.payloads)
                assert ahead <= (REQUESTS_MAX + 1) * limits.TASKS_PER_FRAME_MAX
            assert engine.acknowledged == []
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert engine.closed

    run(main())


def test_parts_of_answers_do_not_pile_up_before_a_slow_engine(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    """A request is answered in parts, and each that the engine takes makes room for another."""

    async def main() -> None:
        slow = "n = n + 1 for _ = 1, 20000 do end return n"
        path = script(top="n = 0", generate=slow, interpret="return n")
        async with driver() as d:
            engine = new_engine(credit=0)
            job = d.job(path, tasks=1_000_000)
            await job.load()
            running = asyncio.create_task(job.run(engine))
            order = job._script.orders.order(0, 0, "interpret_results", [Call(0, 0, 0)])
            for _ in range(50):
                await engine.until(lambda: engine.is_waiting)
                # it answers in the order in which it is asked, so all that it was is done
                generated = (await d.script.call(order)).buffers
                ahead = msgpack.unpackb(generated[0]) - len(engine.payloads)
                assert ahead <= (REQUESTS_MAX + 1) * limits.TASKS_PER_FRAME_MAX
                taken = len(engine.orders)
                while len(engine.orders) == taken:
                    engine.credit += 1
                    engine.changed()
                    await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run(main())


def test_large_payloads_are_asked_for_a_few_at_a_time(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            engine = new_engine()
            path = script(generate="return ('x'):rep(2 ^ 19)", interpret="return 1")
            running = asyncio.create_task(d.run(path, engine, tasks=20))
            await engine.submitted(20)
            assert max(len(order.calls) for order in engine.orders) <= 2
            engine.finish(*((index, None) for index in range(20)))
            await running

    run(main())


# -- failures ------------------------------------------------------------------------------------


def test_the_first_failure_stops_the_job(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(script("return nil + 1"), engine, tasks=4))
            await engine.submitted(4)
            engine.finish((0, 0))
            engine.fail(2, "job.lua:3: attempt to perform arithmetic on a nil value")
            engine.fail(3, "another")
            with pytest.raises(ScriptError) as caught:
                await running
            error = caught.value
            assert (error.kind, error.function, error.index, error.worker) == (
                "runtime",
                "execute_code",
                2,
                "lab-000",
            )
            assert error.excerpt == "3 | function execute_code() return nil + 1 end"
            assert error.traceback == "stack traceback:\n\t…"
            assert engine.closed

    run(main())


def test_failures_are_counted_where_the_job_shall_continue(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            engine = new_engine()
            path = script(interpret=LISTING)
            running = asyncio.create_task(d.run(path, engine, tasks=4, on_error="continue"))
            await engine.submitted(4)
            engine.fail(2, "boom")
            engine.finish((3, 30), (0, 0), (1, 10))
            answer = await running
            assert (answer.value, answer.failed) == ("0 10 nil 30 3: boom", 1)
            assert [(e.index, e.message) for e in d.view.failures] == [(2, "boom")]
            assert d.view.advances[-1] == (4, 1)
            assert sorted(engine.acknowledged) == [0, 1, 2, 3]

    run(main())


def test_generate_data_may_fail_for_some(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(
            generate="if index % 3 == 1 then error('not ' .. index) end return index",
            interpret=LISTING,
        )
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(path, engine, tasks=6, on_error="continue"))
            await engine.submitted(4)
            assert set(engine.payloads) == {0, 2, 3, 5}
            engine.finish(*((index, 10 * index) for index in engine.payloads))
            answer = await running
            assert answer.value == ("0 nil 20 30 nil 50 2: job.lua:2: not 1 5: job.lua:2: not 4")
            assert answer.failed == 2
            assert {(e.function, e.index) for e in d.view.failures} == {
                ("generate_data", 1),
                ("generate_data", 4),
            }
            assert sorted(engine.acknowledged) == [0, 2, 3, 5], "what was submitted"
        async with driver() as d:
            with pytest.raises(ScriptError, match="not 1") as caught:
                await d.run(path, new_engine(), tasks=6)
            assert (caught.value.function, caught.value.index) == ("generate_data", 1)
            assert caught.value.excerpt.startswith("2 | function generate_data")

    run(main())


def test_generate_data_may_fail_for_all(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            path = script(generate="error('no')", interpret="return results.n")
            answer = await d.run(path, new_engine(), tasks=300, on_error="continue")
            assert (answer.value, answer.failed) == (300, 300)

    run(main())


def test_an_error_in_interpret_results_is_explained(
    run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            with pytest.raises(ScriptError) as caught:
                await d.answer(script(interpret="return nil .. 1"))
            assert caught.value.function == "interpret_results"
            assert caught.value.index is None
            assert caught.value.excerpt == "4 | function interpret_results() return nil .. 1 end"

    run(main())


# -- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("top", ("main chunk", None)),
        ("generate", ("generate_data", 100)),
        ("interpret", ("interpret_results", None)),
    ],
)
def test_what_overruns_its_time_is_named(
    part: str, expected: tuple[object, ...], run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        loop = "if (index or 100) == 100 then while true do end end"
        rest = {"top": "", "generate": "return index", "interpret": ""}[part]
        async with driver() as d:
            with pytest.raises(ScriptError, match=r"timeout of 0\.3 s reached, killed") as caught:
                await d.answer(
                    script(**{part: f"{loop} {rest}"}), tasks=200, timeout=TimeLimit(0.3)
                )
            error = caught.value
            assert (error.kind, error.function, error.index) == ("timeout", *expected)

    run(main())


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("top", ("main chunk", None)),
        ("generate", ("generate_data", 100)),
        ("interpret", ("interpret_results", None)),
    ],
)
def test_what_overruns_its_memory_is_named(
    part: str, expected: tuple[object, ...], run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        bomb = (
            "if (index or 100) == 100 then "
            "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end end"
        )
        rest = {"top": "", "generate": "return index", "interpret": ""}[part]
        async with driver(memory_bytes=64 * limits.MB) as d:
            with pytest.raises(ScriptError) as caught:
                await d.answer(script(**{part: f"{bomb} {rest}"}), tasks=200)
            error = caught.value
            assert (error.kind, error.function, error.index) == ("memory", *expected)

    run(main())


def test_a_script_process_that_is_full_ends_the_job_though_failures_are_only_counted(
    run: Callable, driver: Callable, script: Callable
) -> None:
    """Nobody is left to generate the data of the other tasks."""

    async def main() -> None:
        bomb = (
            "if index == 100 then "
            "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end end return index"
        )
        async with driver(memory_bytes=64 * limits.MB) as d:
            with pytest.raises(ScriptError, match="memory limit of 64 MB reached") as caught:
                await d.answer(script(generate=bomb), tasks=200, on_error="continue")
            error = caught.value
            assert (error.kind, error.function, error.index) == ("memory", "generate_data", 100)

    run(main())


def test_results_that_do_not_fit_are_an_error(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver(memory_bytes=64 * limits.MB) as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(script(), engine, tasks=40))
            await engine.submitted(40)
            for index in range(40):
                engine.finish((index, "x" * 4_000_000))
            with pytest.raises(ScriptError) as caught:
                await running
            assert caught.value.kind == "memory"

    run(main())


# -- losses --------------------------------------------------------------------------------------


def test_waiting_for_workers_has_its_bound(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            engine = new_engine()
            engine.can_start = False
            with pytest.raises(
                ClusterLost, match=r"after 0.05 s there are fewer than 3 workers; start"
            ):
                await d.run(script(), engine, wait_s=0.05, workers_min=3)
            assert engine.opened[0][3] == 3
            assert engine.closed

    run(main())


@pytest.mark.parametrize("moment", ["before the start", "while tasks run"])
def test_a_lost_job_ends_at_once(
    moment: str, run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            engine = new_engine(credit=50)
            engine.can_start = moment != "before the start"
            running = asyncio.create_task(d.run(script(), engine, tasks=100_000))
            await engine.until(lambda: engine.opened)
            if engine.can_start:
                await engine.until(lambda: engine.payloads and engine.is_waiting)
            engine.lose(ClusterLost("the host is gone"))
            engine.lose(ClusterLost("told twice"))
            with pytest.raises(ClusterLost, match="the host is gone"):
                await running
            assert engine.closed

    run(main())


def test_a_cluster_that_is_lost_after_the_last_result_is_not_missed(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            engine = new_engine()
            path = script(interpret="print('interpreting') return io.read('*l') or 'done'")
            running = asyncio.create_task(d.run(path, engine, tasks=1))
            await engine.submitted(1)
            engine.finish((0, 0))
            await d.view.until_printed(b"interpreting")
            engine.lose(ClusterLost("too late"))
            assert (await running).value == "done"

    run(main())


@pytest.mark.parametrize("moment", ["top", "generate", "execute", "interpret"])
def test_the_death_of_the_script_process_ends_the_job(
    moment: str, run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    loop = "print('here') while true do end"

    async def main() -> None:
        async with driver() as d:
            engine = new_engine()
            parts = {} if moment == "execute" else {moment: loop}
            running = asyncio.create_task(d.run(script(**parts), engine, tasks=3))
            if moment in ("execute", "interpret"):
                await engine.submitted(3)
            if moment == "interpret":
                engine.finish((0, 0), (1, 1), (2, 2))
            if moment != "execute":
                await d.view.until_printed(b"here")
            (await d.process()).send_signal(signal.SIGKILL)
            with pytest.raises(ProcessLost, match="the script process was killed by SIGKILL"):
                await running

    run(main())


def test_a_crash_of_the_script_process_is_the_scripts(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            path = script(
                generate="if index == 77 then print('here') while true do end end return 1"
            )
            running = asyncio.create_task(d.run(path, new_engine(), tasks=100))
            await d.view.until_printed(b"here")
            (await d.process()).send_signal(signal.SIGSEGV)
            with pytest.raises(MidasError, match="the script process died: killed by SIGSEGV"):
                await running
            error = running.exception()
            assert isinstance(error, ScriptError)
            assert (error.kind, error.function, error.index) == ("lost", "generate_data", 77)

    run(main())
