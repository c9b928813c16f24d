"""The workers of one node: started, fed, watched and replaced, with a host or without.

    Crew ── seat 1 ── process laptop-000
         ── seat 2 ── process laptop-001 …

A host that is lost costs the workers nothing: they go on with what they have in hand, and what
comes of it is kept in the outbox until a host knows them again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from midas_mp import limits
from midas_mp.errors import ProcessLost, ProtocolError
from midas_mp.join import state
from midas_mp.lua.output import Printed, Progressed
from midas_mp.participant.drain import Drain
from midas_mp.participant.feeder import Feeder
from midas_mp.participant.frozen_workers import FrozenWorkers
from midas_mp.participant.held_back import HeldBack
from midas_mp.participant.long_tasks import LongTasks
from midas_mp.participant.node_job import NodeJob
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.pauses import Pauses
from midas_mp.participant.process import LuaProcess, ProcessEnd
from midas_mp.participant.reports import Reports
from midas_mp.participant.seat import Seat
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.unwanted_tasks import UnwantedTasks
from midas_mp.participant.uplink import Uplink
from midas_mp.participant.verdict import FailedCall, verdict
from midas_mp.participant.zygote_messages import ChildSpec
from midas_mp.permissions import what_lacks
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.local import WorkerReady
from midas_mp.wire.messages import (
    EndJob,
    RunTasks,
    TaskPrinted,
    TaskProgress,
    TaskRef,
    TaskResults,
    TasksReturned,
    WorkerDown,
)

EARLY_DEATHS_MAX: Final = 3
"""So many processes in a row that died before they were ready: the node cannot run workers."""


class Crew:
    """What a host wants of its workers, and the listener of their processes.

    Args:
        supervisor: starts the processes.
        settings: how many there are, and how each of them is confined.
        jobs: what the node knows of jobs; the launcher's, only read here.

    Attributes:
        failed: done when no worker can run here (any more); holds the exception.
        last_work_s: when something was last done here, by the loop's clock.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        settings: NodeSettings,
        *,
        jobs: Mapping[str, NodeJob],
    ) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._jobs = jobs
        self._reports = Reports(settings.permissions)
        self._seats = {channel: Seat(channel) for channel in range(1, settings.workers + 1)}
        self._seat_by_process: dict[LuaProcess, Seat] = {}
        self._unfed: dict[int, Seat] = {}
        seats = self._seats.values()
        self._long_tasks = LongTasks(seats, tell=self._reports.tell_running)
        self._unwanted_tasks = UnwantedTasks(seats)
        self._held_back = HeldBack(
            seats,
            deliver=lambda seat, results: self._reports.tell(seat, [results]),
            give_back=self._reports.give_back,
        )
        self._frozen_workers = FrozenWorkers(seats, is_holding=lambda: self._reports.is_holding)
        self._pauses = Pauses(
            seats, hand_back=self._reports.hand_back, resumed=self._frozen_workers.watch
        )
        self._drain = Drain(
            seats,
            hand_back=self._reports.hand_back,
            is_over=lambda: not self.is_busy and not self.kept_count,
        )
        self._feeder = Feeder(
            jobs,
            memory_bytes=settings.memory_bytes,
            reports=self._reports,
            pauses=self._pauses,
            drain=self._drain,
            long_tasks=self._long_tasks,
            frozen_workers=self._frozen_workers,
            held_back=self._held_back,
        )
        self._early_deaths = 0
        self._is_closing = False
        self._loop = asyncio.get_running_loop()
        self.last_work_s = self._loop.time()
        self.failed: asyncio.Future[None] = self._loop.create_future()

    @property
    def held_count(self) -> int:
        """How many tasks the workers have in their hands."""
        return sum(len(seat.held()) for seat in self._seats.values())

    @property
    def kept_count(self) -> int:
        """How many results are kept for a host."""
        return self._reports.kept_count

    @property
    def is_busy(self) -> bool:
        return any(seat.is_busy for seat in self._seats.values())

    @property
    def processes(self) -> list[LuaProcess]:
        return [seat.process for seat in self._seats.values() if seat.process is not None]

    def close(self) -> None:
        """Starts nothing more, and says nothing more."""
        self._is_closing = True
        self._reports.lose_host()
        self._long_tasks.stop()
        self._unwanted_tasks.stop()
        self._held_back.stop()
        self._frozen_workers.stop()

    async def drain(self) -> None:
        """Hands back what has not begun, takes nothing more, and waits for the end of the rest.

        It is over when what came of that has been said to a host, too.
        """
        await self._drain.run()

    # -- with the host -------------------------------------------------------------------------

    def join(self, uplink: Uplink, name: str) -> int:
        """Registers the workers with what they hold, and delivers what was kept.

        Returns:
            The number of results that were kept.
        """
        self._reports.turn_to(uplink, name)
        self._pauses.forget()
        for seat in self._seats.values():
            if seat.process is None:
                if not self._drain.is_on:
                    self._start(seat)
            elif seat.ready is not None:
                self._reports.register(seat)
        kept_count = self.kept_count
        self._deliver()
        self._drain.look()
        return kept_count

    def lose_host(self) -> None:
        """What has not begun is the next host's to give to somebody, perhaps to us again."""
        self._reports.lose_host()
        for seat in self._seats.values():
            seat.is_registered = False
            seat.drop_queue()

    def enqueue(self, order: Frame) -> None:
        """Takes a batch of tasks for the worker of its channel; ``feed`` passes them on.

        Those for a process that is gone the host gives to somebody else when it hears of that.

        Raises:
            ProtocolError: there is no such worker.
        """
        seat = self._seat(order.channel)
        assert isinstance(order.message, RunTasks)
        if seat.ready is not None and order.message.epoch == seat.epoch:
            seat.enqueue(order)
            self._unfed[seat.channel] = seat

    def feed(self) -> None:
        """To be called once all that came at a time has been taken in."""
        for seat in self._unfed.values():
            self._feeder.feed(seat)
        self._unfed.clear()

    def recall(self, channel: int, count: int) -> None:
        """Gives back up to so many tasks that have not begun.

        Raises:
            ProtocolError: there is no such worker.
        """
        self._reports.give_back(channel, self._seat(channel).recall(count))

    def cancel(self, channel: int, job: str, round_: int, indices: Sequence[int]) -> None:
        """Gives back what of these has not begun, and stops what runs of them.

        Raises:
            ProtocolError: there is no such worker.
        """
        seat = self._seat(channel)
        dropped = seat.cancel(job, round_, frozenset(indices))
        if dropped:
            self._reports.give_back(channel, dropped)
        if seat.has_unwanted:
            self._unwanted_tasks.watch_at_once()

    def pause_job(self, job: str, *, is_paused: bool) -> None:
        """Who is at a job stands still, or goes on."""
        self._pauses.pause_job(job, is_paused=is_paused)

    def pause_worker(self, channel: int, *, is_paused: bool) -> None:
        """A worker stands still, whatever it is at, or goes on.

        Raises:
            ProtocolError: there is no such worker.
        """
        self._pauses.pause_worker(self._seat(channel), is_paused=is_paused)

    def kill_worker(self, channel: int, epoch: int, reason: str) -> str:
        """Ends that process, unless it is gone: its end brings the next one, and blames nothing.

        Returns:
            Its name; empty if it is gone.

        Raises:
            ProtocolError: there is no such worker.
        """
        seat = self._seat(channel)
        if seat.process is None or not seat.is_alive or seat.epoch != epoch:
            return ""
        seat.process.put_away(reason, is_blameless=True)
        return self._reports.worker(seat)

    def limit(self, job: str) -> None:
        """What the tasks of a job may take has changed, also for those that run."""
        for seat in self._seats.values():
            task = seat.next_in_hand()
            if task is not None and task.job == job and seat.process is not None:
                seat.process.limit(self._jobs[job].timeout_s(task.round))

    def drop_orders(self, is_meant: Callable[[RunTasks], bool]) -> None:
        """Gives back what has not begun of these."""
        for seat in self._seats.values():
            dropped = seat.drop_orders(is_meant)
            if dropped:
                self._reports.give_back(seat.channel, dropped)

    def end_job(self, job: str) -> None:
        """Drops what waits of it, and kills what runs of it."""
        for seat in self._seats.values():
            dropped = seat.drop_job(job)
            if dropped:
                self._reports.give_back(seat.channel, dropped)
            if seat.has_in_hand(job):
                self._dismiss(seat)
        self._pauses.forget_job(job)
        self._reports.drop_job(job)
        self.forget_job(job)

    def forget_job(self, job: str) -> None:
        """Frees what processes have of a job that none is at work on."""
        for seat in self._seats.values():
            seat.drop_job(job)
            if seat.process is not None and seat.known.pop(job, None) is not None:
                seat.process.send([Frame(CONTROL_CHANNEL, EndJob(job))])

    def is_at_work(self, job: str) -> bool:
        """Whether results of the job may come yet without any more being asked for."""
        return any(seat.is_alive and seat.has_in_hand(job) for seat in self._seats.values())

    def _deliver(self) -> None:
        if self._reports.deliver(self._seats.values()):
            self.last_work_s = self._loop.time()  # the host may have more for us

    # -- with the processes ----------------------------------------------------------------------

    def _seat(self, channel: int) -> Seat:
        try:
            return self._seats[channel]
        except KeyError:
            raise ProtocolError(f"there is no worker on channel {channel}") from None

    def _start(self, seat: Seat) -> None:
        spec = ChildSpec(
            name=self._reports.worker(seat),
            node=self._reports.node,
            profile="worker",
            memory_bytes=self._settings.memory_bytes,
            memory_hard_bytes=self._settings.memory_bytes + limits.MEMORY_SLACK_BYTES,
            sandbox_level_max=self._settings.sandbox_level_max,
            permissions=self._settings.permissions,
            private=state.private(),
        )
        try:
            process = self._supervisor.start(spec, self)
        except ProcessLost as error:
            self._fail(error)
            return
        self._seat_by_process[process] = seat
        seat.seat(process)
        self._frozen_workers.watch()
        if self._reports.is_holding:
            process.pause_output()

    def _dismiss(self, seat: Seat) -> None:
        """Kills the process of a seat on purpose; its end brings the next one."""
        if seat.process is not None:
            seat.process.kill()

    def process_frames(self, process: LuaProcess, frames: list[Frame]) -> None:
        seat = self._seat_by_process.get(process)
        if seat is None:
            return
        upward: list[Frame] = []
        returned: list[TaskRef] = []
        for frame in frames:
            message = frame.message
            if isinstance(message, TaskResults):
                known_count = seat.finish(message)
                if known_count < len(message.outcomes):
                    results = Frame(seat.channel, message, frame.buffers)
                    upward.append(_without_first(results, message, known_count))
            elif isinstance(message, TasksReturned):
                returned += seat.returned(message)
            elif isinstance(message, WorkerReady):
                lacking = what_lacks(message.sandbox_level, self._settings.sandbox_level_min)
                if lacking:
                    self._fail(ProcessLost(f"a worker here {lacking}"))
                    return
                self._early_deaths = 0
                seat.ready = message
                if not self._drain.is_on:
                    self._reports.register(seat)
                self._deliver()
            else:
                raise ProtocolError(f"a worker sent {type(message).__name__}")
        self.last_work_s = self._loop.time()
        self._feeder.feed(seat)
        self._reports.tell(seat, upward)
        if returned:
            self._reports.give_back(seat.channel, returned)
        self._drain.look()

    def process_output(self, process: LuaProcess, records: Sequence[Printed | Progressed]) -> None:
        seat = self._seat_by_process.get(process)
        if seat is not None:
            worker = self._reports.worker(seat)
            self._reports.tell(
                seat, [_output_frame(seat.channel, worker, each) for each in records]
            )

    def process_ended(self, process: LuaProcess, end: ProcessEnd) -> None:
        seat = self._seat_by_process.pop(process, None)
        if seat is None:
            return
        was_ready = seat.ready is not None
        running = self._judge(seat, process, end)
        if seat.is_registered:
            cause = end.cause[:1_000]
            down = WorkerDown(
                seat.channel, seat.epoch, cause, running, end.exit.peak_bytes, end.last_lines
            )
            self._reports.say(CONTROL_CHANNEL, down)
        self.last_work_s = self._loop.time()
        seat.vacate()
        self._pauses.vacated(seat)
        if not was_ready and not process.killed_on_purpose:
            self._early_deaths += 1
            if self._early_deaths >= EARLY_DEATHS_MAX:
                self._fail(ProcessLost(f"workers cannot start here: {end.cause}"))
                return
        if self._drain.is_on:
            self._drain.look()
        elif not self._is_closing:
            self._start(seat)

    def _judge(self, seat: Seat, process: LuaProcess, end: ProcessEnd) -> TaskRef | None:
        """Which task to name as the one that was running, if any.  One that failed by its own
        doing is not named: that is its result, and is delivered here.
        """
        found = verdict(
            end,
            seat,
            self._jobs,
            deadline_s=process.deadline_s,
            memory_bytes=self._settings.memory_bytes,
        )
        if not isinstance(found, FailedCall):
            return found
        duration_us = max(0, int(self._loop.time() * 1e6) - found.started_ns // 1000)
        worker = self._reports.worker(seat)
        failed = found.batch.failed(found.failure, seat.channel, worker, duration_us)
        self._reports.tell(seat, [failed])
        return None

    def _fail(self, error: ProcessLost) -> None:
        if not self.failed.done() and not self._is_closing:
            self.failed.set_exception(error)
            self.failed.exception()  # whoever looks sees it; nobody need


def _without_first(frame: Frame, results: TaskResults, count: int) -> Frame:
    """Results without the first ones, which have gone up before."""
    if not count:
        return frame
    known, rest = results.outcomes[:count], results.outcomes[count:]
    buffers = frame.buffers[sum(outcome.buffer_count for outcome in known) :]
    return frame._replace(message=msgspec.structs.replace(results, outcomes=rest), buffers=buffers)


def _output_frame(channel: int, worker: str, record: Printed | Progressed) -> Frame:
    job, round_, index = record.job, record.round, record.index
    if isinstance(record, Printed):
        return Frame(channel, TaskPrinted(job, round_, index, worker), [record.text])
    return Frame(channel, TaskProgress(job, round_, index, record.fraction))
