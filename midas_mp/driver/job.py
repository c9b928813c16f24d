"""A whole job out of one script: its rounds, one after the other, and its answer.

    load ─▶ round 0: generate_shared_data, generate_data, execute_code, on_result ─▶ next_round
                ▲                                                        │ true        │ false
                └── round + 1 ◀──────────────────────────────────────────┘             ▼
                                                                          interpret_results

Without the optional functions it is one round of generate_data → execute_code → interpret_results.
The driver itself never opens a payload.  It asks for payloads only as fast as the engine gives
credit, and acknowledges a result when the script has it: a million tasks do not mean a million
payloads in memory.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from midas_mp.client.engine import Engine, EngineJob
from midas_mp.config import JobOptions, TaskCount
from midas_mp.driver.loading import INTERPRET, LoadedScript, ScriptLoader, explained
from midas_mp.driver.recording import Recording
from midas_mp.driver.round import ON_RESULT, Round
from midas_mp.driver.script_process import CallResults, ScriptProcess, script_error
from midas_mp.driver.view import View
from midas_mp.errors import ClusterLost, MidasError, ProtocolError, ScriptError
from midas_mp.journal.journal import Journal
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import Call, Status, TaskResults

GENERATE_SHARED: Final = "generate_shared_data"
NEXT_ROUND: Final = "next_round"
ONE_TASK_PER_WORKER: Final = TaskCount(1, is_per_worker=True)


class Answer(NamedTuple):
    """What a job came to.

    Attributes:
        value: what interpret_results returned: str, bytes, int, float or None.
        failed: how many tasks failed (only with ``on_error="continue"``).
    """

    value: str | bytes | int | float | None
    failed: int


class ScriptJob:
    """One run of one script.  Also the observer of its job at the engine."""

    def __init__(
        self,
        path: Path,
        script: ScriptProcess,
        options: JobOptions,
        view: View,
        journal: Journal | None = None,
    ) -> None:
        self._process = script
        self._options = options
        self._view = view
        self._loader = ScriptLoader(path, script, options.modules)
        self._loaded: LoadedScript | None = None
        self._round: Round | None = None
        self._is_started = False
        self._workers = 0
        self._workers_changed = asyncio.Event()
        self._failed = 0
        self._resumed_count = 0
        """Tasks of the round that an earlier run has done; they come in again from the journal."""
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        script.lost.add_done_callback(self._part_lost)
        self._recording: Recording | None = None
        if journal is not None:
            self._recording = Recording(journal)
            journal.failed.add_done_callback(self._part_lost)

    # -- loading -----------------------------------------------------------------------------------

    async def load(self) -> None:
        """Runs the script's top level; settles what ``config`` says.

        Raises:
            ScriptError: it failed, or a function of the contract is missing.
            UsageError: ``config`` makes no sense, or asks for what is not to be had; the journal
                is of another job.
            ProcessLost: the script process died.
            JournalFailed: the journal cannot be written.
        """
        if self._recording is not None:
            self._options = self._recording.adopt(self._options)
        self._loaded = await self._loader.load(self._options)
        self._options = self._loaded.options
        if self._recording is not None:
            await self._recording.begin(self._loaded.bundle, self._loaded.spec, self._options.tasks)

    @property
    def _script(self) -> LoadedScript:
        assert self._loaded is not None
        return self._loaded

    # -- running -----------------------------------------------------------------------------------

    async def run(self, engine: Engine) -> Answer:
        """Carries the job out on an engine.

        Raises:
            ScriptError: the script failed and ``on_error`` is "stop".
            MidasError: the cluster or a process was lost.
        """
        if self._recording is not None and (story := self._recording.story()):
            self._view.noticed(story)
        job = engine.open_job(
            self._script.bundle.main,
            self._script.spec,
            self._script.bundle,
            self,
            workers_min=self._options.workers_min,
        )
        try:
            await self._play(job, number=0)
            while await self._wants_next_round():
                await self._play(job, number=self._present.number + 1)
            if self._recording is not None:
                self._recording.end(self._present.number + 1)
            return await self._interpret()
        finally:
            job.close()
            self._lost.cancel()

    async def _start(self, job: EngineJob) -> None:
        """Waits for workers, if nobody has."""
        if not self._is_started:
            self._workers = await self._wait_started(job)
            self._is_started = True

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

    async def _play(self, job: EngineJob, *, number: int) -> None:
        """One round, from its count to its last result."""
        await self._until_lost(self._begin_round(job, number))
        await self._until_lost(self._replay_and_produce(), self._present.consume())

    async def _begin_round(self, job: EngineJob, number: int) -> None:
        recorded = self._recording.round(number) if self._recording is not None else None
        is_over = recorded is not None and recorded.is_over
        if not is_over:
            await self._start(job)
        count = recorded.count if recorded is not None else await self._settle_count()
        self._view.started(number, count, self._workers)
        self._resumed_count = recorded.done if recorded is not None else 0
        if self._resumed_count:
            self._advanced(0, [])
        shared: Sequence[Buffer] = ()
        self._round = Round(
            number,
            count,
            script=self._script.orders,
            job=job,
            has_on_result=ON_RESULT in self._script.functions,
            task_failed=self._task_failed,
            advanced=self._advanced,
        )
        if GENERATE_SHARED in self._script.functions:
            shared = (await self._call(GENERATE_SHARED)).buffers
        if self._recording is not None:
            self._round.recording = self._recording.begin_round(number, count, shared)
        if shared and count and not is_over:
            job.share(number, shared)

    async def _settle_count(self) -> int:
        """Anew for each round."""
        tasks = self._options.tasks or ONE_TASK_PER_WORKER
        while tasks.is_per_worker and not self._workers:
            self._workers_changed.clear()
            await self._workers_changed.wait()
        return tasks.resolve(self._workers)

    async def _replay_and_produce(self) -> None:
        await self._present.replay()
        await self._present.produce()

    async def _wants_next_round(self) -> bool:
        if NEXT_ROUND not in self._script.functions:
            return False
        return bool(msgspec.msgpack.decode((await self._call(NEXT_ROUND)).buffers[0]))

    async def _interpret(self) -> Answer:
        payload = (await self._call(INTERPRET)).buffers[0]
        return Answer(msgspec.msgpack.decode(payload), self._failed)

    async def _call(self, function: str) -> CallResults:
        """Calls a function that is called once in a round.

        Raises:
            ScriptError: it failed.
        """
        present = self._present
        order = self._script.orders.order(present.number, present.count, function, [Call(0, 0, 0)])
        results = await self._process.call(order)
        if results.outcomes[0].status is not Status.OK:
            payload = bytes(results.buffers[0])
            error = script_error(payload, function=function, worker=None)
            raise explained(error, self._script.bundle)
        return results

    @property
    def _present(self) -> Round:
        assert self._round is not None
        return self._round

    def _advanced(self, done: int, ended: list[int]) -> None:
        self._view.advanced(max(done, self._resumed_count), self._failed, ended)

    def _task_failed(self, error: ScriptError) -> None:
        """Ends the job, or counts the failure, as the user wants it.

        Raises:
            ScriptError: the one given.
        """
        explained(error, self._script.bundle)
        if self._options.on_error != "continue":
            raise error
        self._failed += 1
        self._view.task_failed(error)

    # -- from the engine ---------------------------------------------------------------------------

    def results_arrived(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        recording = self._present.recording
        if recording is None:
            self._count(results, buffers)
            return
        recording.write(
            results,
            buffers,
            functools.partial(self._count, results, buffers),
            with_failures=self._options.on_error == "continue",
        )

    def _count(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        try:
            self._present.arrive(results, buffers)
        except (ScriptError, ProtocolError) as error:
            self.job_lost(error)

    def task_printed(self, index: int, worker: str, text: bytes) -> None:
        self._view.printed(index, worker, text)

    def task_progressed(self, index: int, fraction: float) -> None:
        self._view.progressed(index, fraction)

    def task_running(self, index: int, worker: str, elapsed_s: float) -> None:
        self._view.running(index, worker, elapsed_s)

    def workers_changed(self, workers: int) -> None:
        self._workers = workers
        self._workers_changed.set()
        self._view.workers_changed(workers)

    def shared_progressed(self, node: str, received_bytes: int, total_bytes: int) -> None:
        self._view.shared_progressed(node, received_bytes, total_bytes)

    def noticed(self, text: str) -> None:
        self._view.noticed(text)

    def _part_lost(self, lost: asyncio.Future[None]) -> None:
        error = None if lost.cancelled() else lost.exception()
        if isinstance(error, MidasError):
            self.job_lost(error)

    def job_lost(self, error: MidasError) -> None:
        if not self._lost.done():
            self._lost.set_exception(error)
            self._lost.exception()  # whoever waits sees it; before that nobody need
