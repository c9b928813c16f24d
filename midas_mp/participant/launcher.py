"""The launcher: one node at its host, and between two hosts.

    host ══ one connection ══▶ Launcher ── Crew ── a worker process on each seat
         ══ another, for what is large ══▶ SharedFetcher

Frames on channel 0 concern the node (jobs, bundles, shared data), frames on channel n the worker
of seat n.  When the host ends a job, the launcher answers for every worker that held tasks of it:
with ``TasksReturned`` for those that had not begun, and with ``WorkerDown`` for a worker that had
to be killed because it was in the middle of one; a new process takes the seat.

When the connection ends, the workers go on with what they have in hand.  The next welcome, of the
same host or of one that took its place, is answered with what each of them holds, and with the
results that came meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import NamedTuple

from midas_mp import __version__, limits
from midas_mp.errors import ClusterLost, ConnectionLost, MidasError, PeerRefused, ProtocolError
from midas_mp.participant.crew import Crew
from midas_mp.participant.node_job import NodeJob
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.shared import SharedCopy, SharedFetcher
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.uplink import Uplink
from midas_mp.transport.link import Dial, Link
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.management import KillWorker, PauseJob, PauseWorker
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    BeginJob,
    CancelTasks,
    DropBundles,
    EndJob,
    Goodbye,
    Hello,
    LimitTasks,
    NodeLeaving,
    OfferShared,
    PutBundle,
    RecallTasks,
    Refused,
    Role,
    RunTasks,
    SharedHeld,
    Welcome,
)


class Undone(NamedTuple):
    """What a node leaves to others when it goes."""

    running_count: int
    """Tasks that have not ended."""
    kept_count: int
    """Results that no host has heard."""


class Launcher:
    """One node.  Also the ``Receiver`` of its connection to the host.

    Args:
        supervisor: starts the processes.
        settings: what the owner of the node decided.
        node_id: random, for the life of this process.
        announce: told what people may want to know.
        dial: how to reach the host once more, for what is large.
        jitter: where the delays between tries come from.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        settings: NodeSettings,
        *,
        node_id: str,
        announce: Callable[[str], None],
        dial: Dial,
        jitter: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._node_id = node_id
        self._announce = announce
        self._uplink: Uplink | None = None
        self._name = ""
        self._leaving: NodeLeaving | None = None
        """What every host hears while this node finishes its last tasks."""
        self._jobs: dict[str, NodeJob] = {}
        self._loop = asyncio.get_running_loop()
        self._crew = Crew(supervisor, settings, jobs=self._jobs)
        self._fetcher = SharedFetcher(
            dial,
            hello=lambda: self._hello(Role.BULK),
            announce=announce,
            jitter=jitter or random.Random(),  # noqa: S311 - spreads load, no secret
            progressed=self._shared_progressed,
        )

    @property
    def name(self) -> str:
        """As the host knows this node; empty before the first welcome."""
        return self._name

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done when no worker can run here (any more); holds the exception."""
        return self._crew.failed

    @property
    def held_count(self) -> int:
        """How many tasks the workers have in their hands."""
        return self._crew.held_count

    @property
    def kept_count(self) -> int:
        """How many results wait for a host to hear them."""
        return self._crew.kept_count

    @property
    def idle_s(self) -> float:
        """For how long there has been nothing to do here.

        Results that no host has heard are something to do, as long as a client may wait for them.
        """
        if self._crew.is_busy or self._fetcher.is_busy:
            return 0.0
        idle_s = self._loop.time() - self._crew.last_work_s
        is_due = self.kept_count > 0 and idle_s < limits.CLIENT_PATIENCE_S
        return 0.0 if is_due else idle_s

    def greet(self, link: Link) -> asyncio.Future[MidasError | None]:
        """Introduces the node on a fresh connection.

        Returns:
            Done when the connection has ended; holds the reason, None for an end without a word.
            ``ClusterLost`` is a host that said that it leaves.
        """
        uplink = self._uplink = Uplink(link, lambda: self._crew.processes)
        link.send([Frame(CONTROL_CHANNEL, self._hello(Role.LAUNCHER))])
        if link.is_closed:  # and may have been before anybody here would have heard of it
            self.link_lost(link, ConnectionLost(f"{link.peer}: the connection ended at once"))
        return uplink.lost

    async def drain(self, reason: str, grace_s: float) -> Undone:
        """Takes nothing more, hands back what has not begun, and lets the rest end in time.

        It has ended when a host has heard what came of it.

        Returns:
            What could not be done in time.
        """
        self._leaving = NodeLeaving(reason, grace_s)
        self._say_leaving()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._crew.drain()
        return Undone(self.held_count, self.kept_count)

    def leave(self, reason: str) -> None:
        """Says goodbye and takes nothing more; the supervisor then ends the processes."""
        self._crew.close()
        self._fetcher.stop()
        if self._uplink is not None:
            self._uplink.leave(reason)
            self._uplink = None

    def _hello(self, role: Role) -> Hello:
        return Hello(
            PROTOCOL_VERSION,
            role,
            __version__,
            self._node_id,
            self._name or self._settings.name,
            self._settings.name_is_explicit,
            self._settings.workers if role is Role.LAUNCHER else 0,
        )

    # -- as a Receiver ---------------------------------------------------------------------------

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        uplink = self._uplink
        if uplink is None or link is not uplink.link:
            return
        try:
            self._take(uplink, frames)
        except ProtocolError as error:
            uplink.parting = error
            link.abort()

    def link_lost(self, link: Link, error: MidasError | None) -> None:
        uplink = self._uplink
        if uplink is not None and link is uplink.link:
            self._uplink = None
            self._lose_host()
            uplink.end(error)

    def _take(self, uplink: Uplink, frames: list[Frame]) -> None:
        for frame in frames:
            message = frame.message
            if isinstance(message, RunTasks):
                job = self._jobs.get(message.job)
                objection = job.objection(message) if job is not None else "which never began"
                if objection:
                    raise ProtocolError(f"tasks of job {message.job}, {objection}")
                self._crew.enqueue(frame)
            elif isinstance(message, Welcome | Refused | Goodbye):
                self._meet(uplink, message)
            else:
                self._obey(frame)
        self._crew.feed()

    # -- the host comes and goes -------------------------------------------------------------------

    def _meet(self, uplink: Uplink, message: Welcome | Refused | Goodbye) -> None:
        if isinstance(message, Welcome):
            self._join(uplink, message.name)
            return
        match message:
            case Refused(reason=reason, code=code):
                uplink.parting = PeerRefused(reason, refusal=code)
            case Goodbye(reason=reason, code="fault" | "replaced" | "sandbox" | "killed" as code):
                uplink.parting = PeerRefused(reason, refusal=code)
            case Goodbye(reason=reason):
                uplink.parting = ClusterLost(reason)
                self._lose_host()  # it reads no more
        uplink.link.close()  # it may leave that to us

    def _join(self, uplink: Uplink, name: str) -> None:
        news = "back at" if self._name else "joined"
        self._name = name
        kept_count = self._crew.join(uplink, name)
        self._forget_jobs_without_work()
        results = "1 result" if kept_count == 1 else f"{kept_count} results"
        delivered = f"; delivered {results}" if kept_count else ""
        count = self._settings.workers
        workers = f"{count} worker{'' if count == 1 else 's'}"
        self._announce(f"{news} the host as {name}, {workers}{delivered}")
        self._say_leaving()

    def _say_leaving(self) -> None:
        if self._leaving is not None and self._uplink is not None:
            self._uplink.say(CONTROL_CHANNEL, self._leaving)

    def _lose_host(self) -> None:
        self._fetcher.stop()
        self._crew.lose_host()
        self._forget_jobs_without_work()

    def _forget_jobs_without_work(self) -> None:
        """A host that still has such a job says so; one that has not says nothing."""
        for job in [job for job in self._jobs if not self._crew.is_at_work(job)]:
            del self._jobs[job]
            self._crew.forget_job(job)
        for known in self._jobs.values():
            known.bundles.clear()  # the next host knows only of what it brings

    # -- from the host -------------------------------------------------------------------------

    def _obey(self, frame: Frame) -> None:
        match frame.message:
            case RecallTasks() | CancelTasks() | PauseWorker() | KillWorker() as order:
                self._direct(frame.channel, order)
            case PauseJob(job=job, is_paused=is_paused):
                self._crew.pause_job(job, is_paused=is_paused)
            case BeginJob(job=job):
                if job not in self._jobs:  # else it is the one that went on here meanwhile
                    self._jobs[job] = NodeJob(frame)
            case (
                PutBundle(job=job)
                | DropBundles(job=job)
                | OfferShared(job=job)
                | LimitTasks(job=job)
            ):
                if job in self._jobs:
                    self._learn(self._jobs[job], frame)
            case EndJob(job=job):
                self._jobs.pop(job, None)
                self._fetcher.drop_job(job)
                self._crew.end_job(job)
            case message:
                raise ProtocolError(f"the host sent {type(message).__name__}")

    def _direct(
        self, channel: int, order: RecallTasks | CancelTasks | PauseWorker | KillWorker
    ) -> None:
        """What concerns one worker."""
        match order:
            case RecallTasks(count=count):
                self._crew.recall(channel, count)
            case CancelTasks(job=job, round=round_, indices=indices):
                self._crew.cancel(channel, job, round_, indices)
            case PauseWorker(is_paused=is_paused):
                self._crew.pause_worker(channel, is_paused=is_paused)
            case KillWorker(epoch=epoch, reason=reason):  # the last there is
                name = self._crew.kill_worker(channel, epoch, reason)
                if name:
                    self._announce(f"worker {name} was {reason}")

    def _learn(self, job: NodeJob, frame: Frame) -> None:
        match frame.message:
            case PutBundle(digest=digest):
                job.bundles[digest] = frame
            case DropBundles(job=name, digests=digests):
                gone = frozenset(digests)
                self._crew.drop_orders(lambda order: order.job == name and order.digest in gone)
                for digest in digests:
                    job.bundles.pop(digest, None)
            case LimitTasks(job=name) as limit:
                job.limit(limit)
                self._crew.limit(name)
            case OfferShared(job=name, round=round_) as offer:
                copy = job.copy_for(offer)
                if not copy.is_complete:  # an honest host offered it before it sent its tasks
                    self._crew.drop_orders(lambda order: (order.job, order.round) == (name, round_))
                self._fetcher.fetch(copy)

    def _shared_progressed(self, copy: SharedCopy) -> None:
        if self._uplink is not None:
            held = SharedHeld(copy.job, copy.round, self._name, copy.received_bytes)
            self._uplink.say(CONTROL_CHANNEL, held)
