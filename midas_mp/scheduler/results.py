"""What workers say about tasks: results, tasks given back, prints and progress.

The first result of (job, round, index) counts, whatever became of its lease.  Everything later is
counted as a duplicate and dropped, and so are results of jobs that have ended: both are what
remains of a race, never an error.
"""

from __future__ import annotations

from collections.abc import Sequence

from midas_mp.errors import ProtocolError
from midas_mp.scheduler import losses
from midas_mp.scheduler.records import Job, Node, Task, Worker
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import TaskState
from midas_mp.wire import framing
from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.messages import (
    Outcome,
    TaskPrinted,
    TaskProgress,
    TaskRef,
    TaskResults,
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
    outcomes, buffers = message.outcomes, frame.buffers
    listed = sum([outcome.buffer_count for outcome in outcomes])
    if listed != len(buffers):
        raise ProtocolError(f"{len(buffers)} buffers for results that list {listed}")
    counted: list[Outcome] = []
    kept: list[Buffer] = []
    start = total_us = longest_us = 0
    for outcome in outcomes:
        end = start + outcome.buffer_count
        task = tasks.get(outcome.index) if tasks is not None else None
        if task is not None and _is_first(message, worker, task):
            assert job is not None
            payload = buffers[start:end]
            _finish(state, job, task, worker, payload)
            counted.append(outcome)
            kept.extend(payload)
            duration_us = outcome.duration_us
            total_us += duration_us
            longest_us = max(longest_us, duration_us)
        else:
            state.duplicates += 1
            if worker is not None:
                worker.orphans.discard(TaskRef(message.job, message.round, outcome.index))
        start = end
    if worker is not None:
        worker.is_recall_barred = False
        worker.heard_at = state.now
        state.settle(worker)
    if job is not None and counted:
        job.estimate.observe(len(counted), total_us, longest_us)
        name = worker.name if worker is not None else message.worker
        state.send(job.client.peer, TaskResults(job.id, message.round, name, counted), kept)


def tasks_returned(state: State, node: Node, frame: Frame, message: TasksReturned) -> None:
    """Tasks that had not begun wait again; those of ended jobs are merely let go."""
    worker = node.workers.get(frame.channel)
    if worker is None:
        return
    if worker.is_recalling:
        worker.is_recalling = False
        worker.is_recall_barred = not message.tasks
    for ref in message.tasks:
        if ref in worker.orphans:
            worker.orphans.discard(ref)
            continue
        job = state.jobs.get(ref.job)
        task = job.rounds.get(ref.round, {}).get(ref.index) if job is not None else None
        if job is not None and task is not None and task.worker is worker:
            losses.give_back(worker, job, task)
    state.settle(worker)


def forward(state: State, frame: Frame, message: TaskPrinted | TaskProgress) -> None:
    """Pass on to the job's client; a job that has ended has none."""
    job = state.jobs.get(message.job)
    if job is not None:
        state.send(job.client.peer, message, frame.buffers)


def _is_first(message: TaskResults, worker: Worker | None, task: Task) -> bool:
    """Whether this result is the task's own and the first one.

    An orphan's result belongs to an ended job, which may have had the same id.
    """
    if task.state is _DONE:
        return False
    if worker is None or not worker.orphans:
        return True
    return TaskRef(message.job, message.round, task.index) not in worker.orphans


def _finish(
    state: State, job: Job, task: Task, worker: Worker | None, payload: Sequence[Buffer]
) -> None:
    result_bytes = framing.size_bytes(payload)
    holder = task.worker
    if holder is None:
        losses.finish_waiting(job, task, result_bytes)
        return
    if holder is worker:
        losses.unlease(holder, job, task)
    else:
        losses.revoke(state, holder, job, [task])
    losses.finish(job, task, result_bytes)
