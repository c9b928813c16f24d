"""The client for asyncio."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys

import psutil
import pytest

from midas_mp import BrokenCluster, ExecutorClosed, ScriptError, UnsendableValue, UsageError, aio
from midas_mp.transport import loop

SQUARE = "function(x) return x * x end"
ENDLESS = "function() while true do end end"


@pytest.fixture
def run_with(run):
    """Runs a coroutine function with an open client."""

    def start(work, **options):
        async def main():
            async with aio.Client(**({"max_workers": 2} | options)) as client:
                return await work(client)

        return run(main())

    return start


def test_it_is_there_when_it_is_asked_for(start):
    program = (
        "import sys, midas_mp; assert 'asyncio' not in sys.modules; print(midas_mp.aio.Client)"
    )
    ended = start("-c", program, command=[sys.executable]).wait()
    assert (ended.code, ended.err) == (0, "")


def test_a_call_is_awaited(run_with):
    async def work(client):
        assert await client.submit(SQUARE, 7) == 49
        assert await asyncio.gather(*(client.submit(SQUARE, x) for x in range(500))) == [
            x * x for x in range(500)
        ]

    run_with(work)


def test_calls_may_use_what_is_granted_and_not_denied(run_with, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("from the file")

    async def work(client):
        read = "function(path) return io.open(path):read('*a') end"
        assert await client.submit(read, str(path)) == "from the file"
        with pytest.raises(ScriptError, match="the clock is not permitted"):
            await client.submit("function() return os.clock() end")

    run_with(work, allow=[f"read={tmp_path}"], deny=["clock"])


def test_errors_are_raised_where_they_are_awaited(run_with):
    async def work(client):
        with pytest.raises(ScriptError, match="deliberate"):
            await client.submit("function() error('deliberate') end")
        with pytest.raises(UnsendableValue, match="argument 1: cannot send a set"):
            await client.submit(SQUARE, {1})
        with pytest.raises(TypeError, match="give Lua source"):
            await client.submit(len)

    run_with(work)


def test_cancelling_an_await_stops_the_call(run_with):
    async def work(client):
        endless = asyncio.create_task(client.submit(ENDLESS))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.submit(ENDLESS), 0.05)
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        assert await client.submit(SQUARE, 3) == 9

    run_with(work, max_workers=1)


@pytest.mark.parametrize("chunksize", [None, 1, 7])
def test_a_map_gives_results_in_order(run_with, chunksize):
    async def work(client):
        results = client.map(SQUARE, range(300), chunksize=chunksize)
        assert [r async for r in results] == [x * x for x in range(300)]
        rows = client.starmap(
            "function(x, y) return x + y end", zip(range(9), range(9), strict=True)
        )
        assert [r async for r in rows] == [2 * x for x in range(9)]

    run_with(work)


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_an_endless_map_may_be_left(run_with, chunksize):
    async def work(client):
        results = client.map(SQUARE, itertools.count(), buffersize=20, chunksize=chunksize)
        given = []
        async for result in results:
            given.append(result)
            if len(given) == 100:
                break
        await results.aclose()
        assert given == [x * x for x in range(100)]

    run_with(work)


def test_a_map_raises_its_first_error_at_its_place(run_with):
    async def work(client):
        source = "function(x) if x == 5 then error('five') end return x end"
        given = []
        with pytest.raises(ScriptError, match="five") as raised:  # noqa: PT012 - a loop is one
            async for result in client.map(source, range(10)):
                given.append(result)  # noqa: PERF401 - what came before the error counts
        assert given == [0, 1, 2, 3, 4]
        assert raised.value.index == 5

    run_with(work)


def test_a_map_that_is_late_is_a_timeout_and_stops(run_with):
    async def work(client):
        with pytest.raises(TimeoutError):
            async for _ in client.map(ENDLESS, [1], timeout=0.05):
                pass
        assert await client.submit(SQUARE, 3) == 9

    run_with(work, max_workers=1)


def test_progress_is_told(run_with):
    async def work(client):
        told = []
        async for _ in client.map(SQUARE, range(50), progress=lambda *counts: told.append(counts)):
            pass
        assert told[-1] == (50, 50)

    run_with(work)


def test_closing_ends_what_is_awaited(run_with):
    async def work(client):
        endless = asyncio.create_task(client.submit(ENDLESS))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ExecutorClosed):
            await endless
        with pytest.raises(ExecutorClosed, match="is not open"):
            await client.submit(SQUARE, 1)
        with pytest.raises(ExecutorClosed, match="is not open"):
            client.map(SQUARE, [1])
        assert repr(client) == "<midas_mp.aio.Client on this machine, not open>"

    run_with(work)


def test_a_lost_cluster_breaks_it(run_with):
    async def work(client):
        before = asyncio.create_task(client.submit(ENDLESS))
        await asyncio.sleep(0)
        zygote = max(psutil.Process().children(), key=psutil.Process.create_time)
        os.kill(zygote.pid, signal.SIGKILL)
        with pytest.raises(BrokenCluster, match="the zygote ended"):
            await before
        with pytest.raises(BrokenCluster):
            await client.submit(SQUARE, 1)
        with pytest.raises(BrokenCluster):
            [r async for r in client.map(SQUARE, [1])]

    run_with(work)


def test_it_says_what_it_is(run_with):
    async def work(client):
        await client.submit(SQUARE, 1)
        assert repr(client) == "<midas_mp.aio.Client on this machine, 2 workers>"

    run_with(work)


def test_a_standing_host_is_a_workplace(standing_host):
    async def main():
        async with aio.Client(standing_host) as client:
            assert await client.submit(SQUARE, 7) == 49
            assert [r async for r in client.map(SQUARE, range(5))] == [0, 1, 4, 9, 16]

    loop.run(main())


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="max_workers"):
        aio.Client(max_workers=0)


# -- scripts ---------------------------------------------------------------------------------------


def test_a_script_is_awaited(run_with, script):
    async def work(client):
        told = []
        answer = await client.run(script(), tasks=3, progress=lambda *counts: told.append(counts))
        assert answer == "0,1,2"
        assert told[-1] == (3, 3)
        answers = await asyncio.gather(client.run(script()), client.submit(SQUARE, 3))
        assert answers == ["0,1", 9]
        with pytest.raises(ScriptError, match=r"job\.lua:3: no"):
            await client.run(script("error('no')"))

    run_with(work)


def test_cancelling_the_await_of_a_script_stops_it(run_with, script):
    async def work(client):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.run(script("while true do end"), tasks=1), 0.3)
        assert await client.submit(SQUARE, 3) == 9

    run_with(work, max_workers=1)


def test_closing_ends_a_script(run_with, script):
    async def work(client):
        begun = asyncio.Event()
        endless = script("if global_data.index > 0 then while true do end end return 0")
        running = asyncio.create_task(client.run(endless, tasks=2, progress=lambda *_: begun.set()))
        await begun.wait()
        await client.close()
        with pytest.raises(ExecutorClosed, match="was closed"):
            await running
        with pytest.raises(ExecutorClosed, match="is not open"):
            await client.run(script())

    run_with(work)


def test_a_lost_cluster_breaks_a_script(run_with, script):
    async def work(client):
        await client.submit(SQUARE, 1)
        running = asyncio.create_task(client.run(script("while true do end")))
        await asyncio.sleep(0)
        zygote = max(psutil.Process().children(), key=psutil.Process.create_time)
        os.kill(zygote.pid, signal.SIGKILL)
        with pytest.raises(BrokenCluster, match="the zygote ended"):
            await running
        with pytest.raises(BrokenCluster, match="the zygote ended"):
            await client.run(script())

    run_with(work)


def test_it_stands_still_until_it_is_resumed_or_closed(run_with):
    async def work(client):
        client.pause()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.submit(SQUARE, 2)
        call = asyncio.create_task(client.submit(SQUARE, 3))
        await asyncio.sleep(0)
        client.resume()
        assert await call == 9
        client.pause()
        never = asyncio.create_task(client.submit(SQUARE, 4))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ExecutorClosed):
            await never
        with pytest.raises(ExecutorClosed):
            client.resume()

    run_with(work)
