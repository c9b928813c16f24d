"""Rounds with a real script process, on an engine that the test plays."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest

from midas_mp import limits
from midas_mp.config import TimeLimit
from midas_mp.driver.round import REQUESTS_MAX
from midas_mp.errors import ClusterLost, ScriptError

RESULTS = """
  local parts = {}
  for i = 1, results.n do parts[i] = tostring(results[i]) end
  for i, message in pairs(errors or {}) do parts[#parts + 1] = i .. ": " .. message end
  return table.concat(parts, " ")
"""


@pytest.fixture
def listing(script: Callable) -> Callable[..., Path]:
    """A script whose answer lists results and errors."""
    return lambda top="", **parts: script(top=top, interpret=RESULTS, **parts)


# -- on_result -----------------------------------------------------------------------------------


def test_on_result_sees_results_as_they_arrive_and_what_it_returns_stands_for_them(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(
            top="seen = {} function on_result(index, result) seen[#seen + 1] = index "
            "if index ~= 1 then return result .. midas.index .. '/' .. midas.count end end",
            interpret="return table.concat(seen, ',') .. ' ' .. results[1] .. ' ' .. "
            "tostring(results[2]) .. ' ' .. results[3] .. ' ' .. results.n",
        )
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(path, engine, tasks=3))
            await engine.submitted(3)
            engine.finish((2, "c"), (0, "a"))
            await engine.until(lambda: len(engine.acknowledged) == 2)
            engine.finish((1, "b"))
            answer = await running
            assert answer.value == "2,0,1 a0/3 nil c2/3 3"
            assert engine.acknowledged == [2, 0, 1]
            assert d.view.advances[-1] == (3, 0)

    run(main())


def test_thousands_of_results_are_each_shown_once_in_order(
    run: Callable, driver: Callable, script: Callable, shuffled: Callable, new_engine: Callable
) -> None:
    count = 3000

    async def main() -> None:
        path = script(
            top="seen = {} function on_result(index, result) "
            "assert(index == result) seen[#seen + 1] = index end",
            interpret="return table.concat(seen, ',')",
        )
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(path, engine, tasks=count))
            await engine.submitted(count)
            order = shuffled(range(count))
            for start in range(0, count, 7):
                engine.finish(*((index, index) for index in order[start : start + 7]))
            assert (await running).value == ",".join(map(str, order))
            assert sorted(engine.acknowledged) == list(range(count))

    run(main())


def test_on_result_and_generate_data_take_turns(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    """A slow on_result must not leave the workers without tasks."""

    async def main() -> None:
        path = script(
            top="shown = 0 function on_result() shown = shown + 1 "
            "local ends = os.clock() + 0.003 while os.clock() < ends do end end",
            generate="return shown",
            interpret="return shown",
        )
        async with driver() as d:
            engine = new_engine(credit=300)
            running = asyncio.create_task(d.run(path, engine, tasks=400))
            await engine.until(lambda: engine.is_waiting)
            ready = len(engine.payloads)
            engine.finish(*((index, 0) for index in range(ready)))
            engine.credit = 1_000
            engine.changed()
            await engine.submitted(400)
            assert engine.payloads[399] < ready, "generated before all of them were shown"
            engine.finish(*((index, 0) for index in range(ready, 400)))
            assert (await running).value == 400

    run(main())


def test_large_results_are_shown_a_few_at_a_time(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(
            top="function on_result(index, result) io.read('*l') return #result end",
            interpret="local sum = 0 for i = 1, results.n do sum = sum + results[i] end return sum",
        )
        async with driver() as d:
            engine = new_engine()
            asked: list[int] = []
            ask = d.script.ask_calls

            def watched(order, part_arrived, buffers=()):
                asked.append(sum(map(len, buffers)))
                return ask(order, part_arrived, buffers)

            d.script.ask_calls = watched
            running = asyncio.create_task(d.run(path, engine, tasks=12))
            await engine.submitted(12)
            engine.finish(*((index, "x" * 3_000_000) for index in range(12)))
            assert (await running).value == 36_000_000
            assert max(asked) <= 8 * limits.MB
            assert REQUESTS_MAX == 2

    run(main())


def test_failed_tasks_are_not_shown(
    run: Callable, driver: Callable, listing: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = listing(top="function on_result(index, result) return result * 2 end")
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(path, engine, tasks=3, on_error="continue"))
            await engine.submitted(3)
            engine.finish((0, 1))
            engine.fail(1, "boom")
            engine.finish((2, 3))
            answer = await running
            assert (answer.value, answer.failed) == ("2 nil 6 2: boom", 1)
            assert sorted(engine.acknowledged) == [0, 1, 2]

    run(main())


def test_an_error_in_on_result_ends_the_job_or_counts_as_the_tasks(
    run: Callable, driver: Callable, listing: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = listing(
            top="function on_result(index, result) if index > 0 then error('odd') end return 7 end"
        )
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(path, engine, tasks=2))
            await engine.submitted(2)
            engine.finish((0, 0), (1, 1))
            with pytest.raises(ScriptError, match="odd") as caught:
                await running
            error = caught.value
            assert (error.function, error.index, error.worker) == ("on_result", 1, None)
            assert error.excerpt.startswith("1 | function on_result")
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(path, engine, tasks=3, on_error="continue"))
            await engine.submitted(3)
            engine.finish((0, 0), (1, 1), (2, 2))
            answer = await running
            assert answer.value == "7 nil nil 2: job.lua:1: odd 3: job.lua:1: odd"
            assert answer.failed == 2
            assert [(e.function, e.index) for e in d.view.failures] == [
                ("on_result", 1),
                ("on_result", 2),
            ]
            assert d.view.advances[-1] == (3, 2)
            assert sorted(engine.acknowledged) == [0, 1, 2]

    run(main())


@pytest.mark.parametrize("payload", [b"\xc1", b"\x91" * 2_000 + b"\x01", b"\x01\x02", b""])
def test_a_result_that_is_no_value_fails_its_task_alone(
    run: Callable, driver: Callable, listing: Callable, new_engine: Callable, payload: bytes
) -> None:
    async def end(top: str) -> None:
        async with driver() as d:
            engine = new_engine()
            path = listing(top=top)
            running = asyncio.create_task(d.run(path, engine, tasks=3, on_error="continue"))
            await engine.submitted(3)
            engine.arrive((0, msgpack.packb(1)), (1, payload), (2, msgpack.packb(3)))
            answer = await running
            assert answer.failed == 1
            assert answer.value.startswith("1 nil 3 2: ")
            (failure,) = d.view.failures
            assert (failure.kind, failure.index) == ("unsendable", 1)
            assert sorted(engine.acknowledged) == [0, 1, 2]

    run(end(""))
    run(end("function on_result(index, result) return result end"))


def test_a_result_that_is_no_value_ends_a_job_that_stops_at_errors(
    run: Callable, driver: Callable, listing: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(listing(), engine, tasks=1))
            await engine.submitted(1)
            engine.arrive((0, b"\xc1"))
            with pytest.raises(ScriptError) as caught:
                await running
            assert (caught.value.kind, caught.value.index) == ("unsendable", 0)

    run(main())


def test_a_failure_that_is_none_fails_its_task_alone(
    run: Callable, driver: Callable, listing: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(listing(), engine, tasks=2, on_error="continue"))
            await engine.submitted(2)
            engine.fail_with(0, b"\xc1")
            engine.finish((1, 2))
            answer = await running
            assert answer.failed == 1
            assert answer.value.startswith("nil 2 1: why it failed is not known")

    run(main())


def test_on_result_that_overruns_its_time_is_named(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(top="function on_result(index) while index == 2 do end end")
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(path, engine, tasks=4, timeout=TimeLimit(0.3)))
            await engine.submitted(4)
            engine.finish(*((index, 0) for index in range(4)))
            with pytest.raises(ScriptError, match=r"timeout of 0\.3 s") as caught:
                await running
            assert (caught.value.function, caught.value.index) == ("on_result", 2)

    run(main())


def test_the_death_of_the_script_process_in_on_result_ends_the_job(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(top="function on_result() print('here') while true do end end")
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(path, engine, tasks=1))
            await engine.submitted(1)
            engine.finish((0, 0))
            await d.view.until_printed(b"here")
            (await d.process()).send_signal(signal.SIGSEGV)
            with pytest.raises(ScriptError, match="SIGSEGV") as caught:
                await running
            assert (caught.value.function, caught.value.index) == ("on_result", 0)

    run(main())


# -- rounds --------------------------------------------------------------------------------------


def test_rounds_go_on_as_long_as_next_round_wants_them(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(
            top="sums = {} function next_round(round) assert(round == midas.round) "
            "local sum = 0 for i = 1, results.n do sum = sum + results[i] end "
            "sums[#sums + 1] = sum return round < 2 end",
            generate="return { index, count, midas.round, (results or {})[1] }",
            interpret="return table.concat(sums, ',') .. ' ' .. results.n .. ' ' .. midas.round",
        )
        async with driver() as d:
            engine = new_engine(workers=2)
            running = asyncio.create_task(d.run(path, engine))
            await engine.submitted(2)
            engine.finish((0, 1), (1, 2))
            await engine.submitted(2, round_=1)
            assert engine.payloads[0] == [0, 2, 1], "what next_round saw is gone"
            engine._observer.workers_changed(3)
            engine.finish((0, 10), (1, 20))
            await engine.submitted(3, round_=2)
            assert engine.payloads[2] == [2, 3, 2], "the count is settled when a round begins"
            engine.finish((2, 300), (1, 200), (0, 100))
            assert (await running).value == "3,30,600 3 2"
            assert d.view.starts == [(0, 2, 2), (1, 2, 2), (2, 3, 3)]
            assert engine.closed == [""]

    run(main())


def test_hundreds_of_rounds_without_a_task_end_too(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(
            top="function next_round(round) return round < 299 end "
            "function on_result() error('of what?') end",
            interpret="return midas.round .. ' ' .. results.n",
        )
        async with driver() as d:
            assert (await d.run(path, new_engine(), tasks=0)).value == "299 0"
            assert len(d.view.starts) == 300

    run(main())


def test_a_round_for_each_worker_waits_for_the_first(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(
            top="function next_round(round) print('next') return round == 0 end",
            interpret="return results.n",
        )
        async with driver() as d:
            engine = new_engine(workers=1)
            running = asyncio.create_task(d.run(path, engine))
            await engine.submitted(1)
            engine._observer.workers_changed(0)
            engine.finish((0, 0))
            await d.view.until_printed(b"next")
            for _ in range(3):  # turns of the loop and of the script process
                await d.script.store("load-1", 0, [], [])
            assert len(d.view.starts) == 1
            engine._observer.workers_changed(2)
            await engine.submitted(2, round_=1)
            engine.finish((0, 0), (1, 1))
            assert (await running).value == 2

    run(main())


@pytest.mark.parametrize("name", ["next_round", "generate_shared_data"])
def test_an_error_between_rounds_is_explained(
    name: str, run: Callable, driver: Callable, script: Callable
) -> None:
    async def main() -> None:
        for on_error in ("stop", "continue"):
            async with driver() as d:
                path = script(top=f"function {name}() return nil .. 1 end")
                with pytest.raises(ScriptError, match="concatenate") as caught:
                    await d.answer(path, on_error=on_error)
                error = caught.value
                assert (error.function, error.index) == (name, None)
                assert error.excerpt == f"1 | function {name}() return nil .. 1 end"

    run(main())


def test_a_cluster_that_is_lost_between_rounds_ends_the_next(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(top="function next_round() print('next') return io.read('*l') or true end")
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(path, engine, tasks=1))
            await engine.submitted(1)
            engine.finish((0, 0))
            await d.view.until_printed(b"next")
            engine.lose(ClusterLost("gone"))
            with pytest.raises(ClusterLost, match="gone"):
                await running

    run(main())


# -- shared data ---------------------------------------------------------------------------------


def test_each_round_shares_its_data_before_its_first_task(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(
            top="function generate_shared_data() return { round = midas.round } end "
            "function next_round(round) return round == 0 end",
            generate="return shared_data.round",
            interpret="return shared_data.round",
        )
        async with driver() as d:
            engine = new_engine()
            running = asyncio.create_task(d.run(path, engine, tasks=2))
            for number in (0, 1):
                await engine.submitted(2, round_=number)
                assert engine.payloads == {0: number, 1: number}
                assert engine.shared == [(n, {"round": n}) for n in range(number + 1)]
                engine._observer.shared_progressed("lab", 5, 10)
                engine.finish((0, 0), (1, 0))
            assert (await running).value == 1
            assert d.view.shared == [("lab", 5, 10)] * 2

    run(main())


def test_nothing_is_shared_where_there_is_no_task(
    run: Callable, driver: Callable, script: Callable, new_engine: Callable
) -> None:
    async def main() -> None:
        path = script(
            top="function generate_shared_data() return 'made' end", interpret="return shared_data"
        )
        async with driver() as d:
            engine = new_engine()
            assert (await d.run(path, engine, tasks=0)).value == "made"
            assert engine.shared == []

    run(main())
