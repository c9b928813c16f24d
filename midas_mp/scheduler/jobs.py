"""What clients ask: open a job, hand in bundles and tasks, acknowledge results, end it.

The scheduler does not answer a client's ``EndJob``: nothing more comes of that job, and the
client may forget it at once.
"""

from __future__ import annotations

from typing import Final

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.scheduler import delivery, leases, returning, shared
from midas_mp.scheduler.records import Batch, ClientRecord, Job, Task, advance_task
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import JOB, TASK, JobState, TaskState, advance
from midas_mp.wire import framing
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    KILLED,
    Acknowledge,
    DropBundles,
    EndJob,
    JobEnded,
    JobOpened,
    JobStarted,
    OfferShared,
    OpenJob,
    PutBundle,
    RunTasks,
)

_FORGET = TASK["forget"]

_ATTEMPT_MAX: Final = 2**32
"""Of what a client says: the host counts on from there, and nodes must believe the number."""

_OPEN_BYTES_MAX: Final = 2 * (limits.CREDIT_BYTES + limits.PAYLOAD_BYTES_MAX)
"""Once for what the client has said on this connection, and once for what it said before and has
not repeated yet."""


def open_job(state: State, client: ClientRecord, message: OpenJob) -> None:
    """Queue a job, or take it up again, unless another client uses its id or it was killed."""
    holder = state.jobs.get(message.job)
    if holder is not None:
        if holder.client is client:
            _take_up(state, holder)
            return
        reason = f"another client has a job with the id {message.job}"
        _refuse(state, client, JobEnded(message.job, "job_exists", reason))
        return
    if message.job in state.killed.jobs:
        reason = state.killed.jobs[message.job]
        _refuse(state, client, JobEnded(message.job, KILLED, reason))
        return
    if len(client.jobs) >= limits.JOBS_PER_CLIENT_MAX:
        reason = f"a client may have {limits.JOBS_PER_CLIENT_MAX} jobs at a time, and this has them"
        _refuse(state, client, JobEnded(message.job, "too_many_jobs", reason))
        return
    client.refused.discard(message.job)
    job = Job(client, message, state.backlogs, state.now)
    state.jobs[job.id] = client.jobs[job.id] = job
    state.tell(job, JobOpened(job.id, state.credit_tasks(job), limits.CREDIT_BYTES))
    returning.welcome_job(state, job)
    state.notice(f"{_called(job)} queued for {client.name}")
    state.is_membership_new = True


def _refuse(state: State, client: ClientRecord, answer: JobEnded) -> None:
    """What the client says about that job has crossed the answer."""
    assert client.peer is not None
    client.refused.add(answer.job)
    if len(client.refused) > limits.REFUSED_JOBS_MAX:
        raise ProtocolError(f"opened {len(client.refused)} jobs that were refused")
    state.send(client.peer, answer)


def _take_up(state: State, job: Job) -> None:
    """A client that was away opens its job again: it hears what it may have missed."""
    if job.peer is not None:
        raise ProtocolError(f"job {job.id} is open already")
    job.peer = job.client.peer
    job.away_until = None
    job.bundles.forget_unneeded(_needed_bundles(job))
    state.tell(job, JobOpened(job.id, state.credit_tasks(job), limits.CREDIT_BYTES))
    job.workers_reported = 0
    if job.state is JobState.STARTED:
        job.workers_reported = state.suitable_count(job)
        state.tell(job, JobStarted(job.id, job.workers_reported))
    for frame in job.printed.take():
        state.tell(job, frame.message, frame.buffers)
    delivery.deliver_all(state, job)


def put_bundle(client: ClientRecord, frame: Frame, message: PutBundle) -> None:
    """The client will submit tasks of this bundle."""
    job = _job_of(client, message.job)
    if job is not None:
        job.bundles.put(frame, message)


def drop_bundles(client: ClientRecord, message: DropBundles) -> None:
    """The client has no more use for these."""
    job = _job_of(client, message.job)
    if job is not None:
        job.bundles.drop(message, _needed_bundles(job))


def _needed_bundles(job: Job) -> set[str]:
    """Of tasks that are open."""
    return {
        task.batch.digest
        for tasks in job.rounds.values()
        for task in tasks.values()
        if task.state is not TaskState.DONE
    }


def offer_shared(state: State, client: ClientRecord, message: OfferShared) -> None:
    """The client has data that the tasks of a round share."""
    job = _job_of(client, message.job)
    if job is not None:
        shared.offer(state, job, message)


def submit(state: State, client: ClientRecord, frame: Frame, message: RunTasks) -> None:
    """Add waiting tasks; a client that was away may say some of them again."""
    job = _job_of(client, message.job)
    if job is None:
        return
    if message.digest not in job.bundles.frames:
        raise ProtocolError(f"job {job.id} has no bundle {message.digest}")
    calls = message.calls
    _check_credit(job, message)
    _check_bytes(job)
    batch = Batch(message.round, message.count, message.digest, message.entry, message.form)
    if batch == job.batch:
        batch = job.batch
    else:
        job.batch = batch
    tasks = job.rounds.setdefault(batch.round, {})
    buffers, start, size_bytes = tuple(frame.buffers), 0, 0
    added: list[Task] = []
    for call in calls:
        index = call.index
        end = start + call.buffer_count
        if index not in tasks:
            payload = buffers[start:end]
            size = framing.size_bytes(payload)
            tasks[index] = task = Task(batch, index, min(call.attempt, _ATTEMPT_MAX), payload, size)
            added.append(task)
            size_bytes += size
        start = end
    if start != len(buffers):
        raise ProtocolError(f"job {job.id}: {len(buffers)} buffers for tasks that list {start}")
    job.fresh.extend(added)
    job.task_count += len(added)
    job.size_bytes += size_bytes
    if state.strays:
        returning.claim(state, job, added)


def _check_credit(job: Job, message: RunTasks) -> None:
    if job.task_count + len(message.calls) <= job.credit_max:
        return
    known = job.rounds.get(message.round, {})
    count = job.task_count + sum(call.index not in known for call in message.calls)
    if count > job.credit_max:
        raise ProtocolError(
            f"job {job.id}: {count} tasks not acknowledged, but the credit is {job.credit_max}"
        )


def _check_bytes(job: Job) -> None:
    """A client that keeps to its credit sends nothing more while so much is not done: then one
    payload may be on top of it.
    """
    if job.size_bytes < _OPEN_BYTES_MAX:
        return
    tasks = (task for tasks in job.rounds.values() for task in tasks.values())
    open_bytes = sum(task.size_bytes for task in tasks if task.state is not TaskState.DONE)
    if open_bytes >= _OPEN_BYTES_MAX:
        raise ProtocolError(
            f"job {job.id}: tasks of {open_bytes // limits.MB} MB that are not done, but the "
            f"credit is {limits.CREDIT_BYTES // limits.MB} MB"
        )


def acknowledge(client: ClientRecord, message: Acknowledge) -> None:
    """Forget tasks whose results are safe with the client; a job that ended has none.

    A client may have had a result of the host before this one, which never heard of the task.
    """
    job = client.jobs.get(message.job)
    if job is None:
        return
    tasks = job.rounds.get(message.round, {})
    count = size_bytes = 0
    for index in message.indices:
        task = tasks.get(index)
        if task is None:
            continue
        if task.state is not TaskState.DONE:
            raise ProtocolError(
                f"job {job.id}: task {index} of round {message.round} has no result to acknowledge"
            )
        advance_task(task, _FORGET, "forget")
        del tasks[index]
        count += 1
        size_bytes += task.size_bytes
    job.task_count -= count
    job.done_count -= count
    job.forgotten_count += count
    job.size_bytes -= size_bytes
    if not tasks:
        job.rounds.pop(message.round, None)


def end_job(state: State, client: ClientRecord, message: EndJob) -> None:
    """The client has no more use for the job; it may have opened it at an earlier host only."""
    client.refused.discard(message.job)
    job = client.jobs.get(message.job)
    reason = message.reason or "its client is done with it"
    if job is not None:
        end(state, job, reason)
    elif message.job not in state.jobs:
        returning.end_unopened(state, message.job, reason)


def end(state: State, job: Job, reason: str) -> None:
    """Drop a job with its tasks; workers that hold some of them are free when they say so."""
    advance(job, JOB, "end", state.now, reason)
    client = job.client
    del state.jobs[job.id], client.jobs[job.id]
    state.started.pop(job.id, None)
    state.paused.jobs.discard(job)
    state.remember_end(job.id)
    returning.forget_stray(state, job.id)
    shared.free(state, job)
    job.printed.forget()
    for runs in job.copies.values():
        for copy in runs.values():
            copy.forget()
    if client.peer is None and not client.jobs:
        del state.away[client.node_id]
        shared.drop_bulks_of(state, client.node_id, reason)
    for node in state.nodes.values():
        node.estimates.pop(job, None)
        if node.begun.pop(job.id, None) is None:
            continue
        state.send(node.peer, EndJob(job.id, reason))
        for worker in node.workers.values():
            for ref in worker.orphans:
                if ref.job == job.id:
                    worker.orphans[ref] = False
            if job in worker.leases:
                leases.revoke(state, worker, job, list(worker.leases[job]))
    state.notice(f"{_called(job)} ended: {reason}")


def _called(job: Job) -> str:
    return f"job {job.id} ({job.title})" if job.title else f"job {job.id}"


def _job_of(client: ClientRecord, job_id: str) -> Job | None:
    """The client's open job; None where its refusal may still be on the way.

    Raises:
        ProtocolError: it never opened such a job on this connection, or has ended it itself.
    """
    job = client.jobs.get(job_id)
    if job is not None and job.peer is not None:
        return job
    if job_id in client.refused:
        return None
    raise ProtocolError(f"no open job {job_id}")
