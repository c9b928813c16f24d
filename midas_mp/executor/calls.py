"""Calls of functions at an engine: one job, its single calls, and a round for every map.

All of it lives in one event loop.  A single call is a task of round 0; results of other rounds go
to whoever began them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from midas_mp import limits
from midas_mp.client.engine import Engine, EngineJob
from midas_mp.client.values import Payload, refused_by_lua, unpack
from midas_mp.errors import MidasError, ProtocolError, ScriptError
from midas_mp.executor.function import LuaFunction
from midas_mp.lua.bundle import Bundle
from midas_mp.wire.framing import Buffer, payloads, size_bytes
from midas_mp.wire.messages import (
    Call,
    CallForm,
    Failure,
    JobSpec,
    Outcome,
    RunTasks,
    Status,
    TaskResults,
)

SINGLE_CALLS: Final = 0
"""The round of calls that belong to no map."""

_ARGUMENTS: Final = "arguments: "
"""So begins what is wrong with them, as calls.lua says it."""

Printed = Callable[[int, str, bytes], None]
"""Called with task index, worker and text for what a script prints."""

_log = logging.getLogger("midas_mp")


class CallReceiver(Protocol):
    """Who waits for one call; told once how it ended."""

    def finish(self, payload: Payload) -> None: ...

    def fail(self, error: MidasError) -> None: ...

    def cancel(self) -> object:
        """It was stopped, and not by the receiver."""


class RoundReceiver(Protocol):
    """Who waits for the results of a round."""

    def results_arrived(self, results: TaskResults, buffers: Sequence[Buffer]) -> None: ...

    def fail(self, error: MidasError) -> None:
        """Nothing more will come."""


class _QueuedCall(NamedTuple):
    number: int
    function: LuaFunction
    payload: Payload


class FunctionCalls:
    """The calls of one program at one engine; also the observer of the job that they make up.

    Args:
        engine: what runs them.
        title: what the host calls the job.
        spec: how they run.
        printed: told what they print.
        workers: how many are expected; 0 where that is not known.
    """

    def __init__(
        self, engine: Engine, title: str, spec: JobSpec, printed: Printed, *, workers: int = 0
    ) -> None:
        self._engine = engine
        self._title = title
        self._spec = spec
        self._printed = printed
        self._job: EngineJob | None = None
        self._error: MidasError | None = None
        self._calls: dict[int, CallReceiver] = {}
        self._payloads: dict[int, Payload] = {}
        """What those calls take, for who asks what was wrong with it."""
        self._last_index = -1
        self._last_round = SINGLE_CALLS
        self._rounds: dict[int, RoundReceiver] = {}
        self._queue: deque[_QueuedCall] = deque()
        self._queue_filled = asyncio.Event()
        self._submitting: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self.workers = workers
        """Registered now; before the first call, those that are expected."""

    # -- single calls ------------------------------------------------------------------------------

    def call(self, function: LuaFunction, payload: Payload, receiver: CallReceiver) -> int:
        """Calls a function with the arguments of a payload; its number, to cancel it with."""
        self._last_index += 1
        if self._error is not None:
            receiver.fail(self._error)
            return self._last_index
        self._calls[self._last_index] = receiver
        self._payloads[self._last_index] = payload
        self._idle.clear()
        self._queue.append(_QueuedCall(self._last_index, function, payload))
        self._queue_filled.set()
        if self._submitting is None:
            self._submitting = asyncio.get_running_loop().create_task(self._submit_queued())
        return self._last_index

    def cancel_call(self, index: int) -> None:
        """Its receiver hears nothing more; the call is stopped, wherever it is."""
        self._payloads.pop(index, None)
        if self._calls.pop(index, None) is not None:
            self._stop_tasks(SINGLE_CALLS, [index])
            self._look_idle()

    def cancel_all(self) -> None:
        """Stops every single call, and says so to its receiver."""
        calls, self._calls = self._calls, {}
        self._payloads.clear()
        self._queue.clear()
        if calls:
            self._stop_tasks(SINGLE_CALLS, list(calls))
        for receiver in calls.values():
            receiver.cancel()
        self._look_idle()

    async def _submit_queued(self) -> None:
        while True:
            while self._queue:
                # nothing here keeps a batch: large payloads are freed when their results are there
                await self._submit_batch(self._next_batch())
            self._queue_filled.clear()
            await self._queue_filled.wait()

    def _next_batch(self) -> list[_QueuedCall]:
        """Calls of one function, as many as one frame should hold, without those cancelled."""
        queue, function = self._queue, self._queue[0].function
        batch: list[_QueuedCall] = []
        size = buffer_count = 0
        while queue and queue[0].function == function and len(batch) < limits.TASKS_PER_FRAME_MAX:
            size += size_bytes(queue[0].payload)
            buffer_count += len(queue[0].payload)
            is_full = size > limits.FRAME_BYTES_TARGET or buffer_count > limits.FRAME_BUFFERS_MAX
            if batch and is_full:
                break
            queued = queue.popleft()
            if queued.number in self._calls:
                batch.append(queued)
        return batch

    async def _submit_batch(self, batch: list[_QueuedCall]) -> None:
        if not batch:
            return
        calls = [Call(queued.number, 0, len(queued.payload)) for queued in batch]
        buffers = [buffer for queued in batch for buffer in queued.payload]
        try:
            await self.submit(
                SINGLE_CALLS, batch[0].function, CallForm.ARGUMENTS, calls, buffers, count=0
            )
        except MidasError as error:
            for queued in batch:
                receiver = self._calls.pop(queued.number, None)
                self._payloads.pop(queued.number, None)
                if receiver is not None:
                    receiver.fail(error)
            self._look_idle()

    # -- rounds ------------------------------------------------------------------------------------

    def begin_round(self, receiver: RoundReceiver) -> int:
        """A round number of its own, whose results the receiver gets until it is ended.

        Raises:
            MidasError: the job is lost or closed.
        """
        if self._error is not None:
            raise self._error
        self._last_round += 1
        self._rounds[self._last_round] = receiver
        self._idle.clear()
        return self._last_round

    def end_round(self, round_: int, open_tasks: Iterable[int] = ()) -> None:
        """Its receiver hears nothing more; tasks of it that are open are stopped."""
        if self._rounds.pop(round_, None) is not None:
            open_tasks = list(open_tasks)
            if open_tasks:
                self._stop_tasks(round_, open_tasks)
            self._look_idle()

    async def submit(
        self,
        round_: int,
        function: LuaFunction,
        form: CallForm,
        calls: list[Call],
        buffers: Sequence[Buffer],
        *,
        count: int,
    ) -> None:
        """Hands over tasks of a round, when there is credit for them.

        Raises:
            MidasError: the job is lost or closed.
        """
        job = self._open_job(function.bundle)
        order = RunTasks(job.id, round_, count, function.bundle.digest, function.entry, calls, form)
        await job.submit(order, buffers, function.bundle)

    # -- the end -----------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``2 workers``; ``connected`` before they are known; or why nothing runs any more."""
        if self._error is not None:
            return f"broken: {self._error}"
        if not self.workers and self._job is None:
            return "connected"
        return f"{self.workers} worker{'' if self.workers == 1 else 's'}"

    @property
    def is_idle(self) -> bool:
        return not (self._calls or self._rounds)

    async def wait_idle(self) -> None:
        """Until every call and every round has ended."""
        await self._idle.wait()

    def close(self, error: MidasError) -> None:
        """Ends all that is under way with an error; idempotent."""
        if self._submitting is not None:
            self._submitting.cancel()
        if self._job is not None:
            self._job.close()
        self.job_lost(error)

    def _open_job(self, bundle: Bundle) -> EngineJob:
        """The job; it is opened with the first bundle."""
        if self._error is not None:
            raise self._error
        if self._job is None:
            self._job = self._engine.open_job(self._title, self._spec, bundle, self)
        return self._job

    def _stop_tasks(self, round_: int, indices: Sequence[int]) -> None:
        if self._job is not None and self._error is None:
            self._job.cancel(round_, indices)

    def _look_idle(self) -> None:
        if self.is_idle:
            self._idle.set()

    # -- from the engine ---------------------------------------------------------------------------

    def results_arrived(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        assert self._job is not None
        outcomes, round_ = results.outcomes, results.round
        self._job.acknowledge(round_, [outcome.index for outcome in outcomes])
        if round_ == SINGLE_CALLS:
            for outcome, payload in payloads(outcomes, buffers):
                receiver = self._calls.pop(outcome.index, None)
                sent = self._payloads.pop(outcome.index, None)
                if receiver is None or sent is None:
                    continue
                if outcome.status is Status.OK:
                    receiver.finish(payload)
                else:
                    error = task_error(outcome, payload, worker=results.worker)
                    receiver.fail(located(error, functools.partial(unpack, sent)))
            self._look_idle()
        elif round_ in self._rounds:
            self._rounds[round_].results_arrived(results, buffers)

    def job_lost(self, error: MidasError) -> None:
        self._error = self._error or error
        self._queue.clear()
        calls, self._calls = self._calls, {}
        self._payloads.clear()
        rounds, self._rounds = self._rounds, {}
        self._idle.set()
        for call in calls.values():
            call.fail(error)
        for receiver in rounds.values():
            receiver.fail(error)

    def workers_changed(self, workers: int) -> None:
        self.workers = workers

    def task_printed(self, index: int, worker: str, text: bytes) -> None:
        self._printed(index, worker, text)

    def noticed(self, text: str) -> None:
        _log.warning("%s", text)

    def task_progressed(self, index: int, fraction: float) -> None:
        """Whoever waits for a call has nowhere to show it."""

    def task_running(self, index: int, worker: str, elapsed_s: float) -> None:
        """As above."""

    def shared_progressed(self, node: str, received_bytes: int, total_bytes: int) -> None:
        """Calls share nothing."""


def task_error(outcome: Outcome, payload: Payload, *, worker: str) -> MidasError:
    """What the payload of a failed task says."""
    failure = Failure.from_payload(b"".join(payload[:1]))
    return ScriptError(
        failure.kind,
        failure.message,
        failure.traceback,
        index=outcome.index,
        worker=worker,
        item=failure.item,
    )


def located(error: MidasError, arguments: Callable[[], Sequence[object]]) -> MidasError:
    """The same error; where Lua refused the arguments of a call, it says which, and where in it."""
    if (
        isinstance(error, ScriptError)
        and error.kind == "unsendable"
        and error.message.startswith(_ARGUMENTS)
    ):
        with contextlib.suppress(ProtocolError):  # a key that Python has not either
            error.message = refused_by_lua(arguments()) or error.message
    return error
