"""The script's own side of a job: one confined process with the driver's profile.

It runs all of the script's functions but ``execute_code``, and holds ``results``.  It answers in
the order in which it is asked, so requests wait in a queue and the first of them is what it is
doing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from midas_mp import limits
from midas_mp.errors import MidasError, ProcessLost, ProtocolError, ScriptError, UsageError
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.output import Printed, Progressed
from midas_mp.participant.postmortem import Bounds, own_failure
from midas_mp.participant.process import LuaProcess, ProcessEnd
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote_messages import WORKER_SPOILED, ChildSpec
from midas_mp.permissions import Permissions, what_lacks
from midas_mp.wire.framing import CONTROL_CHANNEL, Buffer, Frame
from midas_mp.wire.local import LoadScript, ResultsStored, ScriptLoaded, StoreResults, WorkerReady
from midas_mp.wire.messages import (
    BeginJob,
    EndJob,
    Failure,
    JobSpec,
    Outcome,
    PutBundle,
    RunTasks,
    Status,
    TaskResults,
)
from midas_mp.wire.vocabulary import AnyMessage

SCRIPT_PROCESS_NAME = "script"

MAIN_CHUNK = "main chunk"
"""What Lua calls the top level of a file."""

CALLED_PER_TASK = frozenset({"generate_data", "on_result"})

STORING = "storing results"
"""No function of the script's, but where its memory may run out."""


class Loaded(NamedTuple):
    """What running the script's top level told.

    Attributes:
        functions: those of the contract that it defines.
        config: its ``config`` table as Python values, None if it has none.
        failure: why the top level failed, None if it did not.
    """

    functions: frozenset[str]
    config: Any
    failure: ScriptError | None


class CallResults(NamedTuple):
    """How calls ended, in order, with the buffers of all."""

    outcomes: list[Outcome]
    buffers: list[Buffer]


@dataclasses.dataclass(slots=True)
class _Request:
    asked: AnyMessage
    answer: asyncio.Future[Any]
    part_arrived: Callable[[CallResults], None] | None = None
    answered_count: int = 0
    last_part: CallResults | None = None


class ScriptProcess:
    """Asks the process; also the listener of it.

    Attributes:
        ready: done when the process is confined; holds its sandbox level.
        engines: which Lua it can run, once it is ready.
        lost: done when the process has died; holds why.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        node: str,
        memory_bytes: int,
        sandbox_level_max: int,
        working_directory: str,
        permissions: Permissions,
        private: tuple[str, ...] = (),
        sandbox_level_min: int = 0,
        printed: Callable[[bytes], None],
    ) -> None:
        self._printed = printed
        self._held: list[bytes] | None = None
        self._memory_bytes = memory_bytes
        self._sandbox_level_min = sandbox_level_min
        self._requests: deque[_Request] = deque()
        self.engines: list[str] = []
        self.ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        spec = ChildSpec(
            name=SCRIPT_PROCESS_NAME,
            node=node,
            profile="driver",
            memory_bytes=memory_bytes,
            memory_hard_bytes=memory_bytes + limits.MEMORY_SLACK_BYTES if memory_bytes else 0,
            sandbox_level_max=sandbox_level_max,
            working_directory=working_directory,
            permissions=permissions,
            private=private,
        )
        self._process = supervisor.start(spec, self)

    def kill(self) -> None:
        """Ends it, whatever it does."""
        self._process.kill()

    def limit(self, timeout_s: float) -> None:
        """Bounds each call from now on; 0 is for ever."""
        self._process.limit(timeout_s)

    async def load(self, job: str, spec: JobSpec, bundle: Bundle) -> Loaded:
        """Runs the script's top level in the one environment of the job.

        Raises:
            UsageError: this installation lacks the engine.
            ScriptError: the process died of it (timeout, memory).
            ProcessLost: the process died.
        """
        await asyncio.shield(self.ready)
        if spec.engine not in self.engines:
            offered = ", ".join(self.engines)
            raise UsageError(f"this Midas cannot run {spec.engine}, only {offered}: see --lua")
        self._memory_bytes = spec.memory_bytes or self._memory_bytes
        self._process.send(
            [
                Frame(CONTROL_CHANNEL, BeginJob(job, spec)),
                Frame(
                    CONTROL_CHANNEL,
                    PutBundle(job, bundle.digest, bundle.main, list(bundle.modules)),
                    [bundle.source, *bundle.modules.values()],
                ),
            ]
        )
        frame: Frame = await self._ask(LoadScript(job, bundle.digest))
        message = frame.message
        assert isinstance(message, ScriptLoaded)
        config = msgspec.msgpack.decode(frame.buffers[0])
        failure = None
        if len(frame.buffers) > 1:
            failure = script_error(bytes(frame.buffers[1]), worker=None)
            if failure.kind != "syntax":
                failure.function = MAIN_CHUNK
        return Loaded(frozenset(message.functions), config, failure)

    def hold_prints(self) -> None:
        """Keeps what is printed from now on."""
        self._held = []

    def drop_prints(self) -> None:
        """What was kept is void; the rest is shown as it comes."""
        self._held = None

    def release_prints(self) -> None:
        """Shows what was kept, if anything, and the rest as it comes."""
        held, self._held = self._held, None
        for text in held or ():
            self._printed(text)

    def unload(self, job: str) -> None:
        self._process.send([Frame(CONTROL_CHANNEL, EndJob(job))])

    async def call(self, order: RunTasks) -> CallResults:
        """Calls a function of the script for each index.

        Raises:
            ScriptError: a call overran its time, or the process died of it.
            ProcessLost: the process died.
        """
        results = CallResults([], [])

        def add(part: CallResults) -> None:
            results.outcomes.extend(part.outcomes)
            results.buffers.extend(part.buffers)

        await self.ask_calls(order, add)
        return results

    def ask_calls(
        self,
        order: RunTasks,
        part_arrived: Callable[[CallResults], None],
        buffers: Sequence[Buffer] = (),
    ) -> asyncio.Future[None]:
        """As ``call``, but hands on results as they come; the future is done after the last.

        Slow calls then do not hold back those before them.
        """
        return self._ask(order, buffers, part_arrived=part_arrived)

    async def store(
        self, job: str, round_: int, outcomes: list[Outcome], buffers: Sequence[Buffer]
    ) -> tuple[int, ScriptError | None]:
        """Puts results into ``results`` (or ``errors``), up to the first that does not fit there.

        Returns:
            How many of them are in, and what is wrong with the next one, if any.

        Raises:
            ProcessLost: the process died.
        """
        frame: Frame = await self._ask(StoreResults(job, round_, outcomes), buffers)
        message = frame.message
        assert isinstance(message, ResultsStored)
        count = len(message.indices)
        if not frame.buffers:
            return count, None
        failure, index = bytes(frame.buffers[0]), outcomes[count].index
        return count, script_error(failure, function=STORING, index=index, worker=None)

    def _ask(
        self,
        message: AnyMessage,
        buffers: Sequence[Buffer] = (),
        *,
        part_arrived: Callable[[CallResults], None] | None = None,
    ) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.lost.done():
            return self.lost
        self._requests.append(_Request(message, answer, part_arrived))
        self._process.send([Frame(CONTROL_CHANNEL, message, buffers)])
        return answer

    # -- from the process --------------------------------------------------------------------------

    def process_frames(self, _process: LuaProcess, frames: list[Frame]) -> None:
        for frame in frames:
            message = frame.message
            if isinstance(message, WorkerReady):
                self.engines = message.engines
                lacking = what_lacks(message.sandbox_level, self._sandbox_level_min)
                if lacking:
                    self.ready.set_exception(ProcessLost(f"the script's own process {lacking}"))
                else:
                    self.ready.set_result(message.sandbox_level)
            elif isinstance(message, TaskResults):
                self._take_results(message, frame.buffers)
            else:
                self._answer(frame)

    def process_output(self, _process: LuaProcess, records: Sequence[Printed | Progressed]) -> None:
        for record in records:
            if isinstance(record, Printed):
                if self._held is None:
                    self._printed(record.text)
                else:
                    self._held.append(record.text)

    def process_ended(self, process: LuaProcess, end: ProcessEnd) -> None:
        error = self._verdict(process, end)
        requests, self._requests = self._requests, deque()
        for request in requests:
            if not request.answer.done():
                request.answer.set_exception(error)
                request.answer.exception()  # whoever waits sees it; nobody need
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()
        self.lost.set_exception(error)
        self.lost.exception()

    def _verdict(self, process: LuaProcess, end: ProcessEnd) -> MidasError:
        function, index = self._doing(end)
        peak = f"peak memory {end.exit.peak_bytes / limits.MB:.0f} MB"
        failure = own_failure(end, Bounds(process.deadline_s, self._memory_bytes))
        if failure is not None:
            return ScriptError(failure.kind, failure.message, function=function, index=index)
        if end.exit.exit_code == WORKER_SPOILED:
            return self._reported() or ScriptError(
                "memory", f"out of memory; {peak}", function=function, index=index
            )
        if end.exit.signal == signal.SIGKILL:
            return ProcessLost(f"the script process was {end.cause}")
        message = f"the script process died: {end.cause}; {peak}"
        return ScriptError("lost", message, function=function, index=index)

    def _reported(self) -> ScriptError | None:
        """What the process said, before it left, of the call that made it unfit."""
        request = self._requests[0] if self._requests else None
        if request is None or not isinstance(request.asked, RunTasks) or not request.last_part:
            return None
        last = request.last_part.outcomes[-1]
        if last.status is Status.OK:
            return None
        payload = bytes(request.last_part.buffers[-1])
        return script_error(payload, function=request.asked.entry, index=last.index, worker=None)

    def _doing(self, end: ProcessEnd) -> tuple[str | None, int | None]:
        """The function, and the index where it is called once per task.

        Results of short calls are sent together, so only the page knows how far it had come.
        """
        if not self._requests:
            return None, None
        request = self._requests[0]
        if isinstance(request.asked, LoadScript):
            return MAIN_CHUNK, None
        if not isinstance(request.asked, RunTasks):
            return STORING, None
        entry, running = request.asked.entry, end.overdue or end.running
        if entry not in CALLED_PER_TASK or running is None:
            return entry, None
        return entry, running.index

    def _take_results(self, message: TaskResults, buffers: Sequence[Buffer]) -> None:
        request = self._requests[0] if self._requests else None
        if request is None or not isinstance(request.asked, RunTasks):
            raise ProtocolError("the script process answered what it was not asked")
        request.last_part = CallResults(message.outcomes, list(buffers))
        request.answered_count += len(message.outcomes)
        if request.part_arrived is not None and not request.answer.done():
            request.part_arrived(request.last_part)
        if request.answered_count >= len(request.asked.calls):
            self._requests.popleft()
            if not request.answer.done():
                request.answer.set_result(None)

    def _answer(self, frame: Frame) -> None:
        if not self._requests:
            raise ProtocolError("the script process answered what it was not asked")
        request = self._requests.popleft()
        if not request.answer.done():
            request.answer.set_result(frame)


def script_error(
    payload: bytes,
    *,
    function: str | None = None,
    index: int | None = None,
    worker: str | None,
) -> ScriptError:
    """The exception that a ``Failure`` payload stands for."""
    failure = Failure.from_payload(payload)
    return ScriptError(
        failure.kind,
        failure.message,
        failure.traceback,
        function=function,
        index=index,
        worker=worker,
    )
