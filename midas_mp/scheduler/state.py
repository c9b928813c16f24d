"""All that the scheduler knows, and what this step has to say so far."""

from __future__ import annotations

from collections.abc import Sequence

from midas_mp import limits
from midas_mp.scheduler.backlog import BacklogRoom
from midas_mp.scheduler.events import Ready, Transfer
from midas_mp.scheduler.records import BulkRecord, ClientRecord, Job, Killed, Node, Paused, Worker
from midas_mp.scheduler.runs import Copying
from midas_mp.scheduler.strays import StrayJob
from midas_mp.scheduler.tables import WORKER, JobState, WorkerState, advance
from midas_mp.wire.framing import CONTROL_CHANNEL, Buffer, Frame
from midas_mp.wire.messages import TaskPrinted
from midas_mp.wire.vocabulary import AnyMessage


class State:
    """Tables that more than one part of the scheduler reads or changes."""

    def __init__(self, release: str, patience_s: float) -> None:
        self.release = release
        self.patience_s = patience_s
        """How long a job waits for its client, and kept work for whoever wants it."""
        self.now = 0.0
        self.look_at: float | None = None
        """When to look whether this host stood still; None where that would hurt nobody."""
        self.sandbox_level_min = 0
        """A node whose workers are confined less than that is turned away."""
        self.nodes: dict[int, Node] = {}
        """By peer."""
        self.clients: dict[int, ClientRecord] = {}
        """By peer."""
        self.away: dict[str, ClientRecord] = {}
        """Clients whose connections broke while they had jobs, by node id."""
        self.bulks: dict[int, BulkRecord] = {}
        """By peer."""
        self.epochs: dict[str, int] = {}
        """Connections so far, by node id; the one that has not greeted for longest first."""
        self.jobs: dict[str, Job] = {}
        """In the order in which they were opened."""
        self.started: dict[str, Job] = {}
        """In the order in which they were started: first come, first served."""
        self.ended: dict[str, None] = {}
        """Ids of the jobs that ended last."""
        self.strays: dict[str, StrayJob] = {}
        """By job id, whether the job is open here by now or not."""
        self.early_bytes, self.backlogs = 0, BacklogRoom()
        """Of all early results; prints of jobs, open or stray, that have no client here now."""
        self.idle: dict[Worker, None] = {}
        """Workers without leases, the one that has been idle longest first."""
        self.hungry: dict[Worker, None] = {}
        """Workers with leases and, as far as is known, room for more."""
        self.laden: dict[Worker, None] = {}
        """Workers with more than one lease: there is something to recall."""
        self.engine_counts: dict[str, int] = {}
        """Registered workers that have the engine."""
        self.engine_since: dict[str, float] = {}
        """Since when there has been such a worker."""
        self.paused, self.killed = Paused(), Killed()
        self.worker_count = self.awaited = 0
        """Registered workers, and those that are announced and have not been heard of yet."""
        self.is_membership_new = False
        """Workers came or went, or a job was opened, in this step."""
        self.duplicates = self.losses = self.retries = 0
        self.copying = Copying()
        self._outgoing: dict[int, list[Frame]] = {}
        self._stops: list[tuple[str, int]] = []
        self._transfers: list[Transfer] = []
        self._drops: dict[int, str] = {}
        self._notices: list[str] = []

    # -- speaking ----------------------------------------------------------------------------

    def send(
        self,
        peer: int,
        message: AnyMessage,
        buffers: Sequence[Buffer] = (),
        channel: int = CONTROL_CHANNEL,
    ) -> None:
        frame = Frame(channel, message, buffers)
        frames = self._outgoing.get(peer)
        if frames is None:
            self._outgoing[peer] = [frame]
        else:
            frames.append(frame)

    def tell(self, job: Job, message: AnyMessage, buffers: Sequence[Buffer] = ()) -> None:
        """Say something to the client of a job.

        While it is away, what tasks print waits for it.  All else is dropped: results are in
        their tasks, and the rest is said anew when the client opens the job again.
        """
        if job.peer is not None:
            self.send(job.peer, message, buffers)
        elif isinstance(message, TaskPrinted):
            job.printed.keep(Frame(CONTROL_CHANNEL, message, buffers))

    def transfer(self, transfer: Transfer) -> None:
        self._transfers.append(transfer)

    def stop(self, job: str, round_: int) -> None:
        """End the transfers of what was shared."""
        self._transfers = [
            transfer
            for transfer in self._transfers
            if (transfer.job, transfer.round) != (job, round_)
        ]
        self._stops.append((job, round_))

    def drop(self, peer: int, reason: str) -> None:
        """Hang up on a peer after what was sent to it; its records are the caller's affair."""
        self._drops.setdefault(peer, reason)

    def notice(self, sentence: str) -> None:
        self._notices.append(sentence)

    def take_ready(self, wake_at: float | None) -> Ready:
        """Everything said since the last time."""
        ready = Ready(
            list(self._outgoing.items()),
            self._stops,
            self._transfers,
            list(self._drops.items()),
            self._notices,
            wake_at,
        )
        self._outgoing, self._stops, self._transfers = {}, [], []
        self._drops, self._notices = {}, []
        return ready

    # -- remembering -------------------------------------------------------------------------

    def count_connection(self, node_id: str) -> int:
        """Note a greeting; how many of this node id came before, as far as is remembered."""
        epoch = self.epochs.pop(node_id, 0)
        self.epochs[node_id] = epoch + 1
        if len(self.epochs) > limits.EPOCHS_MAX:
            del self.epochs[next(iter(self.epochs))]
        return epoch

    def remember_end(self, job_id: str) -> None:
        self.ended.pop(job_id, None)
        self.ended[job_id] = None
        if len(self.ended) > limits.ENDED_JOBS_MAX:
            del self.ended[next(iter(self.ended))]

    # -- asking ------------------------------------------------------------------------------

    def node_of(self, node_id: str) -> Node | None:
        """The node of that id, if it is connected."""
        for node in self.nodes.values():
            if node.hello.node_id == node_id:
                return node
        return None

    def client_of(self, node_id: str) -> ClientRecord | None:
        """The client of that id, whether it is connected or away."""
        for client in self.clients.values():
            if client.node_id == node_id:
                return client
        return self.away.get(node_id)

    def suitable_count(self, job: Job) -> int:
        """Registered workers that have the job's engine, but for those it does without."""
        engine, set_aside = job.spec.engine, job.standings.set_aside
        count = self.engine_counts.get(engine, 0)
        if not set_aside:
            return count
        return count - sum(
            engine in worker.engines
            for node in self.nodes.values()
            if node.hello.node_id in set_aside and not node.is_leaving
            for worker in node.workers.values()
        )

    def credit_tasks(self, job: Job) -> int:
        """What the client may have submitted and not acknowledged; remembered as granted."""
        credit = limits.CREDIT_TASKS + limits.CREDIT_TASKS_PER_WORKER * self.suitable_count(job)
        job.credit_max = max(job.credit_max, credit)
        return credit

    def queued(self) -> list[Job]:
        """Jobs that have not started, oldest first."""
        if len(self.jobs) == len(self.started):
            return []
        return [job for job in self.jobs.values() if job.state is JobState.QUEUED]

    # -- keeping the worker sets -------------------------------------------------------------

    def settle(self, worker: Worker) -> None:
        """Bring a worker's state and its place in the sets in line with what it holds."""
        if worker.orphans:
            if worker.state is not WorkerState.RELEASING:
                advance(worker, WORKER, "revoke", self.now, len(worker.orphans))
                self.withdraw(worker)
            return
        if not worker.lease_count:
            if worker.state is not WorkerState.IDLE:
                advance(worker, WORKER, "empty", self.now)
                self.withdraw(worker)
            if not self.is_barred(worker):
                self.idle[worker] = None
            else:
                self.withdraw(worker)
            return
        if worker.state is WorkerState.RELEASING:
            advance(worker, WORKER, "isolate" if worker.has_suspect else "release", self.now)
        self.idle.pop(worker, None)
        if worker.state is WorkerState.ALONE:
            return
        if self.is_barred(worker):
            self.withdraw(worker)
            return
        self.hungry[worker] = None
        if worker.lease_count > 1:
            self.laden[worker] = None
        else:
            self.laden.pop(worker, None)

    def is_barred(self, worker: Worker) -> bool:
        """Whether nobody gives it anything, nor asks it for anything."""
        if worker.is_leaving or worker.is_paused:
            return True
        return bool(self.paused.jobs) and worker.is_still

    def withdraw(self, worker: Worker) -> None:
        """Nobody gives this worker anything, nor asks it for anything."""
        self.idle.pop(worker, None)
        self.hungry.pop(worker, None)
        self.laden.pop(worker, None)
