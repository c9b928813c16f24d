"""The script's own process, asked directly."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import msgpack
import pytest

from midas_mp import limits
from midas_mp.driver.script_process import CallResults, ScriptProcess, script_error
from midas_mp.errors import ProcessLost, ScriptError
from midas_mp.lua.bundle import Bundle
from midas_mp.permissions import Permissions
from midas_mp.wire.messages import Call, Failure, JobSpec, Outcome, RunTasks, Status

SOURCE = """
config = { tasks = 4 }
function generate_data(index, count) return { index, count } end
function execute_code() end
function interpret_results()
  local parts = {}
  for i = 1, results.n do parts[i] = tostring(results[i]) .. '/' .. tostring(errors[i]) end
  return table.concat(parts, ' ')
end
"""


def bundle(source: str = SOURCE) -> Bundle:
    return Bundle.from_sources("job.lua", [], [source.encode()])


def order(entry: str, *indices: int, job: str = "j", source: str = SOURCE) -> RunTasks:
    calls = [Call(index, 0, 0) for index in indices]
    return RunTasks(job, 0, 3, bundle(source).digest, entry, calls)


def test_loading_tells_functions_and_config(run: Callable, driver: Callable) -> None:
    async def main() -> None:
        async with driver() as d:
            loaded = await d.script.load("j", JobSpec(), bundle())
            assert loaded.functions == {"generate_data", "execute_code", "interpret_results"}
            assert loaded.config == {"tasks": 4}
            assert loaded.failure is None
            assert await d.script.ready >= 1

    run(main())


def test_a_failure_to_load_is_told_with_the_config_there_was(
    run: Callable, driver: Callable
) -> None:
    async def main() -> None:
        async with driver() as d:
            source = "config = { tasks = 7 } error('top')"
            loaded = await d.script.load("j", JobSpec(), bundle(source))
            assert loaded.config == {"tasks": 7}
            assert loaded.failure.kind == "runtime"
            assert "job.lua:1: top" in loaded.failure.message

    run(main())


def test_requests_are_answered_in_their_order(run: Callable, driver: Callable) -> None:
    async def main() -> None:
        async with driver() as d:
            await d.script.load("j", JobSpec(), bundle())
            outcomes = [Outcome(0, 0, Status.OK, 1), Outcome(2, 0, Status.FAILED, 1)]
            failure = Failure("runtime", "boom").to_payload()
            first, stored, last, answer = await asyncio.gather(
                d.script.call(order("generate_data", 0, 1)),
                d.script.store("j", 0, outcomes, [msgpack.packb("zero"), failure]),
                d.script.call(order("generate_data", 2)),
                d.script.call(order("interpret_results", 0)),
            )
            assert [msgpack.unpackb(b) for b in first.buffers] == [[0, 3], [1, 3]]
            assert [outcome.index for outcome in first.outcomes] == [0, 1]
            assert stored == (2, None)
            assert msgpack.unpackb(last.buffers[0]) == [2, 3]
            assert msgpack.unpackb(answer.buffers[0]) == "zero/nil nil/nil nil/boom"

    run(main())


def test_an_answer_of_many_frames_is_one(run: Callable, driver: Callable) -> None:
    source = "function generate_data(index) return ('x'):rep(300000 + index) end"

    async def main() -> None:
        async with driver() as d:
            await d.script.load("j", JobSpec(), bundle(source))
            results = await d.script.call(order("generate_data", *range(20), source=source))
            assert [outcome.index for outcome in results.outcomes] == list(range(20))
            assert [len(msgpack.unpackb(b)) for b in results.buffers] == [
                300_000 + index for index in range(20)
            ]

    run(main())


def test_a_slow_call_holds_back_none_before_it(run: Callable, driver: Callable) -> None:
    source = (
        "function generate_data(index) local began = os.clock() "
        "while index == 1 or os.clock() - began < 0.01 do end return index end"
    )

    async def main() -> None:
        async with driver() as d:
            await d.script.load("j", JobSpec(), bundle(source))
            parts: asyncio.Queue[CallResults] = asyncio.Queue()
            both = d.script.ask_calls(order("generate_data", 0, 1, source=source), parts.put_nowait)
            part = await parts.get()
            assert [outcome.index for outcome in part.outcomes] == [0]
            assert [msgpack.unpackb(b) for b in part.buffers] == [0]
            assert not both.done()

    run(main())


def test_another_script_may_follow(run: Callable, driver: Callable) -> None:
    source = "count = 7 print('two') function generate_data() return count end"

    async def main() -> None:
        async with driver() as d:
            await d.script.load("one", JobSpec(), bundle("count = 1 print('one')"))
            d.script.unload("one")
            loaded = await d.script.load("two", JobSpec(), bundle(source))
            assert loaded.functions == {"generate_data"}
            results = await d.script.call(order("generate_data", 0, job="two", source=source))
            assert msgpack.unpackb(results.buffers[0]) == 7
            assert [text for _, _, text in d.view.prints] == [b"one", b"two"]

    run(main())


def test_who_gives_up_waiting_disturbs_nobody(run: Callable, driver: Callable) -> None:
    async def main() -> None:
        async with driver() as d:
            await d.script.load("j", JobSpec(), bundle())
            given_up = asyncio.create_task(d.script.call(order("generate_data", 0)))
            await asyncio.sleep(0)
            given_up.cancel()
            results = await d.script.call(order("generate_data", 1))
            assert msgpack.unpackb(results.buffers[0]) == [1, 3]

    run(main())


def test_a_death_is_told_to_all_who_wait_and_all_who_ask_later(
    run: Callable, driver: Callable
) -> None:
    source = "function generate_data() print('here') while true do end end"

    async def main() -> None:
        async with driver() as d:
            await d.script.load("j", JobSpec(), bundle(source))
            waiting = [
                asyncio.create_task(d.script.call(order("generate_data", 0, source=source)))
                for _ in range(3)
            ]
            await d.view.until_printed(b"here")
            (await d.process()).kill()
            for ended in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(ended, ProcessLost)
                assert str(ended) == "the script process was killed by SIGKILL"
            for _ in range(2):
                with pytest.raises(ProcessLost):
                    await d.script.call(order("generate_data", 0, source=source))
            assert isinstance(d.script.lost.exception(), ProcessLost)

    run(main())


def test_a_death_before_it_was_ready_is_told(
    run: Callable, driver: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MEMORY_SLACK_BYTES", 0)

    async def main() -> None:
        async with driver(memory_bytes=1) as d:
            with pytest.raises(ScriptError, match="the script process died: ") as caught:
                await d.script.load("j", JobSpec(), bundle())
            assert caught.value.kind == "lost"

    run(main())


def test_one_that_is_confined_less_than_it_must_be_is_none(run: Callable, driver: Callable) -> None:
    async def main() -> None:
        async with driver() as d:
            script = ScriptProcess(
                d.supervisor,
                node="here",
                memory_bytes=0,
                sandbox_level_max=0,
                working_directory="",
                permissions=Permissions.of_driver(""),
                sandbox_level_min=1,
                printed=pytest.fail,
            )
            with pytest.raises(ProcessLost, match="the script's own process reaches only sandbox"):
                await script.ready

    run(main())


def test_the_death_of_its_zygote_is_its_own(run: Callable, driver: Callable) -> None:
    async def main() -> None:
        async with driver() as d:
            await d.script.ready
            loading = asyncio.create_task(
                d.script.load("j", JobSpec(), bundle("print('here') while true do end"))
            )
            await d.view.until_printed(b"here")
            os.kill(d.zygote.pid, signal.SIGKILL)
            with pytest.raises(ProcessLost):
                await loading
            assert len(d.zygote_losses) == 1

    run(main())


def test_a_failure_becomes_the_exception_that_it_stands_for() -> None:
    payload = Failure("memory", "out of memory", "trace").to_payload()
    error = script_error(payload, function="execute_code", index=3, worker="lab-000")
    assert (error.kind, error.message, error.traceback) == ("memory", "out of memory", "trace")
    assert error.place == "execute_code, task 3, on lab-000"


@pytest.mark.parametrize("payload", [b"", b"\xc0", b"\xc1", b"\x81\xa4kind\xa1x"])
def test_what_is_no_failure_is_one_of_unknown_cause(payload: bytes) -> None:
    error = script_error(payload, index=3, worker="lab-000")
    assert (error.kind, error.place) == ("lost", "task 3, on lab-000")
    assert "why it failed is not known" in error.message
