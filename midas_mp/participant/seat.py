"""A worker's seat at its launcher: its queue, what is in its hands, what it already knows.

A seat outlives the processes that sit on it.  Batches come from the host as it cut them; the
seat cuts them again by the task time measured here, so that short tasks come many to a frame
with one frame waiting in the socket, and a long one comes alone with the rest still in the
queue, where it can be taken back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Final

from midas_mp import limits
from midas_mp.participant.call_batch import CallBatch
from midas_mp.participant.hand import Hand
from midas_mp.participant.node_job import KnownJob
from midas_mp.participant.process import LuaProcess
from midas_mp.participant.status_page import RunningTask
from midas_mp.scheduler.estimate import Estimate
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import WorkerReady
from midas_mp.wire.messages import (
    Call,
    Outcome,
    RunTasks,
    TaskRef,
    TaskResults,
    TasksReturned,
    WorkerUp,
)

FRAMES_IN_HAND_MAX: Final = 2
"""One runs, one waits in the socket."""

FRAME_TIME_TARGET_US: Final = limits.FRAME_TIME_TARGET_S * 1e6
FRAME_TIME_US_MAX: Final = limits.FRAME_TIME_S_MAX * 1e6

FRAME_PART_OF_QUEUE: Final = 1 / 3
"""As in guided self-scheduling: frames are long as long as much waits, and short near the end,
where what is in hand can no longer be given to an idle worker."""

WAITING_TASK_US_MAX: Final = limits.WAITING_TASK_S_MAX * 1e6

WORKER_UP_BYTES_MAX: Final = 8 * limits.KB
"""What a WorkerUp weighs beside the tasks held: names, and what the process said in a header of
``HEADER_BYTES_MAX_GREETING``."""

TASK_REF_BYTES_MAX: Final = 22
"""What a TaskRef weighs beside its job's id: an array of a text and two numbers."""


class Seat:
    """One channel of the launcher.

    Attributes:
        channel: its number in frames to and from the host.
        epoch: counts the processes that sat here.
        process: the one that sits here now, or None between two.
        ready: what it said when it was ready; None before.
        known: what this process has been told, by job.
        is_registered: whether the host that listens now knows of this process.
    """

    def __init__(self, channel: int) -> None:
        self.channel = channel
        self.epoch = 0
        self.process: LuaProcess | None = None
        self.ready: WorkerReady | None = None
        self.known: dict[str, KnownJob] = {}
        self.is_registered = False
        self._queue: deque[CallBatch] = deque()
        self._hand = Hand()
        self._unwanted: set[TaskRef] = set()
        """In hand, and cancelled."""
        self._estimates: dict[str, Estimate] = {}

    def seat(self, process: LuaProcess) -> None:
        """A new process sits down."""
        self.process = process
        self.known.clear()

    def vacate(self) -> None:
        """Its process is gone, with what it had in hand and what was queued for it."""
        self.process = None
        self.ready = None
        self.is_registered = False
        self.epoch += 1
        self.drop_queue()
        self._hand = Hand()
        self._unwanted.clear()

    # -- filling ---------------------------------------------------------------------------------

    def enqueue(self, frame: Frame) -> None:
        self._queue.append(CallBatch.of(frame))

    def next_batches(self) -> Iterator[CallBatch]:
        """What to send to the process now: it is then in its hands.

        One frame runs; a second may wait in the socket, out of reach, only if its tasks are short
        by measure; and nothing is to wait behind a call that turned out to be long.
        """
        hand = self._hand
        while self._queue and hand.frame_count < FRAMES_IN_HAND_MAX and not hand.is_asked_back:
            batch = self._queue[0]
            job = batch.order.job
            expected_us = self.expected_us(job)
            if hand.frame_count and (expected_us > WAITING_TASK_US_MAX or hand.job != job):
                return
            count = min(self._tasks_per_frame(expected_us), limits.TASKS_PER_FRAME_MAX)
            if count >= len(batch.calls):
                self._queue.popleft()
                taken = batch
            else:
                taken = batch.take_first(count)
            hand.add(taken.order, taken.calls)
            yield taken

    def _tasks_per_frame(self, expected_us: float) -> int:
        queued_us = FRAME_PART_OF_QUEUE * expected_us * sum(len(it.calls) for it in self._queue)
        frame_us = min(max(queued_us, FRAME_TIME_TARGET_US), FRAME_TIME_US_MAX)
        return int(frame_us / expected_us) or 1

    def expected_us(self, job: str) -> float:
        """What a task of the job takes here; for ever, as long as none was measured."""
        estimate = self._estimates.get(job)
        return math.inf if estimate is None or estimate.task_us is None else estimate.task_us

    # -- emptying --------------------------------------------------------------------------------

    def finish(self, results: TaskResults) -> int:
        """Notes what the process says it finished; processes finish in the order given.

        Returns:
            How many of the outcomes, the first ones, had been taken early.

        Raises:
            ProtocolError: it answers what it was not asked.
        """
        known_count = self._hand.finish(results)
        self._note(results, results.outcomes[known_count:] if known_count else results.outcomes)
        return known_count

    def take_early(self, running: RunningTask) -> Frame | None:
        """Takes what the process has finished and cannot send while it is at that call.

        Returns:
            The results, for the host; None if there are none, or not all earlier ones have come.
        """
        assert self.process is not None
        unsent = self.process.unsent(self._hand.first_serial, running)
        if not unsent:
            return None
        results = self._hand.take_early(unsent, self.process.name)
        self._note(results, results.outcomes)
        return Frame(self.channel, results, [buffer for each in unsent for buffer in each.payload])

    def take_back(self, running: RunningTask) -> list[TaskRef]:
        """What of that which was asked back a moment ago the process will not begin."""
        return self._let_go(self._hand.take_back(running))

    def ask_back(self, running: RunningTask) -> None:
        """Wants back what waits in the process' hands behind that call."""
        assert self.process is not None
        serial = self._hand.ask_back(running)
        if serial:
            self.process.take_back(serial)

    def returned(self, message: TasksReturned) -> list[TaskRef]:
        """Notes what the process says it did not begin; what had not been taken back before.

        Raises:
            ProtocolError: it was not asked for one of them.
        """
        return self._let_go(self._hand.returned(message))

    def _note(self, results: TaskResults, outcomes: Sequence[Outcome]) -> None:
        """They are finished."""
        if self._unwanted:
            for outcome in outcomes:
                self._unwanted.discard(TaskRef(results.job, results.round, outcome.index))
        durations_us = [outcome.duration_us for outcome in outcomes]
        if durations_us:
            estimate = self._estimates.setdefault(results.job, Estimate())
            estimate.observe(len(durations_us), sum(durations_us), max(durations_us))

    def _let_go(self, refs: list[TaskRef]) -> list[TaskRef]:
        self._unwanted.difference_update(refs)
        return refs

    def recall(self, count: int) -> list[TaskRef]:
        """Takes up to so many out of the queue, last first."""
        refs: list[TaskRef] = []
        while self._queue and len(refs) < count:
            batch = self._queue[-1]
            refs += batch.drop_last(min(count - len(refs), len(batch.calls)))
            if not batch.calls:
                self._queue.pop()
        return refs

    def cancel(self, job: str, round_: int, indices: Container[int]) -> list[TaskRef]:
        """Takes these out of the queue, and notes which of them are in hand; unknown ones are none.

        Returns:
            Those that were in the queue.
        """
        dropped: list[TaskRef] = []
        for batch in self._queue:
            if (batch.order.job, batch.order.round) == (job, round_):
                dropped += batch.drop(indices)
        self._queue = deque(batch for batch in self._queue if batch.calls)
        for ref in self.held():
            if ref.job == job and ref.round == round_ and ref.index in indices:
                self._unwanted.add(ref)
        return dropped

    def drop_job(self, job: str) -> list[TaskRef]:
        """Forgets a job; the tasks that had not left the queue."""
        self._estimates.pop(job, None)
        return self.drop_orders(lambda order: order.job == job)

    def drop_orders(self, is_meant: Callable[[RunTasks], bool]) -> list[TaskRef]:
        """Takes all tasks of these orders out of the queue."""
        dropped = [batch for batch in self._queue if is_meant(batch.order)]
        if dropped:
            self._queue = deque(batch for batch in self._queue if not is_meant(batch.order))
        return [ref for batch in dropped for ref in batch.refs()]

    def drop_queue(self) -> None:
        """Forgets what has not begun, whosever it is."""
        self._queue.clear()

    # -- asking ----------------------------------------------------------------------------------

    def has_in_hand(self, job: str) -> bool:
        return self._hand.has_of(job)

    @property
    def has_several_in_hand(self) -> bool:
        """Whether something is held back, or was not begun, if a call takes long."""
        return self._hand.has_several

    def held(self) -> list[TaskRef]:
        """The tasks that the process was given and has not answered."""
        return self._hand.refs()

    def introduction(self, name: str, permits: str) -> WorkerUp:
        """How the process, which is ready, is registered."""
        assert self.ready is not None
        return WorkerUp(
            self.channel,
            name,
            self.epoch,
            self.ready.sandbox_level,
            self.ready.engines,
            _as_many_as_fit(self.held()),
            permits,
        )

    @property
    def has_unwanted(self) -> bool:
        """Whether something in hand was cancelled."""
        return bool(self._unwanted)

    def is_unwanted(self, task: TaskRef) -> bool:
        """Whether it is in hand and was cancelled."""
        return task in self._unwanted

    def next_in_hand(self) -> TaskRef | None:
        """The first task of those held."""
        return self._hand.first()

    @property
    def is_busy(self) -> bool:
        return self._hand.frame_count > 0

    @property
    def is_alive(self) -> bool:
        """Whether somebody sits here who has not been killed, though perhaps not buried yet."""
        return self.process is not None and not self.process.killed_on_purpose

    def task_of(self, running: RunningTask | None) -> tuple[RunTasks, Call] | None:
        """Which task the page means, if any."""
        return self._hand.find(running) if running is not None else None


def _as_many_as_fit(refs: Sequence[TaskRef]) -> list[TaskRef]:
    """What of these one header can say.

    All of them, unless ids of jobs are over ninety bytes long: then the host may have the rest
    run twice, and counts it once.
    """
    room = limits.HEADER_BYTES_MAX - WORKER_UP_BYTES_MAX
    fitting: list[TaskRef] = []
    for ref in refs[: limits.QUEUE_TASKS_MAX]:
        room -= len(ref.job.encode()) + TASK_REF_BYTES_MAX
        if room < 0:
            break
        fitting.append(ref)
    return fitting
