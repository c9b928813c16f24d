"""A client of a host: opens jobs, submits calls within its credit, hands on what comes back."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Sequence

from midas_mp import __version__
from midas_mp.client.engine import JobObserver
from midas_mp.errors import ClusterLost, MidasError, PeerRefused, ProtocolError
from midas_mp.lua.bundle import Bundle
from midas_mp.transport.link import Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import CONTROL_CHANNEL, Buffer, Frame, payloads, size_bytes
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Acknowledge,
    AnyMessage,
    EndJob,
    Goodbye,
    Hello,
    JobEnded,
    JobOpened,
    JobSpec,
    JobStarted,
    JobStatus,
    OpenJob,
    PutBundle,
    Refused,
    Role,
    RunTasks,
    TaskPrinted,
    TaskProgress,
    TaskResults,
    Welcome,
)


class ClientJob:
    """One open job of a client."""

    def __init__(self, client: Client, job_id: str, observer: JobObserver) -> None:
        self.id = job_id
        self._client = client
        self._observer = observer
        self._started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._credit_tasks = 0
        self._credit_bytes = 0
        self._pending: dict[tuple[int, int], int] = {}
        """Payload bytes of what is submitted and not acknowledged, by round and index."""
        self._pending_bytes = 0
        self._credit_changed = asyncio.Event()
        self._error: MidasError | None = None
        self._is_closed = False

    async def wait_started(self) -> int:
        return await asyncio.shield(self._started)

    async def submit(self, order: RunTasks, buffers: Sequence[Buffer]) -> None:
        """Hands over a batch of calls, when there is credit for it.

        Raises:
            MidasError: the job was lost meanwhile.
        """
        count = len(order.calls)
        while self._error is None and not self._has_credit(count):
            self._credit_changed.clear()
            await self._credit_changed.wait()
        if self._error is not None:
            raise self._error
        for call, payload in payloads(order.calls, buffers):
            size = size_bytes(payload)
            self._pending[order.round, call.index] = size
            self._pending_bytes += size
        self._client.say(order, buffers)

    def _has_credit(self, count: int) -> bool:
        if not self._pending:
            return self._credit_tasks > 0
        return (
            len(self._pending) + count <= self._credit_tasks
            and self._pending_bytes < self._credit_bytes
        )

    def acknowledge(self, round_: int, indices: Sequence[int]) -> None:
        for index in indices:
            self._pending_bytes -= self._pending.pop((round_, index))
        self._client.say(Acknowledge(self.id, round_, list(indices)))
        self._credit_changed.set()

    def close(self, reason: str = "") -> None:
        if not self._is_closed:
            self._is_closed = True
            self._client.forget(self)
            if self._error is None:
                self._client.say(EndJob(self.id, reason))

    def lose(self, error: MidasError) -> None:
        """Nothing more will come of this job."""
        if self._error is not None or self._is_closed:
            return
        self._error = error
        if not self._started.done():
            self._started.set_exception(error)
            self._started.exception()  # it is also told to the observer, so nobody need wait
        self._credit_changed.set()
        self._observer.job_lost(error)

    def take(self, frame: Frame) -> None:
        """A frame of the host that concerns this job."""
        match frame.message:
            case TaskResults() as results:
                self._observer.results_arrived(results, frame.buffers)
            case TaskPrinted(index=index, worker=worker):
                self._observer.task_printed(index, worker, bytes(frame.buffers[0]))
            case TaskProgress(index=index, fraction=fraction):
                self._observer.task_progressed(index, fraction)
            case JobOpened(credit_tasks=tasks, credit_bytes=size):
                self._credit_tasks, self._credit_bytes = tasks, size
                self._credit_changed.set()
            case JobStarted(workers=workers):
                if not self._started.done():
                    self._started.set_result(workers)
                self._observer.workers_changed(workers)
            case JobStatus(workers=workers, credit_tasks=tasks, notice=notice):
                self._credit_tasks = tasks
                self._credit_changed.set()
                self._observer.workers_changed(workers)
                if notice:
                    self._observer.noticed(notice)
            case JobEnded(reason=reason):
                self.lose(ClusterLost(reason))


class Client:
    """An engine: one connection to a host.  Also the ``Receiver`` of that connection."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._jobs: dict[str, ClientJob] = {}
        self._welcomed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._loss: MidasError | None = None
        self._is_closed = False

    @staticmethod
    def conversation() -> Conversation:
        return Conversation(Role.CLIENT, Role.HOST)

    async def greet(self, link: Link) -> str:
        """Introduces this client on a fresh connection; its name at the host.

        Raises:
            PeerRefused: the host does not want it, or is of another version.
            ProtocolError: what answers there is no host.
            ClusterLost: the connection ended before an answer came.
        """
        self._link = link
        hello = Hello(
            PROTOCOL_VERSION, Role.CLIENT, __version__, uuid.uuid4().hex, f"client-{os.getpid()}"
        )
        link.send([Frame(CONTROL_CHANNEL, hello)])
        return await self._welcomed

    def open_job(
        self,
        title: str,
        spec: JobSpec,
        bundle: Bundle,
        observer: JobObserver,
        *,
        workers_min: int = 1,
    ) -> ClientJob:
        """Queues a job at the host; await its ``wait_started``, which tells of a lost host too."""
        job = ClientJob(self, uuid.uuid4().hex[:16], observer)
        if self._loss is not None:
            job.lose(self._loss)
            return job
        self._jobs[job.id] = job
        self.say(OpenJob(job.id, title[:256], spec, workers_min))
        self.say(
            PutBundle(job.id, bundle.digest, bundle.main, list(bundle.modules)),
            [bundle.source, *bundle.modules.values()],
        )
        return job

    def close(self) -> None:
        """Ends all jobs and the connection; idempotent."""
        self._is_closed = True
        for job in list(self._jobs.values()):
            job.close("the client is closing")
        if self._link is not None:
            may_speak = self._link.conversation.may_speak
            self._link.close(Frame(CONTROL_CHANNEL, Goodbye("done")) if may_speak else None)
            self._link = None

    def say(self, message: AnyMessage, buffers: Sequence[Buffer] = ()) -> None:
        if self._link is not None:
            self._link.send([Frame(CONTROL_CHANNEL, message, buffers)])

    def forget(self, job: ClientJob) -> None:
        self._jobs.pop(job.id, None)

    # -- from the host -----------------------------------------------------------------------------

    def frames_received(self, _link: Link, frames: list[Frame]) -> None:
        for frame in frames:
            match frame.message:
                case Welcome(name=name):
                    if not self._welcomed.done():
                        self._welcomed.set_result(name)
                case Refused(code=code, reason=reason):
                    self._lose(PeerRefused(reason, refusal=code))
                case Goodbye(reason=reason):
                    self._lose(ClusterLost(f"the host ended the connection: {reason}"))
                case message:
                    job = self._jobs.get(getattr(message, "job", ""))
                    if job is not None:
                        job.take(frame)

    def link_lost(self, link: Link, error: MidasError | None) -> None:
        self._link = None
        if self._is_closed:
            return
        if isinstance(error, ProtocolError) and not self._welcomed.done():
            self._lose(ProtocolError(f"{link.peer} does not answer like a Midas host: {error}"))
        else:
            cause = f": {error}" if error is not None else ""
            self._lose(ClusterLost(f"the connection to the host was lost{cause}"))

    def _lose(self, error: MidasError) -> None:
        self._loss = self._loss or error
        if not self._welcomed.done():
            self._welcomed.set_exception(error)
        for job in list(self._jobs.values()):
            job.lose(error)
