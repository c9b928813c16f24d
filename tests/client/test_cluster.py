"""A whole cluster in this process, with real workers: each job gets exactly its own results."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgpack
import psutil
import pytest

from midas_mp import limits
from midas_mp.client.client import Client, ClientJob
from midas_mp.client.cluster import InProcessCluster
from midas_mp.errors import ClusterLost, MidasError, ProcessLost
from midas_mp.lua.bundle import Bundle
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote import Zygote
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import Call, JobSpec, RunTasks, TaskResults


class Local:
    """A cluster, its processes, and its clients."""

    def __init__(self, workers: int, memory_bytes: int) -> None:
        self.zygote = Zygote.start()
        self.zygote_lost: asyncio.Future[ProcessLost] = asyncio.get_running_loop().create_future()
        self.supervisor = Supervisor(self.zygote, zygote_lost=self.zygote_lost.set_result)
        settings = NodeSettings(
            "here", name_is_explicit=False, workers=workers, memory_bytes=memory_bytes
        )
        self.cluster = InProcessCluster(self.supervisor, settings)

    @property
    def statistics(self):
        return self.cluster.host.scheduler.statistics()

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.zygote.pid).children()

    def worker_that_runs(self, index: int) -> psutil.Process:
        for seat in self.cluster._launcher._crew._seats.values():
            running = seat.process.running() if seat.ready is not None else None
            if running is not None and running.index == index:
                return psutil.Process(seat.ready.pid)
        raise AssertionError(f"nobody runs task {index}")

    async def job(self, source: str, **spec: object) -> JobUnderWay:
        return JobUnderWay(await self.cluster.connect(), source, JobSpec(**spec))


@asynccontextmanager
async def _local(workers: int = 2, memory_bytes: int = 256 * limits.MB) -> AsyncIterator[Local]:
    local = Local(workers, memory_bytes)
    try:
        yield local
    finally:
        await local.cluster.close()
        local.supervisor.close()


@pytest.fixture
def local() -> Callable[..., AbstractAsyncContextManager[Local]]:
    """``async with local(workers=3) as here``."""
    return _local


class JobUnderWay:
    """One job of a client of its own; remembers all that comes, acknowledges at once."""

    def __init__(self, client: Client, source: str, spec: JobSpec) -> None:
        self.bundle = Bundle.from_sources("job.lua", [], [source.encode()])
        self.client = client
        self.results: dict[int, object] = {}
        self.told: list[tuple[str, int]] = []
        self.shared: list[tuple[str, int, int]] = []
        self.workers = 0
        self.lost: asyncio.Future[MidasError] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self.job: ClientJob = client.open_job("job", spec, self.bundle, self)

    async def submit(self, tasks: dict[int, object], *, round_: int = 0) -> None:
        items = list(tasks.items())
        for start in range(0, len(items), limits.TASKS_PER_FRAME_MAX):
            some = items[start : start + limits.TASKS_PER_FRAME_MAX]
            calls = [Call(index) for index, _ in some]
            digest = self.bundle.digest
            order = RunTasks(self.job.id, round_, len(tasks), digest, "execute_code", calls)
            payloads = [msgpack.packb(value) for _, value in some]
            await self.job.submit(order, payloads, self.bundle)

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            assert not self.lost.done(), self.lost.result()
            self._changed.clear()
            await self._changed.wait()

    async def finish(self, count: int) -> dict[int, object]:
        await self.until(lambda: len(self.results) >= count)
        self.job.close()
        return self.results

    def results_arrived(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        for outcome, payload in zip(results.outcomes, buffers, strict=True):
            assert outcome.index not in self.results, "a result that came twice"
            self.results[outcome.index] = msgpack.unpackb(payload)
            self.told.append(("result", outcome.index))
        self.job.acknowledge(results.round, [outcome.index for outcome in results.outcomes])
        self._changed.set()

    def task_printed(self, index: int, worker: str, text: bytes) -> None:
        assert worker.startswith("here-00")
        self.told.append((text[:20].decode(), index))
        self._changed.set()

    def task_progressed(self, index: int, fraction: float) -> None:
        self.told.append((f"{fraction:g}", index))

    def task_running(self, index: int, worker: str, elapsed_s: float) -> None:
        self.told.append(("running", index))

    def workers_changed(self, workers: int) -> None:
        self.workers = workers
        self._changed.set()

    def shared_progressed(self, node: str, received_bytes: int, total_bytes: int) -> None:
        self.shared.append((node, received_bytes, total_bytes))
        self._changed.set()

    def noticed(self, text: str) -> None:
        self.told.append((text, -1))

    def job_lost(self, error: MidasError) -> None:
        self.lost.set_result(error)
        self._changed.set()


def test_it_starts_with_all_its_workers(run: Callable, local: Callable) -> None:
    async def main() -> None:
        async with local(workers=3) as here:
            job = await here.job("function execute_code() return midas.worker end")
            assert await job.job.wait_started() == 3
            await job.submit(dict.fromkeys(range(300)))
            assert set((await job.finish(300)).values()) <= {"here-000", "here-001", "here-002"}

    run(main())


def test_two_jobs_at_once_each_get_exactly_their_own(run: Callable, local: Callable) -> None:
    count = 3_000
    source = "function execute_code() return global_data * %d end"

    async def main() -> None:
        async with local() as here:
            double, triple = await here.job(source % 2), await here.job(source % 3)
            tasks = {index: index for index in range(count)}
            await asyncio.gather(double.submit(tasks), triple.submit(tasks))
            assert await double.finish(count) == {index: 2 * index for index in range(count)}
            assert await triple.finish(count) == {index: 3 * index for index in range(count)}
            statistics = here.statistics
            assert (statistics.retries, statistics.losses) == (0, 0)

    run(main())


def test_who_came_first_is_served_first(run: Callable, local: Callable) -> None:
    """The second job gets what the first leaves free: here, nothing before its last tasks."""
    source = """
    function execute_code()
      local ends = os.clock() + 0.002
      while os.clock() < ends do end
      print(arg[1])
    end
    """

    async def main() -> None:
        async with local(workers=1) as here:
            first = await here.job(source, arg=["job.lua", "first"])
            second = await here.job(source, arg=["job.lua", "second"])
            await first.submit(dict.fromkeys(range(150)))
            await second.submit(dict.fromkeys(range(10)))
            await first.until(lambda: len(first.results) >= 100)
            assert len(second.results) == 0
            assert len(await second.finish(10)) == 10
            assert len(await first.finish(150)) == 150

    run(main())


def test_prints_come_before_the_result_that_follows_them(run: Callable, local: Callable) -> None:
    source = """
    function execute_code()
      print("first")
      midas.progress(0.5)
      print("last" .. ("."):rep(global_data))
      return true
    end
    """

    async def main() -> None:
        async with local() as here:
            job = await here.job(source)
            sizes = [0, 10, 100_000, limits.MB - 4] * 3
            await job.submit(dict(enumerate(sizes)))
            await job.finish(len(sizes))
            for index, size in enumerate(sizes):
                mine = [what for what, of in job.told if of == index]
                last = ("last" + "." * size)[:20]
                assert [what for what in mine if what != "0.5"] == ["first", last, "result"]

    run(main())


def test_results_as_large_as_they_come_arrive_whole(run: Callable, local: Callable) -> None:
    source = "function execute_code() return global_data .. global_data end"

    async def main() -> None:
        async with local() as here:
            job = await here.job(source)
            tasks = {index: bytes([65 + index]).decode() * 3_000_000 for index in range(6)}
            await job.submit(tasks)
            results = await job.finish(6)
            assert {index: value == 2 * tasks[index] for index, value in results.items()} == (
                dict.fromkeys(range(6), True)
            )

    run(main())


def test_what_is_shared_is_there_for_every_task(run: Callable, local: Callable) -> None:
    source = "function execute_code() return #shared_data + global_data end"
    size = 3 * limits.MB

    async def main() -> None:
        async with local() as here:
            job = await here.job(source)
            await job.job.wait_started()
            job.job.share(0, [msgpack.packb("x" * size)])
            await job.submit({index: index for index in range(20)})
            assert await job.finish(20) == {index: size + index for index in range(20)}
            assert {node for node, _, _ in job.shared} == {"here"}
            received, total = job.shared[-1][1:]
            assert received == total > size

    run(main())


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_workers_cost_no_result(
    signum: signal.Signals, run: Callable, local: Callable, eventually: Callable
) -> None:
    source = """
    function execute_code()
      local ends = os.clock() + 0.004
      while os.clock() < ends do end
      return global_data
    end
    """

    async def main() -> None:
        async with local() as here:
            job = await here.job(source)
            await job.job.wait_started()
            await job.submit({index: -index for index in range(200)})
            for kill in range(4):
                await job.until(lambda n=20 * (kill + 1): len(job.results) >= n)
                await eventually(lambda: len(here.workers()) == 2)
                here.workers()[kill % 2].send_signal(signum)
            assert await job.finish(200) == {index: -index for index in range(200)}
            assert 0 < here.statistics.losses <= 4

    run(main())


def test_a_task_that_kills_every_worker_fails_and_its_mates_do_not(
    run: Callable, local: Callable
) -> None:
    source = """
    function execute_code()
      if not global_data then return midas.attempt end
      print("here")
      while true do end
    end
    """

    async def main() -> None:
        async with local() as here:
            job = await here.job(source)
            await job.job.wait_started()
            await job.submit({index: index == 7 for index in range(40)})
            for attempt in range(limits.ATTEMPTS_MAX):
                await job.until(lambda n=attempt: job.told.count(("here", 7)) > n)
                here.worker_that_runs(7).kill()
            results = await job.finish(40)
            poison = results.pop(7)
            assert poison["kind"] == "lost"
            assert "its worker died 3 times while running it" in poison["message"]
            deaths = re.findall(
                r"attempt (\d) on \S+-00\d: killed by SIGKILL, peak memory \d+ MB",
                poison["message"],
            )
            assert deaths == ["0", "1", "2"]
            assert all(isinstance(attempt, int) for attempt in results.values())

    run(main())


def test_closing_a_job_frees_its_workers_for_the_next(run: Callable, local: Callable) -> None:
    async def main() -> None:
        async with local() as here:
            endless = await here.job("function execute_code() print('on') while true do end end")
            await endless.submit(dict.fromkeys(range(50)))
            await endless.until(lambda: len(endless.told) >= 2)
            endless.job.close("seen enough")
            job = await here.job("function execute_code() return 1 end")
            await job.submit(dict.fromkeys(range(50)))
            assert len(await job.finish(50)) == 50
            assert endless.results == {}
            assert here.statistics.losses == 2

    run(main())


def test_a_client_that_closes_takes_its_job_along(
    run: Callable, local: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with local() as here:
            job = await here.job("function execute_code() print('on') while true do end end")
            await job.submit(dict.fromkeys(range(5)))
            await job.until(lambda: job.told)
            job.client.close()
            await eventually(lambda: here.statistics.clients == 0)
            assert here.statistics.jobs == 0
            await eventually(lambda: here.statistics.workers == 2 and here.statistics.losses == 2)

    run(main())


def test_closing_the_cluster_tells_its_clients(run: Callable, local: Callable) -> None:
    async def main() -> None:
        async with local() as here:
            job = await here.job("function execute_code() while true do end end")
            await job.submit({0: None})
            await here.cluster.close()
            assert isinstance(await job.lost, ClusterLost)

    run(main())


def test_the_loss_of_the_zygote_is_told(run: Callable, local: Callable) -> None:
    async def main() -> None:
        async with local() as here:
            job = await here.job("function execute_code() while true do end end")
            await job.job.wait_started()
            os.kill(here.zygote.pid, signal.SIGKILL)
            assert "the zygote ended: killed by SIGKILL" in str(await here.zygote_lost)
            with pytest.raises(ProcessLost, match="the zygote ended"):
                await here.cluster.failed

    run(main())


def test_a_cluster_whose_workers_cannot_start_says_so(
    run: Callable, local: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MEMORY_SLACK_BYTES", 0)

    async def main() -> None:
        async with local(memory_bytes=1) as here:
            with pytest.raises(ProcessLost, match="workers cannot start here: "):
                await here.cluster.failed

    run(main())


# -- cancelling ----------------------------------------------------------------------------------

CANCELLABLE = """
function execute_code()
  print("begins")
  while global_data == "for ever" do end
  return global_data
end
"""


def test_an_endless_task_is_cancelled_and_its_neighbours_lose_nothing(
    run: Callable, local: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with local() as here:
            job = await here.job(CANCELLABLE)
            assert await job.job.wait_started() == 2
            await job.submit({0: "for ever"})
            await job.until(lambda: ("begins", 0) in job.told)
            await job.submit({index: index for index in range(1, 40)})
            job.job.cancel(0, [0])
            await job.until(lambda: len(job.results) == 39)
            assert job.results == {index: index for index in range(1, 40)}
            await eventually(lambda: here.statistics.losses == 1)
            await job.until(lambda: job.workers == 2)
            await job.submit({40: "a", 41: "b"})
            await job.finish(41)

    run(main())


def test_every_worker_is_free_again_when_all_is_cancelled(run: Callable, local: Callable) -> None:
    async def main() -> None:
        async with local() as here:
            job = await here.job(CANCELLABLE)
            await job.submit(dict.fromkeys(range(300), "for ever"))
            await job.until(lambda: sum(word == "begins" for word, _ in job.told) == 2)
            job.job.cancel(0, range(300))
            await job.submit({300: "a", 301: "b"})
            assert await job.finish(2) == {300: "a", 301: "b"}
            assert (here.statistics.tasks_waiting, here.statistics.tasks_leased) == (0, 0)

    run(main())


def test_short_tasks_are_cancelled_without_a_kill(run: Callable, local: Callable) -> None:
    async def main() -> None:
        async with local() as here:
            job = await here.job("function execute_code() return global_data end")
            await job.submit(dict.fromkeys(range(500), 0))
            await job.until(lambda: len(job.results) == 500)
            await job.submit(dict.fromkeys(range(500, 1500), 0))
            job.job.cancel(0, range(700, 1_500))
            await job.submit({1_500: 0})
            await job.until(lambda: 1_500 in job.results)
            assert here.statistics.losses == 0
            job.job.close()

    run(main())


# -- what stays ----------------------------------------------------------------------------------


def test_rounds_and_bundles_that_are_over_leave_nothing_here(
    run: Callable, local: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Host, launcher and client are all in this process."""
    monkeypatch.setattr(limits, "CREDIT_TASKS", 20)
    monkeypatch.setattr(limits, "CREDIT_TASKS_PER_WORKER", 0)
    monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX", 8 * limits.KB)
    monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX_PROCESS", 8 * limits.KB)

    async def main() -> None:
        async with local(workers=1) as here:
            job = await here.job("function execute_code() end")
            await job.job.wait_started()

            async def play(rounds: range) -> int:
                for round_ in rounds:
                    source = b"function execute_code() return %d end" % round_
                    job.bundle = Bundle.from_sources("job.lua", [], [source])
                    await job.submit(dict.fromkeys(range(5)), round_=round_)
                    await job.until(lambda: len(job.results) == 5)
                    assert set(job.results.values()) == {round_}
                    job.results.clear()
                    job.told.clear()
                gc.collect()
                return tracemalloc.get_traced_memory()[0]

            tracemalloc.start()
            try:
                before = await play(range(50))
                # what Python itself keeps for later comes to 38 KB in the end
                assert await play(range(50, 350)) - before < 48 * limits.KB
            finally:
                tracemalloc.stop()
            job.job.close()

    run(main())
