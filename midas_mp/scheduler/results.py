"""What workers say about tasks: results, tasks given back, prints and progress.

The first result of (job, round, index) counts, whatever became of its lease.  Everything later is
counted as a duplicate and dropped, and so are results of jobs that have ended: both are what
remains of a race, never an error.  Results of tasks that nobody has submitted yet are early.
"""

from __future__ import annotations

from midas_mp.errors import ProtocolError
from midas_mp.scheduler import losses, returning
from midas_mp.scheduler.records import Job, Node, Task, Worker
from midas_mp.scheduler.state import State
from midas_mp.scheduler.strays import EarlyResult
from midas_mp.scheduler.tables import TaskState
from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.messages import (
    Outcome,
    Status,
    TaskPrinted,
    TaskProgress,
    TaskRef,
    TaskResults,
    TaskRunning,
    TasksReturned,
)

_DONE = TaskState.DONE


def receive_results(state: State, node: Node, frame: Frame, message: TaskResults) -> None:
    """Count what is new, forward exactly that, and free the worker's leases.

    The channel may have no worker any more: its launcher delivers what a dead one had finished.
    """
    worker = node.workers.get(frame.channel)
    job = state.jobs.get(message.job)
    tasks = job.rounds.get(message.round) if job is not None else None
    doer = worker.name if worker is not None else message.worker
    outcomes, buffers = message.outcomes, tuple(frame.buffers)
    listed = sum([outcome.buffer_count for outcome in outcomes])
    if listed != len(buffers):
        raise ProtocolError(f"{len(buffers)} buffers for results that list {listed}")
    counted: list[Outcome] = []
    kept: list[Buffer] = []
    start = total_us = longest_us = 0
    for outcome in outcomes:
        end = start + outcome.buffer_count
        payload = buffers[start:end]
        task = tasks.get(outcome.index) if tasks is not None else None
        if worker is not None and worker.orphans and _is_worthless(state, worker, message, outcome):
            state.duplicates += 1
        elif task is None:
            ref = TaskRef(message.job, message.round, outcome.index)
            early = EarlyResult(outcome, doer, payload)
            if not returning.keep_early(state, node, ref, early):
                state.duplicates += 1
        elif task.state is _DONE:
            state.duplicates += 1
        else:
            assert job is not None
            _unbook(state, job, task, worker)
            losses.finish(job, task, outcome, doer, payload)
            counted.append(outcome)
            kept.extend(payload)
            duration_us = outcome.duration_us
            total_us += duration_us
            longest_us = max(longest_us, duration_us)
        start = end
    if worker is not None:
        worker.is_recall_barred = False
        worker.heard_at = state.now
        state.settle(worker)
    if job is not None and counted:
        job.estimate.observe(len(counted), total_us, longest_us)
        if job.times is not None:
            job.times.add(
                message.round, [each.duration_us for each in counted if each.status is Status.OK]
            )
        state.tell(job, TaskResults(job.id, message.round, doer, counted), kept)


def tasks_returned(state: State, node: Node, frame: Frame, message: TasksReturned) -> None:
    """Tasks that had not begun wait again; those of ended jobs are merely let go."""
    worker = node.workers.get(frame.channel)
    if worker is None:
        return
    if worker.is_recalling:
        worker.is_recalling = False
        worker.is_recall_barred = not message.tasks
    for ref in message.tasks:
        if losses.let_go(state, worker, ref) is not None:
            continue
        job = state.jobs.get(ref.job)
        task = job.task(ref.round, ref.index) if job is not None else None
        if job is not None and task is not None and task.worker is worker:
            losses.give_back(worker, job, task)
    state.settle(worker)


def forward_output(
    state: State, node: Node, frame: Frame, message: TaskPrinted | TaskProgress
) -> None:
    """Pass on to the job's client, who may yet have to come; a job that has ended has none.

    Nobody wants to hear of an attempt that cannot count.
    """
    job = state.jobs.get(message.job)
    worker = node.workers.get(frame.channel)
    if worker is not None and worker.orphans:
        ref = TaskRef(message.job, message.round, message.index)
        if worker.orphans.get(ref) is False:
            return
    if job is not None:
        state.tell(job, message, frame.buffers)
    elif isinstance(message, TaskPrinted):
        returning.keep_print(state, message, frame.buffers)


def forward_running(state: State, message: TaskRunning) -> None:
    """Pass on to the job's client, who cancels what it has no use for."""
    job = state.jobs.get(message.job)
    if job is not None:
        state.tell(job, message)


def _is_worthless(state: State, worker: Worker, message: TaskResults, outcome: Outcome) -> bool:
    """Whether this is of an orphan that cannot count; in any case it is an orphan no more.

    It may belong to an ended job that had the same id as one that is open.
    """
    ref = TaskRef(message.job, message.round, outcome.index)
    return losses.let_go(state, worker, ref) is False


def _unbook(state: State, job: Job, task: Task, worker: Worker | None) -> None:
    """Take a task that this worker has done off its lease or its queue."""
    holder = task.worker
    if holder is None:
        losses.take_off_queue(job, task)
    elif holder is worker:
        losses.unlease(holder, job, task)
    else:
        losses.revoke(state, holder, job, [task])
