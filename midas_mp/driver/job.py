"""The three-function job: generate_data → execute_code → interpret_results.

    script process ── generate_data(i, n) ──▶ payloads ──▶ engine ──▶ workers: execute_code()
    script process ◀── results[i + 1] ◀───────────────── engine ◀──┘
    script process ── interpret_results() ──▶ the answer

The driver itself never opens a payload.  It asks for payloads only as fast as the engine gives
credit, and acknowledges a result when it is in ``results``: a million tasks do not mean a
million payloads in memory.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from midas_mp import limits
from midas_mp.client.engine import Engine, EngineJob
from midas_mp.config import JobOptions, TaskCount
from midas_mp.driver.excerpt import source_line
from midas_mp.driver.script_process import CallResults, Loaded, ScriptProcess, script_error
from midas_mp.driver.view import View
from midas_mp.errors import ClusterLost, MidasError, ProtocolError, ScriptError
from midas_mp.lua.bundle import Bundle
from midas_mp.wire.framing import Buffer, payloads, size_bytes
from midas_mp.wire.messages import Call, JobSpec, Outcome, RunTasks, Status, TaskResults

GENERATE: Final = "generate_data"
EXECUTE: Final = "execute_code"
INTERPRET: Final = "interpret_results"
CONTRACT: Final = (GENERATE, EXECUTE, INTERPRET)

ONE_TASK_PER_WORKER: Final = TaskCount(1, is_per_worker=True)

GENERATE_TIME_TARGET_S: Final = 0.005
"""Work in one request to the script process: it must also get at results meanwhile."""

GENERATE_REQUESTS_MAX: Final = 2
"""Requests under way: one is answered while the other is submitted."""

GENERATE_BYTES_TARGET: Final = limits.MB
STORE_BYTES_TARGET: Final = 8 * limits.MB

ROUND: Final = 0


class Answer(NamedTuple):
    """What a job came to.

    Attributes:
        value: what interpret_results returned: str, bytes, int, float or None.
        failed: how many tasks failed (only with ``on_error="continue"``).
    """

    value: str | bytes | int | float | None
    failed: int


class _Arrived(NamedTuple):
    outcome: Outcome
    buffers: Sequence[Buffer]
    was_submitted: bool = True
    """Not so where generate_data failed: the engine knows nothing of that task."""


class ScriptJob:
    """One run of one script.  Also the observer of its job at the engine."""

    def __init__(self, path: Path, script: ScriptProcess, options: JobOptions, view: View) -> None:
        self._path = path
        self._script = script
        self._options = options
        self._view = view
        self._bundle = Bundle.collect(path, options.modules)
        self._spec = JobSpec(
            seed=options.seed,
            timeout_s=options.timeout_s or 0.0,
            memory_bytes=options.memory_bytes or 0,
            arg=[os.fspath(path), *options.arg],
            directory=os.fspath(path.resolve().parent),
        )
        self._loaded_as = ""
        """What the script process calls this job; the engine has an id of its own."""
        self._count = 0
        self._done = 0
        self._failed = 0
        self._arrived: deque[_Arrived] = deque()
        self._has_arrived = asyncio.Event()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        script.lost.add_done_callback(self._script_lost)

    async def load(self) -> None:
        """Runs the script's top level; settles what ``config`` says.

        Raises:
            ScriptError: it failed, or a function of the contract is missing.
            UsageError: ``config`` makes no sense.
            ProcessLost: the script process died.
        """
        self._script.limit(self._options.timeout_s or 0.0)
        loaded = await self._load_as("first")
        options = self._options.with_script_config(loaded.config)
        if self._must_load_again(options):
            self._bundle = Bundle.collect(self._path, options.modules)
            self._options = options
            self._script.unload(self._loaded_as)
            loaded = await self._load_as("second")
        if loaded.failure is not None:
            raise self._explained(loaded.failure)
        self._options = options
        self._spec = JobSpec(
            engine=self._spec.engine,
            seed=options.seed,
            timeout_s=options.timeout_s or 0.0,
            memory_bytes=options.memory_bytes or 0,
            isolate=options.isolate is not False,
            arg=self._spec.arg,
            directory=self._spec.directory,
        )
        self._script.limit(self._spec.timeout_s)
        for name in sorted(loaded.functions.difference(CONTRACT)):
            raise ScriptError(
                "unsupported",
                f"{self._bundle.main} defines {name}, which this release of Midas does not call",
            )
        for name in CONTRACT:
            if name not in loaded.functions:
                raise ScriptError(
                    "missing_function",
                    f"{self._bundle.main} does not define the function {name}",
                )

    async def run(self, engine: Engine) -> Answer:
        """Carries the job out on an engine.

        Raises:
            ScriptError: the script failed and ``on_error`` is "stop".
            MidasError: the cluster or a process was lost.
        """
        options = self._options
        job = engine.open_job(
            self._bundle.main,
            self._spec,
            self._bundle,
            self,
            workers_min=options.workers_min,
        )
        try:
            await self._until_lost(self._start(job))
            await self._until_lost(self._produce(job), self._store_results(job))
            return await self._interpret()
        finally:
            job.close()
            self._lost.cancel()

    async def _load_as(self, name: str) -> Loaded:
        self._loaded_as = name
        return await self._script.load(name, self._own_spec(), self._bundle)

    def _own_spec(self) -> JobSpec:
        """As the script's own process sees it: another memory limit, always one environment."""
        memory = self._options.driver_memory_bytes or self._options.memory_bytes or 0
        return JobSpec(
            seed=self._spec.seed,
            memory_bytes=memory,
            arg=self._spec.arg,
            directory=self._spec.directory,
        )

    def _must_load_again(self, options: JobOptions) -> bool:
        """Whether ``config`` asks for what had to be known before the top level ran."""
        return options.modules != self._options.modules or (
            options.memory_bytes != self._options.memory_bytes and not options.driver_memory_bytes
        )

    async def _start(self, job: EngineJob) -> None:
        workers = await self._wait_started(job)
        self._count = (self._options.tasks or ONE_TASK_PER_WORKER).resolve(workers)
        self._view.started(self._count, workers)

    async def _wait_started(self, job: EngineJob) -> int:
        try:
            async with asyncio.timeout(self._options.wait_s):
                return await job.wait_started()
        except TimeoutError:
            wanted = self._options.workers_min
            raise ClusterLost(
                f"after {self._options.wait_s:g} s there are fewer than {wanted} "
                f"worker{'s' if wanted > 1 else ''}; start a participant, or wait longer"
            ) from None

    async def _until_lost(self, *coroutines: Coroutine[Any, Any, None]) -> None:
        """Runs them together; the first error ends them all."""
        tasks: list[asyncio.Future[None]] = [asyncio.ensure_future(c) for c in coroutines]
        waiting: set[asyncio.Future[None]] = {*tasks, self._lost}
        try:
            while not all(task.done() for task in tasks):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- generate_data ---------------------------------------------------------------------------

    async def _produce(self, job: EngineJob) -> None:
        """Asks for payloads in chunks of a few milliseconds and submits them as they come."""
        asked: deque[asyncio.Future[None]] = deque()
        parts: asyncio.Queue[CallResults] = asyncio.Queue()
        next_index = generated_count = 0
        chunk = 1
        try:
            while generated_count < self._count:
                while asked and asked[0].done():
                    asked.popleft()
                while next_index < self._count and len(asked) < GENERATE_REQUESTS_MAX:
                    end = min(next_index + chunk, self._count)
                    order = self._order(GENERATE, range(next_index, end))
                    asked.append(self._script.ask_calls(order, parts.put_nowait))
                    next_index = end
                part = await parts.get()  # a process that dies ends the whole job
                generated_count += len(part.outcomes)
                chunk = _next_chunk(chunk, part)
                await self._submit(job, part)
        finally:
            for request in asked:
                request.cancel()

    async def _submit(self, job: EngineJob, generated: CallResults) -> None:
        calls: list[Call] = []
        buffers: list[Buffer] = []
        for outcome, payload in payloads(generated.outcomes, generated.buffers):
            if outcome.status is Status.OK:
                calls.append(Call(outcome.index, 0, outcome.buffer_count))
                buffers += payload
            else:
                error = script_error(
                    bytes(payload[0]), function=GENERATE, index=outcome.index, worker=None
                )
                self._fail_task(error)
                self._arrive(_Arrived(outcome, payload, was_submitted=False))
        if calls:
            order = RunTasks(job.id, ROUND, self._count, self._bundle.digest, EXECUTE, calls)
            await job.submit(order, buffers)

    def _order(self, entry: str, indices: Sequence[int]) -> RunTasks:
        """Calls for the script process; its functions take no payload."""
        calls = [Call(index, 0, 0) for index in indices]
        return RunTasks(self._loaded_as, ROUND, self._count, self._bundle.digest, entry, calls)

    # -- results -----------------------------------------------------------------------------------

    async def _store_results(self, job: EngineJob) -> None:
        """Puts what has arrived into the script's ``results``, then acknowledges it."""
        while self._done < self._count:
            while not self._arrived:
                self._has_arrived.clear()
                await self._has_arrived.wait()
            outcomes: list[Outcome] = []
            buffers: list[Buffer] = []
            submitted: list[int] = []
            size = 0
            while self._arrived and len(outcomes) < limits.TASKS_PER_FRAME_MAX:
                size += size_bytes(self._arrived[0].buffers)
                if outcomes and size > STORE_BYTES_TARGET:
                    break
                arrived = self._arrived.popleft()
                outcomes.append(arrived.outcome)
                buffers += arrived.buffers
                if arrived.was_submitted:
                    submitted.append(arrived.outcome.index)
            await self._script.store(self._loaded_as, ROUND, outcomes, buffers)
            self._done += len(outcomes)
            if submitted:
                job.acknowledge(ROUND, submitted)
            self._view.advanced(self._done, self._failed, [o.index for o in outcomes])

    def _arrive(self, arrived: _Arrived) -> None:
        self._arrived.append(arrived)
        self._has_arrived.set()

    def _fail_task(self, error: ScriptError) -> None:
        """Ends the job, or counts the failure, as the user wants it.

        Raises:
            ScriptError: the one given.
        """
        self._explained(error)
        if self._options.on_error != "continue":
            raise error
        self._failed += 1
        self._view.task_failed(error)

    def _explained(self, error: ScriptError) -> ScriptError:
        """The same error, with the line of source that it points at."""
        error.excerpt = source_line(self._bundle, error.message)
        return error

    # -- interpret_results -------------------------------------------------------------------------

    async def _interpret(self) -> Answer:
        order = self._order(INTERPRET, [0])
        outcomes, buffers = await self._script.call(order)
        payload = bytes(buffers[0])
        if outcomes[0].status is not Status.OK:
            raise self._explained(script_error(payload, function=INTERPRET, worker=None))
        return Answer(msgspec.msgpack.decode(payload), self._failed)

    # -- from the engine ---------------------------------------------------------------------------

    def results_arrived(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        for outcome, payload in payloads(results.outcomes, buffers):
            if outcome.status is not Status.OK:
                try:
                    self._fail_task(
                        script_error(
                            bytes(payload[0]),
                            function=EXECUTE,
                            index=outcome.index,
                            worker=results.worker or None,
                        )
                    )
                except (ScriptError, ProtocolError) as error:
                    self.job_lost(error)
                    return
            self._arrive(_Arrived(outcome, payload))

    def task_printed(self, index: int, worker: str, text: bytes) -> None:
        self._view.printed(index, worker, text)

    def task_progressed(self, index: int, fraction: float) -> None:
        self._view.progressed(index, fraction)

    def workers_changed(self, workers: int) -> None:
        self._view.workers_changed(workers)

    def noticed(self, text: str) -> None:
        self._view.noticed(text)

    def _script_lost(self, lost: asyncio.Future[None]) -> None:
        error = None if lost.cancelled() else lost.exception()
        if isinstance(error, MidasError):
            self.job_lost(error)

    def job_lost(self, error: MidasError) -> None:
        if not self._lost.done():
            self._lost.set_exception(error)
            self._lost.exception()  # whoever waits sees it; before that nobody need


def _next_chunk(chunk: int, generated: CallResults) -> int:
    """How many payloads to ask for next, by what the last request cost."""
    count = len(generated.outcomes)
    seconds = sum(outcome.duration_us for outcome in generated.outcomes) / 1e6 / count
    size = size_bytes(generated.buffers) / count
    by_time = GENERATE_TIME_TARGET_S / max(seconds, 1e-6)
    by_size = GENERATE_BYTES_TARGET / max(size, 1.0)
    return max(1, min(int(by_time), int(by_size), 2 * chunk, limits.TASKS_PER_FRAME_MAX))
