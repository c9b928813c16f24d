"""Working off frames of tasks in a Lua process: call, note what came of it, send.

Results of short calls share a frame.  Until they are sent, the parent can read them on the status
page (see ``unsent_results``); there it also says which calls it has taken back.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from midas_mp import limits
from midas_mp.blobs.exchange import ProcessBlobs
from midas_mp.errors import ProtocolError, ScriptError
from midas_mp.lua.buffers import ResultBuffer
from midas_mp.lua.outbound import OutboundBlock
from midas_mp.lua.runtime import RENEWED_NS_MIN, Context
from midas_mp.participant.opened_job import OpenedJob, to_failure
from midas_mp.participant.status_page import StatusPage
from midas_mp.participant.unsent_results import UnsentResults
from midas_mp.wire.framing import Buffer
from midas_mp.wire.local import BlobRef
from midas_mp.wire.messages import (
    Call,
    CallForm,
    Failure,
    Outcome,
    RunTasks,
    Status,
    TaskRef,
    TaskResults,
    TasksReturned,
)

SEND_INTERVAL_NS: Final = int(limits.FRAME_TIME_S_MAX * 1e9)
"""What is finished is sent at the end of a frame, or when so much time has passed since the last
send: short tasks share a frame, long ones do not wait for each other."""

LONG_NS: Final = 20_000_000
SEND_INTERVAL_AMONG_LONG_NS: Final = 200_000
"""Nobody can tell how long the next task will take.  Once a job has had one of 20 ms, the short
ones between are sent sooner (a send costs some 20 us), so that none waits long for its mate."""

SEND_BYTES: Final = 1 * limits.MB
"""So much result is sent at once; joining more would cost memory and save nothing."""

SEND_BUFFERS: Final = limits.PAYLOAD_BUFFERS_MAX
"""Likewise: with as many again of the last result a frame is far from the limit."""

Payload = Sequence[Buffer | BlobRef]

Send = Callable[[TaskResults | TasksReturned, Payload], None]


class TaskRunner:
    """Runs the tasks of all jobs of one process.

    Args:
        name: the process'.
        page: where it says what it runs.
        shows_unsent: whether the parent reads there what is finished and not sent.
        blobs: the memory that it shares with its parent, if any.
        send: to the parent.
        free: told of results that are not sent after all.
        output_bytes: all that the process has printed.

    Attributes:
        serial: how many calls were begun or taken back so far.
    """

    def __init__(
        self,
        name: str,
        page: StatusPage,
        *,
        shows_unsent: bool,
        blobs: ProcessBlobs | None,
        send: Send,
        free: Callable[[Iterable[Buffer | BlobRef]], None],
        output_bytes: Callable[[], int],
    ) -> None:
        self.serial = 0
        self._name = name
        self._page = page
        self._shows_unsent = shows_unsent
        self._blobs = blobs
        self._send = send
        self._free = free
        self._output_bytes = output_bytes

    def run(self, job: OpenedJob, message: RunTasks, buffers: list[Buffer | None]) -> None:
        """Calls the entry for each task, and answers; a job that is spoiled then is answered up to
        the task that spoiled it.
        """
        page, runtime = self._page, job.runtime
        broken = job.why_not(message.digest, message.round)
        finished = self._begin(job)
        left = len(message.calls)
        position = 0
        for call in message.calls:
            self.serial += 1
            began_ns = page.begin_task(self.serial, message.round, call.index)
            if not began_ns:
                page.end_task()
                self._give_back(job, message, left, finished)
                return
            if broken is None:
                status, payload = self._call(job, message, call, buffers, position)
            else:
                status, payload = Status.FAILED, [broken.to_payload()]
            page.end_task()
            ended_ns = time.monotonic_ns()
            end = position + call.buffer_count
            for place in range(position, end):
                buffers[place] = None  # so the result's frame says that it is not read any more
            position = end
            took_ns = ended_ns - began_ns
            if took_ns > LONG_NS:
                self._note_long(job, message.digest, took_ns, status)
            left -= 1
            is_end = not left or runtime.is_spoiled
            if finished.add(call, status, took_ns, payload) or is_end or ended_ns > finished.due_ns:
                self._finish(job, message, finished, is_end=is_end)
                if runtime.is_spoiled:
                    return
                finished = self._begin(job)

    def _note_long(self, job: OpenedJob, digest: str, took_ns: int, status: Status) -> None:
        job.has_long_tasks = True
        if took_ns > RENEWED_NS_MIN and status is Status.OK:
            job.runtime.renew(digest, took_ns)

    def _begin(self, job: OpenedJob) -> _Finished:
        """Nothing is unsent."""
        interval_ns = SEND_INTERVAL_AMONG_LONG_NS if job.has_long_tasks else SEND_INTERVAL_NS
        unsent = self._page.unsent
        if not self._shows_unsent:
            return _Finished(None, interval_ns)
        if job.shared_round is not None:
            # nothing may be read before the shared data has been compared: see ``_finish``
            unsent.hide()
            return _Finished(None, interval_ns)
        unsent.begin(self.serial + 1)
        return _Finished(unsent, interval_ns)

    def _finish(
        self, job: OpenedJob, message: RunTasks, finished: _Finished, *, is_end: bool
    ) -> None:
        """Sends what the tasks since the last send came to.

        If one of them wrote into the shared data nobody knows which of them read it afterwards:
        all have failed, and the process is of no more use.
        """
        outcomes, payloads = finished.outcomes, finished.payloads
        failure = job.find_write(len(outcomes))
        if failure is not None:
            outcomes = [
                Outcome(each.index, each.attempt, Status.FAILED, each.duration_us)
                for each in outcomes
            ]
            self._free(itertools.chain.from_iterable(payloads))
            payloads = [[failure.to_payload()]] * len(outcomes)
        elif finished.is_large and len(outcomes) > 1:  # by the last one
            self._send_results(message, outcomes[:-1], payloads[:-1])
            outcomes, payloads = outcomes[-1:], payloads[-1:]
        if is_end or failure is not None:
            job.runtime.tell_dropped()
        self._send_results(message, outcomes, payloads)

    def _send_results(
        self, message: RunTasks, outcomes: list[Outcome], payloads: list[Payload]
    ) -> None:
        results = TaskResults(
            message.job, message.round, self._name, outcomes, self._output_bytes()
        )
        self._send(results, list(itertools.chain.from_iterable(payloads)))

    def _give_back(
        self, job: OpenedJob, message: RunTasks, count: int, finished: _Finished
    ) -> None:
        """The parent has taken back so many, the last ones: says so, after all that is finished."""
        self.serial += count - 1
        if finished.outcomes:
            self._finish(job, message, finished, is_end=True)
        else:
            job.runtime.tell_dropped()
        if not job.runtime.is_spoiled:
            calls = message.calls[-count:]
            refs = [TaskRef(message.job, message.round, call.index) for call in calls]
            self._send(TasksReturned(refs), ())

    # -- one call ----------------------------------------------------------------------------------

    def _call(
        self,
        job: OpenedJob,
        message: RunTasks,
        call: Call,
        buffers: list[Buffer | None],
        position: int,
    ) -> tuple[Status, Payload]:
        """One task: its status, and its result or a failure."""
        context = Context(call.index, message.count, message.round, call.attempt)
        try:
            payload = payload_of(call, buffers, position)
            if message.form is CallForm.BATCH:
                return self._call_batch(job, message, context, payload)
            return Status.OK, self._placed(
                job.runtime.call(message.digest, message.entry, context, payload, message.form)
            )
        except ScriptError as error:
            return Status.FAILED, [to_failure(error).to_payload()]
        except MemoryError:
            job.runtime.is_spoiled = True
            text = f"not enough memory for what {message.entry}() takes and returns"
            return Status.FAILED, [Failure("memory", text).to_payload()]

    def _call_batch(
        self, job: OpenedJob, message: RunTasks, context: Context, payload: Sequence[Buffer]
    ) -> tuple[Status, Payload]:
        results, error = job.runtime.call_batch(message.digest, message.entry, context, payload)
        if error is None:
            return Status.OK, self._placed(results)
        return Status.FAILED, [to_failure(error).to_payload(), *self._placed(results)]

    def _placed(self, buffers: list[ResultBuffer]) -> Payload:
        """As the socket takes them."""
        if len(buffers) == 1 and type(buffers[0]) is bytes:  # nearly always
            return buffers  # type: ignore[return-value]  # that is no block
        placed: list[Buffer | BlobRef] = []
        for each in buffers:
            if not isinstance(each, OutboundBlock):
                placed.append(each)
            elif self._blobs is not None:  # else there are no blocks
                placed.append(self._blobs.place(*each))
        return placed


class _Finished:
    """What a frame's tasks came to since the last send.

    Args:
        unsent: where the parent can read it meanwhile; None is nowhere.
        interval_ns: how long it may wait.

    Attributes:
        outcomes: of the tasks, in order.
        payloads: likewise.
        due_ns: when all of it has waited for long enough (CLOCK_MONOTONIC).
    """

    __slots__ = ("_buffer_count", "_size_bytes", "_unsent", "due_ns", "outcomes", "payloads")

    def __init__(self, unsent: UnsentResults | None, interval_ns: int) -> None:
        self.outcomes: list[Outcome] = []
        self.payloads: list[Payload] = []
        self._unsent = unsent
        self._buffer_count = 0
        self._size_bytes = 0
        """Of what the parent cannot read meanwhile."""
        self.due_ns = time.monotonic_ns() + interval_ns

    def add(self, call: Call, status: Status, took_ns: int, payload: Payload) -> bool:
        """Notes a result; whether all must be sent now."""
        count = len(payload)
        took_us = took_ns // 1000
        self.outcomes.append(Outcome(call.index, call.attempt, status, took_us, count))
        self.payloads.append(payload)
        self._buffer_count += count
        unsent = self._unsent
        is_shown = unsent is not None and unsent.add(status, took_us, payload)
        if not is_shown:
            self._size_bytes += _size_bytes(payload)
        return (
            self._buffer_count > SEND_BUFFERS
            or len(self.outcomes) >= limits.TASKS_PER_FRAME_MAX
            or (not is_shown and (unsent is not None or self._size_bytes > SEND_BYTES))
        )

    @property
    def is_large(self) -> bool:
        """Whether it is too much for one frame."""
        return self._size_bytes > SEND_BYTES - limits.UNSENT_RESULTS_BYTES


def payload_of(
    task: Call | Outcome, buffers: Sequence[Buffer | None], position: int
) -> Sequence[Buffer]:
    """The buffers of a task, from that one on.

    Raises:
        ScriptError: one was too large to be received.
    """
    end = position + task.buffer_count
    if end > len(buffers):
        raise ProtocolError(f"task {task.index} has {task.buffer_count} of {len(buffers)} buffers")
    payload = buffers[position:end]
    if None in payload:
        raise ScriptError("memory", "not enough memory to receive what was sent to this task")
    return payload  # type: ignore[return-value]  # none of them is None


def _size_bytes(payload: Payload) -> int:
    size = 0
    for each in payload:  # called for every task: a generator and its sum would take twice as long
        size += each.size_bytes if isinstance(each, BlobRef) else len(each)
    return size
