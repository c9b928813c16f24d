"""What clients ask: open a job, hand in bundles and tasks, acknowledge results, end it.

The scheduler does not answer a client's ``EndJob``: nothing more comes of that job, and the
client may forget it at once.
"""

from __future__ import annotations

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.scheduler import losses
from midas_mp.scheduler.records import Batch, ClientRecord, Job, Task, advance_task
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import JOB, TASK, TaskState, advance
from midas_mp.wire import framing
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    Acknowledge,
    EndJob,
    JobEnded,
    JobOpened,
    OpenJob,
    PutBundle,
    RunTasks,
)

_FORGET = TASK["forget"]


def open_job(state: State, client: ClientRecord, message: OpenJob) -> None:
    """Queue a job, unless another client uses its id."""
    holder = state.jobs.get(message.job)
    if holder is not None:
        if holder.client is client:
            raise ProtocolError(f"job {message.job} is open already")
        client.refused.add(message.job)
        reason = f"another client has a job with the id {message.job}"
        state.send(client.peer, JobEnded(message.job, "job_exists", reason))
        return
    client.refused.discard(message.job)
    job = state.jobs[message.job] = client.jobs[message.job] = Job(client, message, state.now)
    credit = state.credit_tasks(job)
    state.send(client.peer, JobOpened(job.id, credit, limits.CREDIT_BYTES))
    state.notice(f"{_called(job)} queued for {client.name}")
    state.is_membership_new = True


def put_bundle(client: ClientRecord, frame: Frame, message: PutBundle) -> None:
    """Keep a bundle for as long as the job lives."""
    job = _job_of(client, message.job)
    if job is not None:
        job.bundles.setdefault(message.digest, Frame(0, message, frame.buffers))


def submit(client: ClientRecord, frame: Frame, message: RunTasks) -> None:
    """Add waiting tasks."""
    job = _job_of(client, message.job)
    if job is None:
        return
    if message.digest not in job.bundles:
        raise ProtocolError(f"job {job.id} has no bundle {message.digest}")
    calls = message.calls
    if job.task_count + len(calls) > job.credit_max:
        raise ProtocolError(
            f"job {job.id}: {job.task_count + len(calls)} tasks not acknowledged, "
            f"but the credit is {job.credit_max}"
        )
    batch = Batch(message.round, message.count, message.digest, message.entry)
    if batch == job.batch:
        batch = job.batch
    else:
        job.batch = batch
    tasks = job.rounds.setdefault(batch.round, {})
    buffers, start, size_bytes = frame.buffers, 0, 0
    for call in calls:
        index = call.index
        if index in tasks:
            raise ProtocolError(f"job {job.id}: task {index} of round {batch.round} is there twice")
        end = start + call.buffer_count
        payload = buffers[start:end]
        size = framing.size_bytes(payload)
        tasks[index] = task = Task(batch, index, call.attempt, payload, size)
        job.fresh.append(task)
        size_bytes += size
        start = end
    if start != len(buffers):
        raise ProtocolError(f"job {job.id}: {len(buffers)} buffers for tasks that list {start}")
    job.task_count += len(calls)
    job.size_bytes += size_bytes


def acknowledge(client: ClientRecord, message: Acknowledge) -> None:
    """Forget tasks whose results are safe with the client; a job that ended has none."""
    job = client.jobs.get(message.job)
    if job is None:
        return
    tasks = job.rounds.get(message.round, {})
    size_bytes = 0
    for index in message.indices:
        task = tasks.get(index)
        if task is None or task.state is not TaskState.DONE:
            raise ProtocolError(
                f"job {job.id}: task {index} of round {message.round} has no result to acknowledge"
            )
        advance_task(task, _FORGET, "forget")
        del tasks[index]
        size_bytes += task.size_bytes
    job.task_count -= len(message.indices)
    job.done_count -= len(message.indices)
    job.size_bytes -= size_bytes
    if not tasks:
        job.rounds.pop(message.round, None)


def end_job(state: State, client: ClientRecord, message: EndJob) -> None:
    """The client has no more use for the job; unknown ones have ended before."""
    client.refused.discard(message.job)
    job = client.jobs.get(message.job)
    if job is not None:
        end(state, job, message.reason or "ended by its client")


def client_gone(state: State, client: ClientRecord, reason: str) -> None:
    """A client that is not there has no jobs."""
    del state.clients[client.peer]
    for job in list(client.jobs.values()):
        end(state, job, reason)


def end(state: State, job: Job, reason: str) -> None:
    """Drop a job with its tasks; workers that hold some of them are free when they say so."""
    advance(job, JOB, "end", state.now, reason)
    del state.jobs[job.id], job.client.jobs[job.id]
    state.started.pop(job.id, None)
    for node in state.nodes.values():
        if node.begun.pop(job.id, None) is None:
            continue
        state.send(node.peer, EndJob(job.id, reason))
        for worker in list(node.workers.values()):
            if job in worker.leases:
                losses.revoke(state, worker, job, list(worker.leases[job]))
    state.notice(f"{_called(job)} ended: {reason}")


def _called(job: Job) -> str:
    return f"job {job.id} ({job.title})" if job.title else f"job {job.id}"


def _job_of(client: ClientRecord, job_id: str) -> Job | None:
    """The client's open job; None where its refusal may still be on the way.

    Raises:
        ProtocolError: it never opened such a job, or has ended it itself.
    """
    job = client.jobs.get(job_id)
    if job is None and job_id not in client.refused:
        raise ProtocolError(f"no open job {job_id}")
    return job
