"""One round of a job: generate_data → engine → results.

    script process ── generate_data(i, n) ──▶ payloads ──▶ engine
    script process ◀── results[i + 1], or on_result(i, result) ◀── engine

Both directions go on at the same time, a few milliseconds of the script process' work at a time,
so that neither waits long for the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from midas_mp import limits
from midas_mp.client.engine import EngineJob
from midas_mp.driver.recording import RoundRecording
from midas_mp.driver.script_process import CallResults, ScriptProcess, script_error
from midas_mp.errors import ScriptError
from midas_mp.journal.file import RecordedResults
from midas_mp.wire.framing import Buffer, payloads, size_bytes
from midas_mp.wire.messages import Call, Failure, Outcome, RunTasks, Status, TaskResults

GENERATE: Final = "generate_data"
EXECUTE: Final = "execute_code"
ON_RESULT: Final = "on_result"

REQUEST_TIME_TARGET_S: Final = 0.005
"""Work in one request to the script process: what it is asked next must not wait long."""

REQUESTS_MAX: Final = 2
"""Requests of one kind under way: one is answered while the other is prepared."""

GENERATE_BYTES_TARGET: Final = limits.MB
STORE_BYTES_TARGET: Final = 8 * limits.MB


class JobScript:
    """A script as loaded in its process: makes the orders that its functions are called by."""

    def __init__(self, process: ScriptProcess, job: str, digest: str) -> None:
        self.process = process
        self.job = job
        """What the script process calls it; the engine has an id of its own."""
        self.digest = digest

    def order(self, round_: int, count: int, entry: str, calls: list[Call]) -> RunTasks:
        return RunTasks(self.job, round_, count, self.digest, entry, calls)


class _Arrived(NamedTuple):
    outcome: Outcome
    buffers: Sequence[Buffer]
    was_submitted: bool = True
    """Not so where generate_data failed, or a journal had it: the engine knows nothing of it."""


class Round:
    """The tasks of one round, from the first payload to the last result.

    Args:
        number: 0 for the first.
        count: how many tasks.
        script: where its functions are called.
        job: where its tasks run.
        has_on_result: whether the script wants to see each result as it arrives.
        task_failed: told of every failed task, once; raises what shall end the job.
        advanced: told how many tasks are done, and the indices of those that are new among them.
    """

    def __init__(
        self,
        number: int,
        count: int,
        *,
        script: JobScript,
        job: EngineJob,
        has_on_result: bool,
        task_failed: Callable[[ScriptError], None],
        advanced: Callable[[int, list[int]], None],
    ) -> None:
        self.number = number
        self.count = count
        self.recording: RoundRecording | None = None
        """What a journal has of it; set before anything arrives."""
        self._script = script
        self._job = job
        self._task_failed = task_failed
        self._advanced = advanced
        self._has_on_result = has_on_result
        self._done_count = 0
        self._arrived: deque[_Arrived] = deque()
        self._shown: deque[CallResults] = deque()
        """What on_result is done with."""
        self._has_news = asyncio.Event()
        """Something arrived, or was shown."""
        self._all_taken = asyncio.Event()
        """Nothing that arrived waits any more."""

    def arrive(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        """Results of the engine.

        Raises:
            ScriptError: a task failed, and that shall end the job.
        """
        for outcome, payload in payloads(results.outcomes, buffers):
            if outcome.status is not Status.OK:
                worker = results.worker or None
                self._fail(outcome, payload, EXECUTE, worker=worker)
            self._arrived.append(_Arrived(outcome, payload))
        self._has_news.set()

    # -- from a journal ----------------------------------------------------------------------------

    async def replay(self) -> None:
        """Results that are recorded arrive again, before any new one."""
        if self.recording is not None:
            await self.recording.replay(self._arrive_again)

    async def _arrive_again(self, batch: list[RecordedResults]) -> None:
        """Returns when there is room for more."""
        for record, buffers in batch:
            for outcome, payload in payloads(record.outcomes, buffers):
                if outcome.status is not Status.OK:
                    self._fail(outcome, payload, EXECUTE, worker=record.worker or None)
                self._arrived.append(_Arrived(outcome, payload, was_submitted=False))
        self._has_news.set()
        self._all_taken.clear()
        await self._all_taken.wait()

    # -- generate_data ---------------------------------------------------------------------------

    async def produce(self) -> None:
        """Asks for payloads in chunks of a few milliseconds and submits them as they come."""
        asked: deque[asyncio.Future[None]] = deque()
        parts: asyncio.Queue[CallResults] = asyncio.Queue()
        next_index = generated_count = 0
        chunk = 1
        try:
            while generated_count < self.count:
                while asked and asked[0].done():
                    asked.popleft()
                while (
                    next_index < self.count
                    and len(asked) < REQUESTS_MAX
                    # A request may be answered in many parts, which wait here for the engine.
                    and next_index - generated_count < REQUESTS_MAX * chunk
                ):
                    end = min(next_index + chunk, self.count)
                    calls = [Call(index, 0, 0) for index in range(next_index, end)]
                    order = self._order(GENERATE, calls)
                    asked.append(self._script.process.ask_calls(order, parts.put_nowait))
                    next_index = end
                part = await parts.get()  # a process that dies ends the whole job
                generated_count += len(part.outcomes)
                chunk = _next_chunk(chunk, part.outcomes, size_bytes(part.buffers))
                await self._submit(part)
        finally:
            for request in asked:
                request.cancel()

    async def _submit(self, generated: CallResults) -> None:
        calls: list[Call] = []
        buffers: list[Buffer] = []
        for outcome, payload in payloads(generated.outcomes, generated.buffers):
            if self.recording is not None and self.recording.is_done(outcome, payload):
                continue
            if outcome.status is Status.OK:
                calls.append(Call(outcome.index, 0, outcome.buffer_count))
                buffers += payload
            else:
                self._fail(outcome, payload, GENERATE)
                self._arrived.append(_Arrived(outcome, payload, was_submitted=False))
                self._has_news.set()
        if calls:
            order = RunTasks(
                self._job.id, self.number, self.count, self._script.digest, EXECUTE, calls
            )
            await self._job.submit(order, buffers)

    def _order(self, entry: str, calls: list[Call]) -> RunTasks:
        return self._script.order(self.number, self.count, entry, calls)

    def _fail(
        self,
        outcome: Outcome,
        payload: Sequence[Buffer],
        function: str,
        *,
        worker: str | None = None,
    ) -> None:
        failure = bytes(payload[0])
        self._task_failed(
            script_error(failure, function=function, index=outcome.index, worker=worker)
        )

    # -- results -----------------------------------------------------------------------------------

    async def consume(self) -> None:
        """Sees each result into the script's ``results``, then acknowledges it."""
        if self._has_on_result:
            await self._show_results()
        else:
            while self._done_count < self.count:
                await self._wait_until(lambda: self._arrived)
                while self._arrived:
                    await self._store(self._take(limits.TASKS_PER_FRAME_MAX))

    async def _show_results(self) -> None:
        """Has on_result called in the order of arrival."""
        asked: deque[asyncio.Future[None]] = deque()
        under_way: dict[int, _Arrived] = {}
        chunk = 1
        try:
            while self._done_count < self.count:
                while asked and asked[0].done():
                    asked.popleft()
                while self._arrived and len(asked) < REQUESTS_MAX:
                    batch = self._take(chunk)
                    fine = [a for a in batch if a.outcome.status is Status.OK]
                    if len(fine) < len(batch):
                        await self._store([a for a in batch if a.outcome.status is not Status.OK])
                    if fine:
                        under_way |= {a.outcome.index: a for a in fine}
                        asked.append(self._show(fine))
                await self._wait_until(
                    lambda: (
                        self._shown
                        or (self._arrived and len(asked) < REQUESTS_MAX)
                        or self._done_count == self.count
                    )
                )
                while self._shown:
                    part = self._shown.popleft()
                    chunk = _next_chunk(chunk, part.outcomes, 0)
                    await self._take_shown(part, under_way)
        finally:
            for request in asked:
                request.cancel()

    def _show(self, batch: list[_Arrived]) -> asyncio.Future[None]:
        calls = [Call(a.outcome.index, 0, a.outcome.buffer_count) for a in batch]
        buffers = [buffer for a in batch for buffer in a.buffers]
        order = self._order(ON_RESULT, calls)
        return self._script.process.ask_calls(order, self._add_shown, buffers)

    def _add_shown(self, part: CallResults) -> None:
        self._shown.append(part)
        self._has_news.set()

    async def _take_shown(self, part: CallResults, under_way: dict[int, _Arrived]) -> None:
        """on_result has seen these, or failed: then the task itself counts as failed."""
        fine: list[_Arrived] = []
        failed: list[_Arrived] = []
        for outcome, payload in payloads(part.outcomes, part.buffers):
            arrived = under_way.pop(outcome.index)
            if outcome.status is Status.OK:
                fine.append(arrived)
            else:
                self._fail(outcome, payload, ON_RESULT)
                failed.append(_Arrived(outcome, payload))
        if fine:
            self._finish(fine)
        if failed:
            await self._store(failed)

    def _take(self, count_max: int) -> list[_Arrived]:
        """The next that arrived, so many and so much that they fit in one request."""
        batch: list[_Arrived] = []
        size = 0
        while self._arrived and len(batch) < count_max:
            size += size_bytes(self._arrived[0].buffers)
            if batch and size > STORE_BYTES_TARGET:
                break
            batch.append(self._arrived.popleft())
        if not self._arrived:
            self._all_taken.set()
        return batch

    async def _store(self, batch: list[_Arrived]) -> None:
        """Sees these into the script's ``results``; one that is no value of Lua's is a failure."""
        while batch:
            outcomes = [arrived.outcome for arrived in batch]
            buffers = [buffer for arrived in batch for buffer in arrived.buffers]
            count, error = await self._script.process.store(
                self._script.job, self.number, outcomes, buffers
            )
            if count:
                self._finish(batch[:count])
            if error is None:
                return
            if error.kind != "unsendable":  # the script has no room for it
                raise error
            self._task_failed(error)
            spoilt, rest = batch[count], batch[count + 1 :]
            outcome = msgspec.structs.replace(spoilt.outcome, status=Status.FAILED, buffer_count=1)
            reason = Failure(error.kind, error.message).to_payload()
            batch = [spoilt._replace(outcome=outcome, buffers=[reason]), *rest]

    def _finish(self, batch: list[_Arrived]) -> None:
        """The script has these: the engine need not keep them."""
        self._done_count += len(batch)
        submitted = [arrived.outcome.index for arrived in batch if arrived.was_submitted]
        if submitted:
            self._job.acknowledge(self.number, submitted)
        self._advanced(self._done_count, [arrived.outcome.index for arrived in batch])

    async def _wait_until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._has_news.clear()
            await self._has_news.wait()


def _next_chunk(chunk: int, outcomes: Sequence[Outcome], bytes_made: int) -> int:
    """How many calls to ask for next, by what the last ones cost."""
    count = len(outcomes)
    seconds = sum(outcome.duration_us for outcome in outcomes) / 1e6 / count
    by_time = REQUEST_TIME_TARGET_S / max(seconds, 1e-6)
    by_size = GENERATE_BYTES_TARGET / max(bytes_made / count, 1.0)
    return max(1, min(int(by_time), int(by_size), 2 * chunk, limits.TASKS_PER_FRAME_MAX))
