"""A client of a host: opens jobs, submits calls within its credit, hands on what comes back.

Its jobs outlive its connection: when that is lost, it is made again, and everything that the
host may have forgotten is said again.
"""

from __future__ import annotations

import os
import random
import uuid
from collections import deque
from collections.abc import Sequence

from midas_mp import __version__, limits
from midas_mp.client.connection import Connection
from midas_mp.client.engine import JobObserver
from midas_mp.client.job import ClientJob
from midas_mp.client.upload import SharedPayload, Upload
from midas_mp.errors import MidasError
from midas_mp.lua.bundle import Bundle
from midas_mp.transport.link import Dial
from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.messages import PROTOCOL_VERSION, EndJob, Hello, JobSpec, OpenJob, Role
from midas_mp.wire.vocabulary import AnyMessage


class Client:
    """An engine: one host, over one connection after the other.

    Args:
        dial: how to reach the host.
        node_id: who this is to the host, however often it comes back; random if None.
        jitter: where the delays between tries come from.
        patience_s: how long to look for a host that is gone, by default
            ``limits.CLIENT_PATIENCE_S``; 0 where it cannot come again.

    Attributes:
        is_paused: its jobs are to stand still; None as long as nobody has said so or otherwise.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        node_id: str | None = None,
        jitter: random.Random | None = None,
        patience_s: float | None = None,
    ) -> None:
        node_id = node_id or uuid.uuid4().hex
        jitter = jitter or random.Random()  # noqa: S311 - it spreads load, and is no secret
        self._jobs: dict[str, ClientJob] = {}
        self._ended: deque[EndJob] = deque(maxlen=limits.ENDED_JOBS_MAX)
        """Said again to a host that may not have heard them; it remembers as many."""
        self._failure: MidasError | None = None
        self.is_paused: bool | None = None
        self._connection = Connection(
            dial,
            _hello(Role.CLIENT, node_id),
            self,
            patience_s=limits.CLIENT_PATIENCE_S if patience_s is None else patience_s,
            jitter=jitter,
        )
        self._upload = Upload(dial, _hello(Role.BULK, node_id), self, jitter=jitter)

    async def connect(self) -> str:
        """Dials and greets the first time; the client's name at the host.

        Raises:
            PeerRefused: the host does not want it, or is of another version.
            ProtocolError: what answers there is no host.
            WorldError: nobody answers, or the connection ended before an answer came.
        """
        return await self._connection.open()

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
        opening = OpenJob(uuid.uuid4().hex[:16], title[:256], spec, workers_min)
        job = ClientJob(self, opening, bundle, observer)
        if self._failure is not None:
            job.lose(self._failure)
            return job
        self._jobs[job.id] = job
        job.introduce()
        return job

    def pause(self, *, is_paused: bool) -> None:
        """Has its jobs, also those that it opens later, stand still in the middle of whatever they
        are at, or go on.  Of what others say of one of them the last word counts.
        """
        self.is_paused = is_paused
        for job in self._open_jobs():
            job.say_paused()

    def close(self) -> None:
        """Ends all jobs and the connections; idempotent."""
        for job in list(self._jobs.values()):
            job.close("the client is closing")
        self._upload.stop()
        self._connection.close()

    # -- from the jobs -----------------------------------------------------------------------------

    def say(self, message: AnyMessage, buffers: Sequence[Buffer] = ()) -> None:
        """Says it if the host listens."""
        self._connection.say(message, buffers)

    def upload(self, payload: SharedPayload, offset: int) -> None:
        """Sends shared data from an offset on, in the background."""
        self._upload.send(payload, offset)

    def forget(self, job: ClientJob, reason: str) -> None:
        """The job is closed."""
        self._upload.drop(job.id)
        if self._jobs.pop(job.id, None) is not None:
            end = EndJob(job.id, reason)
            self._ended.append(end)
            self.say(end)

    def got_ahead(self) -> None:
        """A result came that was not there before."""
        self._connection.has_worked = True

    def ended(self, job: ClientJob) -> None:
        """The host has ended the job, and need not be told."""
        self._upload.drop(job.id)
        del self._jobs[job.id]

    # -- from the connections ----------------------------------------------------------------------

    def connected(self, *, is_return: bool) -> None:
        if not is_return:
            return
        for end in self._ended:
            self.say(end)
        for job in self._open_jobs():
            job.introduce()
        self._tell("connected to the host again")

    def frame_received(self, frame: Frame) -> None:
        job = self._jobs.get(getattr(frame.message, "job", ""))
        if job is not None:
            job.take(frame)

    def disconnected(self, error: MidasError) -> None:
        self._upload.stop()
        for job in self._open_jobs():
            job.disconnected()
        self._tell(f"{error}; trying again")

    def connection_failed(self, error: MidasError) -> None:
        self._upload.stop()
        self._failure = error
        for job in self._open_jobs():
            job.lose(error)

    def upload_broken(self) -> None:
        for job in self._open_jobs():
            job.offer()

    def upload_delayed(self, text: str) -> None:
        self._tell(text)

    def upload_failed(self, error: MidasError) -> None:
        for job in self._open_jobs():
            if job.is_sharing:
                job.lose(error)

    def _tell(self, text: str) -> None:
        for job in self._open_jobs():
            job.notice(text)

    def _open_jobs(self) -> list[ClientJob]:
        """A list, since who is told something may open or close one."""
        return [job for job in self._jobs.values() if not job.is_lost]


def _hello(role: Role, node_id: str) -> Hello:
    return Hello(PROTOCOL_VERSION, role, __version__, node_id, f"client-{os.getpid()}")
