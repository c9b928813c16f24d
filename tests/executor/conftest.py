"""One executor for all tests that harm it not; an engine that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from midas_mp import Executor
from midas_mp.client.engine import JobObserver
from midas_mp.client.values import Packer, unpack
from midas_mp.errors import MidasError
from midas_mp.lua.bundle import Bundle
from midas_mp.wire.framing import Buffer, payloads
from midas_mp.wire.messages import Failure, JobSpec, Outcome, RunTasks, Status, TaskResults


class PlayedEngine:
    """An engine whose one job runs on nothing: the test says what becomes of each task."""

    def __init__(self) -> None:
        self.id = "played"
        self.titles: list[str] = []
        self.bundles: list[Bundle] = []
        self.orders: list[RunTasks] = []
        self.sent: dict[tuple[int, int], Any] = {}
        """What tasks were submitted with, by round and index."""
        self.acknowledged: list[tuple[int, list[int]]] = []
        self.cancelled: list[tuple[int, list[int]]] = []
        self.is_closed = False
        self.has_credit = True
        self._observer: JobObserver
        self._changed = asyncio.Event()

    # -- as an Engine and its EngineJob ------------------------------------------------------------

    def open_job(self, title: str, _spec: JobSpec, bundle: Bundle, observer: Any) -> PlayedEngine:
        self.titles.append(title)
        self.bundles.append(bundle)
        self._observer = observer
        observer.workers_changed(2)
        self._changed.set()
        return self

    async def submit(self, order: RunTasks, buffers: Sequence[Buffer], bundle: Bundle) -> None:
        assert bundle.digest == order.digest
        await self.until(lambda: self.has_credit)
        if bundle not in self.bundles:
            self.bundles.append(bundle)
        self.orders.append(order)
        for call, payload in payloads(order.calls, buffers):
            assert (order.round, call.index) not in self.sent, "submitted twice"
            self.sent[order.round, call.index] = unpack(payload)
        self._changed.set()

    def acknowledge(self, round_: int, indices: Sequence[int]) -> None:
        self.acknowledged.append((round_, list(indices)))

    def cancel(self, round_: int, indices: Sequence[int]) -> None:
        self.cancelled.append((round_, list(indices)))

    def close(self, _reason: str = "") -> None:
        self.is_closed = True

    # -- the test's side ---------------------------------------------------------------------------

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def submitted(self, count: int) -> None:
        """So many tasks in all."""
        await self.until(lambda: len(self.sent) >= count)

    def give_credit(self) -> None:
        self.has_credit = True
        self._changed.set()

    def finish(self, round_: int, results: dict[int, Any], *, duration_us: int = 100) -> None:
        """These tasks are done, and this is what they returned."""
        packed = [(index, Packer().arguments(value)) for index, value in results.items()]
        self._arrive(
            round_,
            [
                (Outcome(index, 0, Status.OK, duration_us, len(payload)), payload)
                for index, payload in packed
            ],
        )

    def fail(
        self, round_: int, index: int, message: str, *, kind: str = "runtime", done: Any = None
    ) -> None:
        """The task failed; in a batch, behind the results of the items that were done before."""
        item = None if done is None else len(done)
        payload: list[Buffer] = [Failure(kind, message, "a.lua:1", item).to_payload()]
        if done is not None:
            payload += Packer().arguments(done)
        self._arrive(round_, [(Outcome(index, 0, Status.FAILED, 1, len(payload)), payload)])

    def finish_with(self, round_: int, index: int, payload: bytes) -> None:
        """A result that is what it is."""
        self._arrive(round_, [(Outcome(index, 0, Status.OK, 1), [payload])])

    def fail_at(self, round_: int, index: int, item: int, payload: bytes) -> None:
        """An item failed, and this is what came before it."""
        failure = Failure("runtime", "odd", "", item).to_payload()
        self._arrive(round_, [(Outcome(index, 0, Status.FAILED, 1, 2), [failure, payload])])

    def arrive_broken(self, round_: int, index: int) -> None:
        """A failure that is none."""
        self._arrive(round_, [(Outcome(index, 0, Status.FAILED, 1), [b"\xc1"])])

    def lose(self, error: MidasError) -> None:
        self._observer.job_lost(error)

    def _arrive(self, round_: int, tasks: list[tuple[Outcome, list[Buffer]]]) -> None:
        buffers = [buffer for _, payload in tasks for buffer in payload]
        outcomes = [outcome for outcome, _ in tasks]
        self._observer.results_arrived(TaskResults("played", round_, "lab-000", outcomes), buffers)


@pytest.fixture
def engine() -> PlayedEngine:
    return PlayedEngine()


@pytest.fixture(scope="session")
def shared_executor() -> Iterator[Executor]:
    with Executor(max_workers=2) as executor:
        yield executor


@pytest.fixture
def executor(shared_executor: Executor) -> Executor:
    """Must be left as it was: open, and with nothing under way."""
    return shared_executor


@pytest.fixture
def make_executor(nothing_left: None) -> Iterator[Callable[..., Executor]]:
    """Executors of the test's own, of which nothing must be left."""
    made: list[Executor] = []

    def make(**options: object) -> Executor:
        made.append(Executor(**({"max_workers": 1} | options)))
        return made[-1]

    yield make
    for executor in made:
        executor.shutdown(cancel_futures=True)
