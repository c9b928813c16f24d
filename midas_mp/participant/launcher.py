"""The launcher: starts, feeds, watches and replaces this node's workers for one host.

    host ══ one connection ══▶ Launcher ── seat 1 ── process laptop-000
                                        ── seat 2 ── process laptop-001 …

Frames on channel 0 concern the node (jobs, bundles), frames on channel n the worker of seat n.
When the host ends a job, the launcher answers for every worker that held tasks of it: with
``TasksReturned`` for those that had not begun, and with ``WorkerDown`` for a worker that had to
be killed because it was in the middle of one; a new process takes the seat.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from midas_mp import __version__, limits
from midas_mp.errors import ClusterLost, MidasError, PeerRefused, ProcessLost, ProtocolError
from midas_mp.lua.output import Printed, Progressed
from midas_mp.participant.postmortem import broke_down, own_failure
from midas_mp.participant.process import LuaProcess, ProcessEnd, Supervisor
from midas_mp.participant.seat import CallBatch, Seat
from midas_mp.participant.uplink import Uplink
from midas_mp.participant.zygote import WORKER_SPOILED, ChildSpec
from midas_mp.transport.link import Link
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    BeginJob,
    EndJob,
    Goodbye,
    Hello,
    JobSpec,
    Outcome,
    PutBundle,
    RecallTasks,
    Refused,
    Role,
    RunTasks,
    Status,
    TaskPrinted,
    TaskProgress,
    TaskRef,
    TaskResults,
    TasksReturned,
    Welcome,
    WorkerDown,
    WorkerReady,
    WorkerUp,
)

EARLY_DEATHS_MAX: Final = 3
"""So many processes in a row that died before they were ready: the node cannot run workers."""


class NodeSettings(NamedTuple):
    """What the owner of a node decides."""

    name: str
    name_is_explicit: bool
    workers: int
    memory_bytes: int
    """Ceiling of each Lua state; a job may ask for less."""
    sandbox_level_max: int = 3


@dataclasses.dataclass(slots=True)
class _Job:
    begin: Frame
    spec: JobSpec
    bundles: dict[str, Frame] = dataclasses.field(default_factory=dict)


class Launcher:
    """One node.  Also the ``Receiver`` of its connection and the listener of its processes.

    Attributes:
        failed: done when no worker can run here (any more); holds the exception.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        settings: NodeSettings,
        *,
        node_id: str,
        announce: Callable[[str], None],
    ) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._node_id = node_id
        self._announce = announce
        self._uplink: Uplink | None = None
        self._name = ""
        self._seats = {channel: Seat(channel) for channel in range(1, settings.workers + 1)}
        self._seat_by_process: dict[LuaProcess, Seat] = {}
        self._jobs: dict[str, _Job] = {}
        self._early_deaths = 0
        self._is_closing = False
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def name(self) -> str:
        """As the host knows this node; empty before the first welcome."""
        return self._name

    def greet(self, link: Link) -> asyncio.Future[MidasError | None]:
        """Introduces the node on a fresh connection.

        Returns:
            Done when the connection has ended; holds the reason, None for a clean end.
        """
        uplink = self._uplink = Uplink(link, self._processes)
        hello = Hello(
            PROTOCOL_VERSION,
            Role.LAUNCHER,
            __version__,
            self._node_id,
            self._name or self._settings.name,
            self._settings.name_is_explicit,
            self._settings.workers,
        )
        link.send([Frame(CONTROL_CHANNEL, hello)])
        return uplink.lost

    def leave(self, reason: str) -> None:
        """Says goodbye and takes nothing more; the supervisor then ends the processes."""
        self._is_closing = True
        if self._uplink is not None:
            self._uplink.leave(reason)
            self._uplink = None

    # -- from the host -------------------------------------------------------------------------

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        uplink = self._uplink
        if uplink is None or link is not uplink.link:
            return
        try:
            self._take(uplink, frames)
        except ProtocolError as error:
            uplink.parting = error
            link.abort()

    def _take(self, uplink: Uplink, frames: list[Frame]) -> None:
        fed: dict[int, Seat] = {}
        for frame in frames:
            message = frame.message
            if isinstance(message, RunTasks):
                job = self._jobs.get(message.job)
                if job is None or message.digest not in job.bundles:
                    raise ProtocolError(f"tasks of job {message.job}, whose bundle never came")
                seat = self._seat(frame.channel)
                if seat.ready is not None:
                    seat.enqueue(frame)
                    fed[seat.channel] = seat
            else:
                self._obey(uplink, frame)
        for seat in fed.values():
            self._feed(seat)

    def _obey(self, uplink: Uplink, frame: Frame) -> None:
        match frame.message:
            case RecallTasks(count=count):
                returned = self._seat(frame.channel).recall(count)
                uplink.say(frame.channel, TasksReturned(returned))
            case BeginJob(job=job, spec=spec):
                self._jobs[job] = _Job(frame, spec)
            case PutBundle(job=job, digest=digest):
                if job in self._jobs:
                    self._jobs[job].bundles[digest] = frame
            case EndJob(job=job):
                self._end_job(uplink, job)
            case Welcome(name=name):
                self._welcome(name)
            case Refused(reason=reason, code=code):
                uplink.parting = PeerRefused(reason, refusal=code)
            case Goodbye(reason=reason):
                uplink.parting = ClusterLost(reason)
            case message:
                raise ProtocolError(f"the host sent {type(message).__name__}")

    def link_lost(self, link: Link, error: MidasError | None) -> None:
        uplink = self._uplink
        if uplink is not None and link is uplink.link:
            self._uplink = None
            self._forget_host()
            uplink.end(error)

    def _welcome(self, name: str) -> None:
        if name != self._name and self._name:
            for seat in self._seats.values():
                self._dismiss(seat)
        self._name = name
        self._announce(f"joined the host as {name}, {len(self._seats)} workers")
        for seat in self._seats.values():
            if seat.process is None:
                self._start(seat)
            elif seat.ready is not None:
                self._register(seat)

    def _forget_host(self) -> None:
        """Nobody wants the results any more; idle processes stay for the next host."""
        for seat in self._seats.values():
            seat.is_registered = False
            if seat.is_busy:
                self._dismiss(seat)
            elif seat.process is not None:
                seat.process.send([Frame(CONTROL_CHANNEL, EndJob(job)) for job in seat.known])
                seat.known.clear()
            seat.clear()
            for job in self._jobs:
                seat.drop_job(job)
        self._jobs.clear()

    def _end_job(self, uplink: Uplink, job: str) -> None:
        self._jobs.pop(job, None)
        for seat in self._seats.values():
            dropped = seat.drop_job(job)
            if dropped:
                uplink.say(seat.channel, TasksReturned(dropped))
            if seat.has_in_hand(job):
                self._dismiss(seat)
            elif seat.process is not None and seat.known.pop(job, None) is not None:
                seat.process.send([Frame(CONTROL_CHANNEL, EndJob(job))])

    # -- workers ---------------------------------------------------------------------------------

    def _seat(self, channel: int) -> Seat:
        try:
            return self._seats[channel]
        except KeyError:
            raise ProtocolError(f"there is no worker on channel {channel}") from None

    def worker_name(self, seat: Seat) -> str:
        return f"{self._name}-{seat.channel - 1:03d}"

    def _start(self, seat: Seat) -> None:
        settings = self._settings
        spec = ChildSpec(
            name=self.worker_name(seat),
            node=self._name,
            profile="worker",
            memory_bytes=settings.memory_bytes,
            memory_hard_bytes=settings.memory_bytes + limits.MEMORY_SLACK_BYTES,
            sandbox_level_max=settings.sandbox_level_max,
        )
        try:
            process = self._supervisor.start(spec, self)
        except ProcessLost as error:
            self._fail(error)
            return
        self._seat_by_process[process] = seat
        seat.seat(process)
        if self._uplink is not None and self._uplink.is_holding:
            process.pause_output()

    def _register(self, seat: Seat) -> None:
        assert seat.ready is not None
        assert seat.process is not None
        if seat.process.killed_on_purpose:
            return  # dead, only not buried yet; the next one comes
        seat.is_registered = True
        message = WorkerUp(
            seat.channel,
            self.worker_name(seat),
            seat.epoch,
            seat.ready.sandbox_level,
            seat.ready.engines,
        )
        if self._uplink is not None:
            self._uplink.say(CONTROL_CHANNEL, message)

    def _dismiss(self, seat: Seat) -> None:
        """Kills the process of a seat on purpose; its end brings the next one."""
        if seat.process is not None:
            seat.process.kill()

    def _feed(self, seat: Seat) -> None:
        process = seat.process
        if process is None or seat.ready is None:
            return
        frames: list[Frame] = []
        for batch in seat.next_batches():
            frames += self._introduction(seat, batch)
            frames.append(batch.frame())
            process.limit(self._jobs[batch.order.job].spec.timeout_s)
        if frames:
            process.send(frames)

    def _introduction(self, seat: Seat, batch: CallBatch) -> list[Frame]:
        """What this process must be told before it can run the batch."""
        job_id, digest = batch.order.job, batch.order.digest
        job = self._jobs[job_id]
        frames: list[Frame] = []
        if job_id not in seat.known:
            seat.known[job_id] = set()
            frames.append(job.begin)
        if digest not in seat.known[job_id]:
            seat.known[job_id].add(digest)
            frames.append(job.bundles[digest])
        return frames

    # -- from the processes ------------------------------------------------------------------------

    def process_frames(self, process: LuaProcess, frames: list[Frame]) -> None:
        seat = self._seat_of(process)
        if seat is None:
            return
        upward: list[Frame] = []
        for frame in frames:
            message = frame.message
            if isinstance(message, TaskResults):
                seat.finish(message)
                upward.append(Frame(seat.channel, message, frame.buffers))
            elif isinstance(message, WorkerReady):
                self._early_deaths = 0
                seat.ready = message
                self._register(seat)
            else:
                raise ProtocolError(f"a worker sent {type(message).__name__}")
        self._feed(seat)
        if self._uplink is not None:
            self._uplink.tell(upward)

    def process_output(self, process: LuaProcess, records: Sequence[Printed | Progressed]) -> None:
        seat = self._seat_of(process)
        if seat is None or self._uplink is None:
            return
        worker = self.worker_name(seat)
        self._uplink.tell(
            [
                Frame(
                    seat.channel,
                    TaskPrinted(record.job, record.round, record.index, worker),
                    [record.text],
                )
                if isinstance(record, Printed)
                else Frame(
                    seat.channel,
                    TaskProgress(record.job, record.round, record.index, record.fraction),
                )
                for record in records
            ]
        )

    def process_ended(self, process: LuaProcess, end: ProcessEnd) -> None:
        seat = self._seat_of(process)
        if seat is None:
            return
        was_ready = seat.ready is not None
        if seat.is_registered and self._uplink is not None:
            self._report_end(self._uplink, seat, process, end)
        seat.clear()
        del self._seat_by_process[process]
        seat.process = None
        seat.ready = None
        seat.epoch += 1
        if not was_ready and not process.killed_on_purpose:
            self._early_deaths += 1
            if self._early_deaths >= EARLY_DEATHS_MAX:
                self._fail(ProcessLost(f"workers cannot start here: {end.cause}"))
                return
        if not self._is_closing:
            self._start(seat)

    def _report_end(self, uplink: Uplink, seat: Seat, process: LuaProcess, end: ProcessEnd) -> None:
        running = None
        last = end.overdue or end.running
        found = seat.task_of(last)
        if last is not None and found is not None and end.exit.exit_code != WORKER_SPOILED:
            order, call = found[0].order, found[1]
            failure = own_failure(
                end, deadline_s=process.deadline_s, memory_bytes=self._memory_bytes(order.job)
            )
            if failure is None:
                running = TaskRef(order.job, order.round, call.index)
            else:
                duration_us = (time.monotonic_ns() - last.started_ns) // 1000
                outcome = Outcome(call.index, call.attempt, Status.FAILED, duration_us)
                results = TaskResults(order.job, order.round, self.worker_name(seat), [outcome])
                uplink.say(seat.channel, results, failure.to_payload())
        elif last is None and broke_down(end):
            # of what came before the task: its job or its script; nobody else can be to blame
            running = seat.next_in_hand()
        seat.is_registered = False
        message = WorkerDown(
            seat.channel, seat.epoch, end.cause[:1_000], running, end.exit.peak_bytes
        )
        uplink.say(CONTROL_CHANNEL, message)

    def _memory_bytes(self, job: str) -> int:
        """The bound of a Lua state of the job on this node."""
        wanted = self._jobs[job].spec.memory_bytes if job in self._jobs else 0
        return min(wanted or self._settings.memory_bytes, self._settings.memory_bytes)

    # -- small things ------------------------------------------------------------------------------

    def _seat_of(self, process: LuaProcess) -> Seat | None:
        return self._seat_by_process.get(process)

    def _processes(self) -> list[LuaProcess]:
        return [seat.process for seat in self._seats.values() if seat.process is not None]

    def _fail(self, error: ProcessLost) -> None:
        if not self.failed.done() and not self._is_closing:
            self.failed.set_exception(error)
            self.failed.exception()  # whoever looks sees it; nobody need
