"""Whole runs: on this machine, at a standing host, as the host; and how each of them is lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from midas_mp import limits
from midas_mp.config import JobOptions, TaskCount, TimeLimit
from midas_mp.driver import session
from midas_mp.driver.session import Run
from midas_mp.errors import (
    AddressInUse,
    ClusterLost,
    HostUnreachable,
    ProcessLost,
    ScriptError,
    UsageError,
)
from midas_mp.host import service as host_service
from midas_mp.participant import service as participant_service
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.zygote import Zygote
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.reception import EVERYBODY

TEN_TIMES = "return 10 * global_data.index"


@pytest.fixture
def make_run(view: Callable) -> Callable[..., Run]:
    """A run of a script, with a zygote of its own."""

    def make(path: Path, *, tasks: int = 6, **options: object) -> Run:
        options = JobOptions(tasks=TaskCount(tasks), **options)
        return Run(path, options, view(), Zygote.start())

    return make


class Announcements:
    """What a host or participant says, one line at a time."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.say = self.lines.put_nowait

    async def match(self, pattern: str) -> re.Match[str]:
        while not (found := re.search(pattern, await self.lines.get())):
            pass
        return found

    async def address(self) -> Address:
        return Address.parse((await self.match(r"listening on ([0-9.:]+)"))[1])


@asynccontextmanager
async def ended_with(*coroutines) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Runs services beside the test, and cancels them in the end."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def standing_host() -> AsyncIterator[tuple[Address, asyncio.Task[None]]]:
    said = Announcements()
    serving = host_service.serve(
        Address(port=0), EVERYBODY, announce=said.say, invite=lambda address: None
    )
    async with ended_with(serving) as (task,):
        yield await said.address(), task


@asynccontextmanager
async def participant(
    address: Address, name: str = "lab", workers: int = 2
) -> AsyncIterator[Zygote]:
    zygote = Zygote.start()
    settings = NodeSettings(name, False, workers, 256 * limits.MB)
    said = Announcements()
    serving = participant_service.serve(address, settings, zygote, badge=None, announce=said.say)
    async with ended_with(serving):
        yield zygote


# -- on this machine -----------------------------------------------------------------------------


def test_on_this_machine(run: Callable, script: Callable, make_run: Callable) -> None:
    async def main() -> None:
        for workers in (1, 3):
            answer = await session.run_on_this_machine(
                make_run(script(TEN_TIMES), tasks=500), workers=workers
            )
            assert answer.value == ",".join(str(10 * index) for index in range(500))

    run(main())


def test_every_core_has_a_worker_when_nobody_says(
    run: Callable, script: Callable, view: Callable
) -> None:
    async def main() -> None:
        shown = view()
        path = script("return 1", interpret="return results.n")
        running = Run(path, JobOptions(), shown, Zygote.start())
        answer = await session.run_on_this_machine(running, workers=None)
        assert shown.starts == [(0, answer.value, answer.value)]
        assert 1 <= answer.value <= os.cpu_count()

    run(main())


def test_a_script_error_leaves_nothing_running(
    run: Callable, script: Callable, make_run: Callable
) -> None:
    execute = "if global_data.index == 3 then error('boom') end while true do end"

    async def main() -> None:
        with pytest.raises(ScriptError, match="boom") as caught:
            await session.run_on_this_machine(make_run(script(execute)), workers=4)
        assert caught.value.place == "execute_code, task 3, on " + caught.value.worker

    run(main())


def test_a_task_over_its_time_is_a_script_error(
    run: Callable, script: Callable, make_run: Callable
) -> None:
    execute = "while global_data.index == 3 do end return 1"

    async def main() -> None:
        with pytest.raises(ScriptError, match=r"timeout of 0\.2 s reached") as caught:
            await session.run_on_this_machine(
                make_run(script(execute), timeout=TimeLimit(0.2)), workers=2
            )
        assert (caught.value.kind, caught.value.index) == ("timeout", 3)
        path = script(execute, interpret="return results.n .. tostring(results[4]) .. errors[4]")
        answer = await session.run_on_this_machine(
            make_run(path, timeout=TimeLimit(0.2), on_error="continue"), workers=2
        )
        assert answer.value.startswith("6niltimeout of 0.2 s reached, killed; peak memory ")
        assert answer.failed == 1

    run(main())


def test_a_missing_script_leaves_nothing_running(
    run: Callable, tmp_path: Path, make_run: Callable
) -> None:
    async def main() -> None:
        with pytest.raises(UsageError):
            await session.run_on_this_machine(make_run(tmp_path / "absent.lua"), workers=2)

    run(main())


@pytest.mark.parametrize("moment", ["top", "generate", "execute", "interpret"])
def test_the_loss_of_the_zygote_ends_a_run_at_any_moment(
    moment: str, run: Callable, script: Callable, make_run: Callable
) -> None:
    async def main() -> None:
        running = make_run(script(**{moment: "print('here') while true do end"}))
        task = asyncio.create_task(session.run_on_this_machine(running, workers=2))
        await running.view.until_printed(b"here")
        os.kill(running.zygote.pid, signal.SIGKILL)
        with pytest.raises(ProcessLost, match="killed by SIGKILL"):
            await task

    run(main())


@pytest.mark.parametrize("moment", ["top", "generate", "execute", "interpret"])
def test_cancelling_ends_a_run_at_any_moment(
    moment: str, run: Callable, script: Callable, make_run: Callable
) -> None:
    async def main() -> None:
        running = make_run(script(**{moment: "print('here') while true do end"}))
        task = asyncio.create_task(session.run_on_this_machine(running, workers=2))
        await running.view.until_printed(b"here")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_workers_that_cannot_start_end_a_run(
    run: Callable, script: Callable, make_run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MEMORY_SLACK_BYTES", 0)

    async def main() -> None:
        running = make_run(
            script(), memory_bytes=1, driver_memory_bytes=256 * limits.MB, wait_s=None
        )
        with pytest.raises(ProcessLost, match="workers cannot start here: "):
            await session.run_on_this_machine(running, workers=2)

    run(main())


# -- at a standing host --------------------------------------------------------------------------


def test_at_a_standing_host_the_answer_is_the_same(
    run: Callable, script: Callable, make_run: Callable
) -> None:
    path_of = {"double": "return 2 * global_data.index", "triple": "return 3 * global_data.index"}

    async def main() -> None:
        async with standing_host() as (address, _), participant(address):
            paths = [script(body, name=f"{name}.lua") for name, body in path_of.items()]
            answers = await asyncio.gather(
                *(
                    session.run_at_host(make_run(path, tasks=400), address, badge=None)
                    for path in paths
                )
            )
            for factor, answer in zip((2, 3), answers, strict=True):
                expected = ",".join(str(factor * index) for index in range(400))
                assert answer.value == expected

    run(main())


def test_a_run_waits_for_the_first_participant(
    run: Callable, script: Callable, make_run: Callable
) -> None:
    async def main() -> None:
        async with standing_host() as (address, _):
            running = make_run(script(top="print('loaded')"))
            task = asyncio.create_task(session.run_at_host(running, address, badge=None))
            await running.view.until_printed(b"loaded")
            async with participant(address):
                assert (await task).value == "0,1,2,3,4,5"

    run(main())


@pytest.mark.parametrize("moment", ["top", "execute"])
def test_a_host_that_stays_away_ends_a_run(
    moment: str,
    run: Callable,
    script: Callable,
    make_run: Callable,
) -> None:
    body = {
        "top": "print('here') local x = io.read('*l')",
        "execute": "print('here') while true do end",
    }

    async def main() -> None:
        async with standing_host() as (address, host), participant(address):
            running = make_run(script(**{moment: body[moment]}))
            work = session.run_at_host(running, address, badge=None, patience_s=0.3)
            task = asyncio.create_task(work)
            await running.view.until_printed(b"here")
            host.cancel()
            with pytest.raises(ClusterLost, match=r"the host is stopping.* within 0.3 s"):
                await task

    run(main())


def test_the_loss_of_a_node_costs_a_run_nothing_but_time(
    run: Callable, script: Callable, make_run: Callable
) -> None:
    execute = """
      print(midas.node)
      local ends = os.clock() + 0.02
      while os.clock() < ends do end
      return global_data.index
    """

    async def main() -> None:
        async with standing_host() as (address, _), participant(address, "safe"):
            async with participant(address, "doomed"):
                running = make_run(script(execute), tasks=100, workers_min=4)
                task = asyncio.create_task(session.run_at_host(running, address, badge=None))
                await running.view.until_printed(b"doomed")
            assert (await task).value == ",".join(map(str, range(100)))

    run(main())


def test_no_host_is_told_before_the_script_runs(
    run: Callable, script: Callable, make_run: Callable
) -> None:
    async def main() -> None:
        async with standing_host() as (address, _):
            pass
        running = make_run(script(top="print('never')"))
        with pytest.raises(HostUnreachable, match="no host listens at"):
            await session.run_at_host(running, address, badge=None)
        assert running.view.prints == []

    run(main())


K_MEANS = """
local TRUE = { 10, 20, 30 }
config = { tasks = 6 }
function generate_shared_data()
  centres = centres or { 9, 12, 40 }
  return { centres = centres, ballast = ("x"):rep(700000) }
end
function generate_data(index)
  local points = {}
  for i = 1, 50 do points[i] = TRUE[1 + (i % 3)] + (index - 2.5) / 10 end
  return points
end
function execute_code()
  assert(#shared_data.ballast == 700000)
  local sums, counts = { 0, 0, 0 }, { 0, 0, 0 }
  for _, point in ipairs(global_data) do
    local best = 1
    for k = 2, 3 do
      local c = shared_data.centres
      if math.abs(point - c[k]) < math.abs(point - c[best]) then best = k end
    end
    sums[best], counts[best] = sums[best] + point, counts[best] + 1
  end
  return { sums = sums, counts = counts, node = midas.node }
end
function on_result(index, result)
  nodes = nodes or {}
  nodes[result.node] = true
  return result
end
function next_round(round)
  local moved = 0
  for k = 1, 3 do
    local sum, count = 0, 0
    for i = 1, results.n do
      sum, count = sum + results[i].sums[k], count + results[i].counts[k]
    end
    local centre = count > 0 and sum / count or centres[k]
    moved = moved + math.abs(centre - centres[k])
    centres[k] = centre
  end
  return moved > 1e-9
end
function interpret_results()
  return ("%.6f %.6f %.6f after %d rounds"):format(
    centres[1], centres[2], centres[3], midas.round + 1)
end
"""


def k_means(path: Path) -> Path:
    path.write_text(K_MEANS)
    return path


def test_an_iterative_method_is_the_same_everywhere(
    run: Callable, tmp_path: Path, make_run: Callable
) -> None:
    """Rounds, shared data and on_result; here, and on two nodes over TCP."""

    async def main() -> None:
        path = k_means(tmp_path / "k_means.lua")
        here = await session.run_on_this_machine(make_run(path), workers=2)
        assert re.fullmatch(r"10\.0+ 20\.0+ 30\.0+ after \d rounds", here.value)
        async with (
            standing_host() as (address, _),
            participant(address, "one"),
            participant(address, "two"),
        ):
            running = make_run(path, workers_min=4)
            assert await session.run_at_host(running, address, badge=None) == here
        rounds = len(running.view.starts)
        assert [start[:2] for start in running.view.starts] == [(n, 6) for n in range(rounds)]
        whole = [node for node, received, total in running.view.shared if received == total]
        assert {node: whole.count(node) for node in set(whole)} == {"one": rounds, "two": rounds}

    run(main())


SLOW_SUM = """
  print('working')
  local ends = os.clock() + 0.03
  while os.clock() < ends do end
  return global_data.index + #shared_data
"""


@pytest.mark.parametrize("progress", [1, 60])
def test_a_host_that_is_killed_and_started_again_costs_nothing_but_time(
    progress: int, start: Callable, script: Callable
) -> None:
    path = script(
        SLOW_SUM,
        top="function generate_shared_data() return ('x'):rep(1000) end "
        "function on_result(index, result) shown = (shown or 0) + 1 return result end "
        "function next_round(round) return round < 1 end",
        interpret="local sum = 0 for i = 1, results.n do sum = sum + results[i] end "
        "return sum .. ' ' .. shown",
    )
    host = start("host", "--address", "127.0.0.1:0")
    address = host.address()
    start("participant", "--address", address, "--workers", "2").wait_for("joined the host")
    running = start("run", path, "--address", address, "--tasks", "80", "--no-progress")
    running.wait_for("working", count=progress)
    host.kill()
    running.wait_for(r"was lost.*trying again")
    start("host", "--address", address).wait_for("listening on")
    running.wait_for("connected to the host again")
    ended = running.wait()
    assert (ended.code, ended.out) == (0, f"{sum(range(80)) + 80 * 1000} 160\n")


def test_stopping_while_the_host_is_away_ends_at_once(start: Callable, script: Callable) -> None:
    host = start("host", "--address", "127.0.0.1:0")
    running = start("run", script(), "--address", host.address(), "--no-progress")
    host.wait_for("queued for client")
    host.kill()
    running.wait_for("trying again")
    assert running.stop(signal.SIGINT).code == 130


# -- as the host ---------------------------------------------------------------------------------


def test_as_the_host_it_serves_its_own_script_and_ends(
    run: Callable, script: Callable, make_run: Callable
) -> None:
    async def main() -> None:
        said = Announcements()
        running = make_run(script(TEN_TIMES), tasks=50, workers_min=4)
        task = asyncio.create_task(
            session.run_as_host(
                running, Address(port=0), EVERYBODY, announce=said.say, invite=lambda address: None
            )
        )
        address = await said.address()
        async with participant(address, "one"), participant(address, "two"):
            assert (await task).value == ",".join(str(10 * index) for index in range(50))
            assert running.view.starts == [(0, 50, 4)]
        with pytest.raises(HostUnreachable):
            await tcp.connect(address, None, None)

    run(main())


def test_waiting_for_participants_has_its_bound(
    run: Callable, script: Callable, make_run: Callable
) -> None:
    async def main() -> None:
        said = Announcements()
        running = make_run(script(), wait_s=0.1)
        with pytest.raises(ClusterLost, match="there are fewer than 1 worker;"):
            await session.run_as_host(
                running, Address(port=0), EVERYBODY, announce=said.say, invite=lambda address: None
            )

    run(main())


def test_a_taken_port_leaves_nothing_running(
    run: Callable, script: Callable, make_run: Callable
) -> None:
    async def main() -> None:
        async with standing_host() as (address, _):
            with pytest.raises(AddressInUse):
                await session.run_as_host(
                    make_run(script()), address, EVERYBODY, announce=print, invite=print
                )

    run(main())
