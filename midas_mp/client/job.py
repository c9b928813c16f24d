"""One open job of a client: what was submitted and not yet acknowledged, and what comes of it.

A task is *open* until its result comes, then *delivered* until its observer acknowledges it.  One
that is cancelled while it is open stays *cancelled* until the host says that it has forgotten it:
until then it counts against the credit, and its cancelling may have to be said again.
While the connection is away all this is kept; on a new one the open tasks are said again, within
the credit that the host grants then, before anything new.  So are the latest acknowledgements,
since what the host has not heard of would count against that credit.  The host repeats the
results that it has no acknowledgement of; what was delivered before is not delivered twice.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Protocol

import msgspec

from midas_mp import limits
from midas_mp.client.acknowledgements import Acknowledgements
from midas_mp.client.bundles import KeptBundles
from midas_mp.client.credit import Credit
from midas_mp.client.engine import JobObserver
from midas_mp.client.submission import Submission
from midas_mp.client.upload import SharedPayload
from midas_mp.errors import ClusterLost, JobKilled, MidasError
from midas_mp.lua.bundle import Bundle
from midas_mp.wire.framing import Buffer, Frame, payloads, size_bytes
from midas_mp.wire.management import Action, Control
from midas_mp.wire.messages import (
    KILLED,
    Acknowledge,
    Call,
    CancelTasks,
    FetchShared,
    JobEnded,
    JobOpened,
    JobStarted,
    JobStatus,
    OpenJob,
    RunTasks,
    SharedHeld,
    TaskPrinted,
    TaskProgress,
    TaskResults,
    TaskRunning,
    TasksCancelled,
)
from midas_mp.wire.vocabulary import AnyMessage

_Task = tuple[RunTasks, Call, Sequence[Buffer], int]
"""The order that it came with, its call, its payload and the bytes of that.  Not a class: one is
made for every task."""


class JobOwner(Protocol):
    """The client that a job belongs to."""

    is_paused: bool | None
    """Its jobs are to stand still; None if nobody ever said so."""

    def say(self, message: AnyMessage, buffers: Sequence[Buffer] = ()) -> None: ...

    def upload(self, payload: SharedPayload, offset: int) -> None: ...

    def forget(self, job: ClientJob, reason: str) -> None: ...

    def got_ahead(self) -> None: ...

    def ended(self, job: ClientJob) -> None: ...


@dataclasses.dataclass(slots=True)
class _Round:
    """The tasks of a round, by index.

    Attributes:
        open: submitted, no result so far.
        delivered: their observer has the result; the size of their payload.
        cancelled: the host may not have heard that nobody wants them; likewise.
    """

    open: dict[int, _Task] = dataclasses.field(default_factory=dict)
    delivered: dict[int, int] = dataclasses.field(default_factory=dict)
    cancelled: dict[int, int] = dataclasses.field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.open or self.delivered or self.cancelled)


class ClientJob:
    """One open job of a client."""

    def __init__(
        self, owner: JobOwner, opening: OpenJob, bundle: Bundle, observer: JobObserver
    ) -> None:
        self.id = opening.job
        self._owner = owner
        self._opening = opening
        self._observer = observer
        self._started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._credit = Credit()
        """Charged is what was said on this connection, or delivered or cancelled before, and is
        neither acknowledged nor forgotten by the host."""
        self._rounds: dict[int, _Round] = {}
        self._unsaid: dict[tuple[int, int], _Task] = {}
        """Open tasks that this connection has not heard of, by round and index."""
        self._credit_changed = asyncio.Event()
        self._waiting: list[Submission] = []
        self._acknowledgements = Acknowledgements(self.id, owner.say)
        self._bundles = KeptBundles(self.id, bundle, owner.say, self._needed_bundles)
        self._shared: SharedPayload | None = None
        self._error: MidasError | None = None
        self._is_closed = False

    async def wait_started(self) -> int:
        return await asyncio.shield(self._started)

    async def submit(
        self, order: RunTasks, buffers: Sequence[Buffer], bundle: Bundle | None = None
    ) -> None:
        """Hands over a batch of calls, when there is credit for it and room for their bundle.

        Raises:
            MidasError: the job was lost or closed meanwhile.
        """
        if not self._may_submit(len(order.calls), bundle):
            order, buffers = await self._wait_for_credit(Submission(order, buffers), bundle)
            if not order.calls:
                return
        if self._error is not None:
            raise self._error
        count = len(order.calls)
        self._say_tasks(order, buffers)
        tasks = self._rounds.setdefault(order.round, _Round()).open
        total = 0
        for call, payload in payloads(order.calls, buffers):
            size = size_bytes(payload)
            tasks[call.index] = (order, call, payload, size)
            total += size
        self._credit.charge(count, total)

    def _may_submit(self, count: int, bundle: Bundle | None) -> bool:
        """Whether so many calls need not wait, if only for an error; their bundle is there then."""
        if self._error is not None:
            return True
        if self._unsaid or not self._credit.allows(count):
            return False
        return bundle is None or self._bundles.put(bundle)

    async def _wait_for_credit(
        self, submission: Submission, bundle: Bundle | None
    ) -> tuple[RunTasks, Sequence[Buffer]]:
        """What is left of it then: it can be cancelled as long as it waits."""
        self._waiting.append(submission)
        try:
            while submission.count and not self._may_submit(submission.count, bundle):
                self._credit_changed.clear()
                await self._credit_changed.wait()
        finally:
            self._waiting.remove(submission)
        return submission.order, submission.buffers

    def _needed_bundles(self) -> set[str]:
        """Of tasks that a host may have to be told again."""
        return {task[0].digest for tasks in self._rounds.values() for task in tasks.open.values()}

    def share(self, round_: int, buffers: Sequence[Buffer]) -> None:
        if self._error is not None:
            raise self._error
        self._shared = SharedPayload(self.id, round_, buffers)
        self._owner.say(self._shared.offer)

    def acknowledge(self, round_: int, indices: Sequence[int]) -> None:
        tasks = self._rounds[round_]
        self._credit.refund(len(indices), sum(tasks.delivered.pop(index) for index in indices))
        self._acknowledgements.add(round_, indices, credit_tasks=self._credit.tasks_max)
        if tasks.is_empty:
            del self._rounds[round_]
        self._use_credit()

    def cancel(self, round_: int, indices: Sequence[int]) -> None:
        if self._waiting:
            wanted_no_more = frozenset(indices)
            for submission in self._waiting:
                submission.cancel(round_, wanted_no_more)
            self._credit_changed.set()
        tasks = self._rounds.get(round_)
        if tasks is None or self._error is not None:
            return
        found: list[int] = []
        for index in indices:
            task = tasks.open.pop(index, None)
            if task is not None:
                found.append(index)
                tasks.cancelled[index] = task[3]
                if self._unsaid.pop((round_, index), None) is not None:
                    self._credit.charge(1, task[3])  # the host may know it from before
        self._say_cancelled(round_, found)

    def close(self, reason: str = "") -> None:
        if not self._is_closed:
            self._is_closed = True
            self._shared = None
            self._owner.forget(self, reason)
            self._end(ClusterLost("the job was closed"))

    # -- from the client ---------------------------------------------------------------------------

    @property
    def is_lost(self) -> bool:
        return self._error is not None

    @property
    def is_sharing(self) -> bool:
        """Whether its tasks need shared data."""
        return self._shared is not None

    def introduce(self) -> None:
        """Says all that a host must know before it can take tasks."""
        self._owner.say(self._opening)
        self._bundles.repeat()
        self._acknowledgements.repeat()
        for number, tasks in self._rounds.items():
            self._say_cancelled(number, list(tasks.cancelled))
        self.say_paused()
        self.offer()

    def say_paused(self) -> None:
        """Says whether it is to stand still: a host that was started again knows of no pause, and
        another one may not have heard of the end of it.
        """
        if self._owner.is_paused is not None:
            action = Action.PAUSE if self._owner.is_paused else Action.RESUME
            self._owner.say(Control(action, self.id))

    def offer(self) -> None:
        """Says what the present round's tasks share, if anything."""
        if self._shared is not None:
            self._owner.say(self._shared.offer)

    def disconnected(self) -> None:
        """Whatever the host knew, the next one that is there may not."""
        self._credit.clear()
        self._unsaid.clear()
        for number, tasks in self._rounds.items():
            self._unsaid |= {(number, index): task for index, task in tasks.open.items()}
            self._credit.charge(len(tasks.delivered), sum(tasks.delivered.values()))
            self._credit.charge(len(tasks.cancelled), sum(tasks.cancelled.values()))

    def lose(self, error: MidasError) -> None:
        """Nothing more will come of this job."""
        if self._error is None:
            self._shared = None
            self._end(error)
            self._observer.job_lost(error)

    def _end(self, error: MidasError) -> None:
        """Whoever waits for the job, or wants something of it later, gets this error."""
        self._error = self._error or error
        self._acknowledgements.drop()
        if not self._started.done():
            self._started.set_exception(error)
            self._started.exception()  # nobody need wait
        self._credit_changed.set()

    def notice(self, text: str) -> None:
        self._observer.noticed(text)

    def take(self, frame: Frame) -> None:
        """A frame of the host that concerns this job."""
        match frame.message:
            case TaskResults() as results:
                self._take_results(results, frame.buffers)
            case TaskPrinted() | TaskProgress() | TaskRunning() as news:
                self._take_news(news, frame.buffers)
            case TasksCancelled(round=round_, indices=indices):
                self._take_cancelled(round_, indices)
            case FetchShared() | SharedHeld() as news:
                self._take_shared(news)
            case JobEnded(code=code, reason=reason):
                self._owner.ended(self)
                was_killed = code == KILLED
                self.lose(JobKilled(f"the job was {reason}") if was_killed else ClusterLost(reason))
            case JobOpened() | JobStarted() | JobStatus() as news:
                self._take_status(news)

    def _take_news(
        self, news: TaskPrinted | TaskProgress | TaskRunning, buffers: Sequence[Buffer]
    ) -> None:
        tasks = self._rounds.get(news.round)
        if tasks is not None and news.index in tasks.cancelled:
            return
        match news:
            case TaskPrinted(index=index, worker=worker):
                self._observer.task_printed(index, worker, bytes(buffers[0]))
            case TaskProgress(index=index, fraction=fraction):
                self._observer.task_progressed(index, fraction)
            case TaskRunning(round=round_, index=index) if tasks is None or index not in tasks.open:
                # somebody is still at it, on behalf of a host before this one perhaps
                self._owner.say(CancelTasks(self.id, round_, [index]))
            case TaskRunning(index=index, worker=worker, elapsed_s=elapsed_s):
                self._observer.task_running(index, worker, elapsed_s)

    def _take_status(self, news: JobOpened | JobStarted | JobStatus) -> None:
        if not isinstance(news, JobOpened):
            self._observer.workers_changed(news.workers)
        if isinstance(news, JobStarted):
            if not self._started.done():
                self._started.set_result(news.workers)
            return
        size_bytes = news.credit_bytes if isinstance(news, JobOpened) else None
        self._credit.grant(news.credit_tasks, size_bytes)
        self._use_credit()
        if isinstance(news, JobStatus) and news.notice and not self._owner.is_paused:
            self._observer.noticed(news.notice)

    def _take_shared(self, news: FetchShared | SharedHeld) -> None:
        shared = self._shared
        if shared is None or shared.offer.round != news.round:
            return  # of a round that is over
        if isinstance(news, FetchShared):
            self._owner.upload(shared, news.offset)
        else:
            self._observer.shared_progressed(news.node, news.received_bytes, shared.size_bytes)

    # -- results -----------------------------------------------------------------------------------

    def _take_results(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        """Hands on what is new, whole where all of it is."""
        if not results.outcomes:
            return  # of no round that anybody could acknowledge
        tasks = self._rounds.get(results.round) or _Round()
        known, delivered, cancelled = tasks.open, tasks.delivered, tasks.cancelled
        repeated: set[int] = set()
        for outcome in results.outcomes:
            index = outcome.index
            task = known.pop(index, None)
            if task is None:
                repeated.add(index)
            else:
                delivered[index] = task[3]
        if self._unsaid:
            self._charge_unsaid(results)
        if len(repeated) < len(results.outcomes):
            self._owner.got_ahead()
        if not repeated:
            self._observer.results_arrived(results, buffers)
            return
        fresh = [
            (outcome, payload)
            for outcome, payload in payloads(results.outcomes, buffers)
            if outcome.index not in repeated
        ]
        over = [i for i in repeated if i not in delivered and i not in cancelled]
        if over:  # it has not heard that they were acknowledged
            self._owner.say(Acknowledge(self.id, results.round, over))
        if fresh:
            outcomes = [outcome for outcome, _ in fresh]
            joined = list(itertools.chain.from_iterable(payload for _, payload in fresh))
            message = TaskResults(self.id, results.round, results.worker, outcomes)
            self._observer.results_arrived(message, joined)

    def _charge_unsaid(self, results: TaskResults) -> None:
        """What has a result, this host knows: it need not be said again."""
        for outcome in results.outcomes:
            task = self._unsaid.pop((results.round, outcome.index), None)
            if task is not None:
                self._credit.charge(1, task[3])

    # -- cancelling --------------------------------------------------------------------------------

    def _say_cancelled(self, round_: int, indices: Sequence[int]) -> None:
        at_once = limits.TASKS_PER_FRAME_MAX
        for start in range(0, len(indices), at_once):
            self._owner.say(CancelTasks(self.id, round_, list(indices[start : start + at_once])))

    def _take_cancelled(self, round_: int, indices: Sequence[int]) -> None:
        """The host has forgotten them."""
        tasks = self._rounds.get(round_)
        if tasks is None:
            return
        for index in indices:
            size = tasks.cancelled.pop(index, None)
            if size is not None:
                self._credit.refund(1, size)
        if tasks.is_empty:
            del self._rounds[round_]
        self._use_credit()

    # -- credit ------------------------------------------------------------------------------------

    def _use_credit(self) -> None:
        """First for what this connection has not heard of, then for what is new."""
        while self._unsaid and self._credit.allows(1):
            self._say_again()
        self._credit_changed.set()

    def _say_tasks(self, order: RunTasks, buffers: Sequence[Buffer]) -> None:
        """What was acknowledged first: it makes room for them."""
        self._acknowledgements.flush()
        self._owner.say(order, buffers)

    def _say_again(self) -> None:
        """Tasks that came in one frame go in one: what could be sent then can be sent now."""
        room = max(1, self._credit.room)
        order = next(iter(self._unsaid.values()))[0]
        mates = itertools.takewhile(lambda task: task[0] is order, self._unsaid.values())
        batch = list(itertools.islice(mates, room))
        calls = [call for _, call, _, _ in batch]
        for call in calls:
            del self._unsaid[order.round, call.index]
        self._credit.charge(len(batch), sum(size for _, _, _, size in batch))
        self._say_tasks(
            msgspec.structs.replace(order, calls=calls),
            list(itertools.chain.from_iterable(payload for _, _, payload, _ in batch)),
        )
