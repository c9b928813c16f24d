"""A real script process; an engine that the test plays; a view that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import psutil
import pytest

from midas_mp import limits
from midas_mp.client.engine import JobObserver
from midas_mp.config import JobOptions, TaskCount
from midas_mp.driver.job import Answer, ScriptJob
from midas_mp.driver.script_process import ScriptProcess
from midas_mp.errors import MidasError, ScriptError
from midas_mp.journal.journal import Journal
from midas_mp.lua.bundle import Bundle
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote import Zygote
from midas_mp.permissions import Permissions
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import Failure, JobSpec, Outcome, RunTasks, Status, TaskResults


class RecordingView:
    """Remembers what it is shown."""

    def __init__(self) -> None:
        self.starts: list[tuple[int, int, int]] = []
        self.advances: list[tuple[int, int]] = []
        self.shared: list[tuple[str, int, int]] = []
        self.prints: list[tuple[int, str, bytes]] = []
        self.progress: list[tuple[int, float]] = []
        self.long_tasks: list[tuple[int, str, float]] = []
        self.workers: list[int] = []
        self.notices: list[str] = []
        self.failures: list[ScriptError] = []
        self._changed = asyncio.Event()

    def started(self, round_: int, count: int, workers: int) -> None:
        self.starts.append((round_, count, workers))
        self._changed.set()

    def shared_progressed(self, node: str, received_bytes: int, total_bytes: int) -> None:
        self.shared.append((node, received_bytes, total_bytes))
        self._changed.set()

    def advanced(self, done: int, failed: int, _indices: Sequence[int]) -> None:
        self.advances.append((done, failed))
        self._changed.set()

    def printed(self, index: int, worker: str, text: bytes) -> None:
        self.prints.append((index, worker, text))
        self._changed.set()

    def progressed(self, index: int, fraction: float) -> None:
        self.progress.append((index, fraction))

    def running(self, index: int, worker: str, elapsed_s: float) -> None:
        self.long_tasks.append((index, worker, elapsed_s))

    def workers_changed(self, workers: int) -> None:
        self.workers.append(workers)

    def noticed(self, text: str) -> None:
        self.notices.append(text)
        self._changed.set()

    def task_failed(self, error: ScriptError) -> None:
        self.failures.append(error)

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def until_printed(self, text: bytes) -> None:
        await self.until(lambda: any(said == text for _, _, said in self.prints))


class PlayedEngine:
    """An engine whose one job runs on nothing: the test says what becomes of each task.

    ``credit`` is how many tasks it takes before ``submit`` waits; the test may raise it.
    """

    def __init__(self, *, workers: int = 2, credit: int = 1_000_000) -> None:
        self.id = "played"
        self.workers = workers
        self.credit = credit
        self.opened: list[tuple[str, JobSpec, Bundle, int]] = []
        self.payloads: dict[int, object] = {}
        """What was submitted in this round, by index."""
        self.round = 0
        self.shared: list[tuple[int, object]] = []
        self.orders: list[RunTasks] = []
        self.acknowledged: list[int] = []
        self.closed: list[str] = []
        self.is_waiting = False
        """Whether somebody waits for credit."""
        self.can_start = True
        self._observer: JobObserver
        self._changed = asyncio.Event()

    # -- as an Engine and its EngineJob ----------------------------------------------------------

    def open_job(
        self, title: str, spec: JobSpec, bundle: Bundle, observer: Any, *, workers_min: int = 1
    ) -> PlayedEngine:
        self.opened.append((title, spec, bundle, workers_min))
        self._observer = observer
        self.changed()
        return self

    async def wait_started(self) -> int:
        await self.until(lambda: self.can_start)
        return self.workers

    async def submit(self, order: RunTasks, buffers: Sequence[Buffer]) -> None:
        self.is_waiting = True
        self.changed()
        await self.until(
            lambda: (
                order.round != self.round or len(self.payloads) + len(order.calls) <= self.credit
            )
        )
        self.is_waiting = False
        self.orders.append(order)
        if order.round != self.round:
            self.round = order.round
            self.payloads.clear()
        for call, payload in zip(order.calls, buffers, strict=True):
            assert call.index not in self.payloads, "submitted twice"
            self.payloads[call.index] = msgpack.unpackb(payload)
        self.changed()

    def share(self, round_: int, buffers: Sequence[Buffer]) -> None:
        self.shared.append((round_, msgpack.unpackb(b"".join(buffers))))

    def acknowledge(self, _round: int, indices: Sequence[int]) -> None:
        self.acknowledged += indices
        self.changed()

    def close(self, reason: str = "") -> None:
        self.closed.append(reason)

    # -- the test's side -------------------------------------------------------------------------

    def changed(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def submitted(self, count: int, round_: int = 0) -> None:
        await self.until(lambda: self.round == round_ and len(self.payloads) >= count)

    def finish(self, *results: tuple[int, object]) -> None:
        """These tasks are done, and this is what they returned."""
        self.arrive(*((index, msgpack.packb(value)) for index, value in results))

    def arrive(self, *results: tuple[int, bytes]) -> None:
        """The same of payloads, whatever they are."""
        outcomes = [Outcome(index, 0, Status.OK, 1) for index, _ in results]
        message = TaskResults(self.id, self.round, "lab-000", outcomes)
        self._observer.results_arrived(message, [payload for _, payload in results])

    def fail(self, index: int, message: str, kind: str = "runtime") -> None:
        self.fail_with(index, Failure(kind, message, "stack traceback:\n\t…").to_payload())

    def fail_with(self, index: int, payload: bytes) -> None:
        outcomes = [Outcome(index, 0, Status.FAILED, 1)]
        results = TaskResults(self.id, self.round, "lab-000", outcomes)
        self._observer.results_arrived(results, [payload])

    def lose(self, error: MidasError) -> None:
        self._observer.job_lost(error)


class Driver:
    """What drives one script: its process and all that the process needs."""

    def __init__(self, memory_bytes: int, working_directory: str) -> None:
        self.zygote = Zygote.start()
        self.zygote_losses: list[MidasError] = []
        self.supervisor = Supervisor(self.zygote, zygote_lost=self.zygote_losses.append)
        self.view = RecordingView()
        self.script = ScriptProcess(
            self.supervisor,
            node="here",
            memory_bytes=memory_bytes,
            sandbox_level_max=3,
            working_directory=working_directory,
            permissions=Permissions.of_driver(working_directory),
            printed=lambda text: self.view.printed(0, "", text),
        )

    def job(
        self,
        path: Path,
        *,
        tasks: int | None = None,
        journal: Journal | None = None,
        **options: Any,
    ) -> ScriptJob:
        count = TaskCount(tasks) if tasks is not None else None
        said = JobOptions(tasks=count, **options)
        return ScriptJob(path, self.script, said, self.view, journal)

    async def run(self, path: Path, engine: PlayedEngine, /, **options: Any) -> Answer:
        job = self.job(path, **options)
        await job.load()
        return await job.run(engine)

    async def answer(self, path: Path, *, tasks: int = 3, **options: Any) -> Answer:
        """Runs a job whose task i returns 10 i."""
        engine = PlayedEngine()
        running = asyncio.create_task(self.run(path, engine, tasks=tasks, **options))
        submitting = asyncio.create_task(engine.submitted(tasks))
        await asyncio.wait({running, submitting}, return_when=asyncio.FIRST_COMPLETED)
        if submitting.done():
            engine.finish(*((index, 10 * index) for index in engine.payloads))
        submitting.cancel()
        return await running

    async def process(self) -> psutil.Process:
        """The script's process, once it is there."""
        await self.script.ready
        (child,) = psutil.Process(self.zygote.pid).children()
        return child


@pytest.fixture
def driver(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Driver]]:
    """``async with driver() as d``."""

    @asynccontextmanager
    async def open_driver(memory_bytes: int = 256 * limits.MB) -> AsyncIterator[Driver]:
        driver = Driver(memory_bytes, str(tmp_path))
        try:
            yield driver
        finally:
            driver.supervisor.close()

    return open_driver


@pytest.fixture
def new_engine() -> type[PlayedEngine]:
    return PlayedEngine


@pytest.fixture
def view() -> type[RecordingView]:
    return RecordingView


@pytest.fixture
def shuffled() -> Callable[[Iterable[int]], list[int]]:
    """The same numbers in an order that is neither theirs nor its reverse."""
    return lambda numbers: sorted(numbers, key=lambda n: (n * 7919) % 104_729)
