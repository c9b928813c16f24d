"""What workers say about tasks: results, tasks given back, prints and progress.

The first result of (job, round, index) counts, whatever became of its lease; a failure only if its
job does not want the task tried again.  Everything later is counted as a duplicate and dropped,
and so are results of jobs that have ended: both are what remains of a race, never an error.
Results of tasks that nobody has submitted yet are early.
"""

from __future__ import annotations

from collections.abc import Sequence

from midas_mp.errors import ProtocolError
from midas_mp.scheduler import copies, failures, leases, losses, quarantine, returning
from midas_mp.scheduler.estimate import Estimate
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
_OK = Status.OK


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
    is_evidence = job is not None and (job.blames or job.standings.strikes)
    counted: list[Outcome] = []
    kept: list[Buffer] = []
    start = 0
    for outcome in outcomes:
        end = start + outcome.buffer_count
        payload = buffers[start:end]
        task = tasks.get(outcome.index) if tasks is not None else None
        if worker is not None and worker.orphans and _is_worthless(state, worker, message, outcome):
            state.duplicates += 1
        elif task is None:
            ref = TaskRef(message.job, message.round, outcome.index)
            early = EarlyResult(outcome, doer, payload)
            state.duplicates += not returning.keep_early(state, node, ref, early)
        elif task.state is _DONE:
            state.duplicates += 1
        elif outcome.status is _OK or not failures.is_tried_again(state, message.job, task, worker):
            assert job is not None
            if is_evidence and outcome.status is _OK:
                quarantine.weigh(state, job, task, node)
            _unbook(state, job, task, worker)
            leases.finish(job, task, outcome, doer, payload)
            counted.append(outcome)
            kept.extend(payload)
        start = end
    if worker is not None:
        worker.is_recall_barred = False
        worker.heard_at = state.now
        state.settle(worker)
    if job is not None and counted:
        _learn(state, job, node, message.round, counted)
        state.tell(job, TaskResults(job.id, message.round, doer, counted), kept)


def _learn(state: State, job: Job, node: Node, round_: int, outcomes: Sequence[Outcome]) -> None:
    """How long tasks take, in all and on this node."""
    durations_us = [outcome.duration_us for outcome in outcomes]
    measured = len(durations_us), sum(durations_us), max(durations_us)
    job.estimate.observe(*measured)
    if len(state.nodes) > 1:
        node.estimates.setdefault(job, Estimate()).observe(*measured)
    if job.times is not None:
        job.times.add(round_, [each.duration_us for each in outcomes if each.status is Status.OK])


def tasks_returned(state: State, node: Node, frame: Frame, message: TasksReturned) -> None:
    """Tasks that had not begun wait again; those of ended jobs are merely let go."""
    worker = node.workers.get(frame.channel)
    if worker is None:
        return
    if worker.is_recalling:
        worker.is_recalling = False
        worker.is_recall_barred = not message.tasks
    for ref in message.tasks:
        if leases.let_go(state, worker, ref) is not None:
            continue
        job = state.jobs.get(ref.job)
        task = job.task(ref.round, ref.index) if job is not None else None
        if job is not None and task is not None and task.worker is worker:
            losses.give_back(state, worker, job, task)
    state.settle(worker)


def forward_output(
    state: State, node: Node, frame: Frame, message: TaskPrinted | TaskProgress | TaskRunning
) -> None:
    """Pass on to the job's client, who may yet have to come; a job that has ended has none.

    Nobody wants to hear of an attempt that cannot count, nor of two at a time.
    """
    job = state.jobs.get(message.job)
    worker = node.workers.get(frame.channel)
    if worker is not None:
        if worker.orphans:
            ref = TaskRef(message.job, message.round, message.index)
            if worker.orphans.get(ref) is False:
                return
        if job is not None and not copies.is_heard(job, worker, frame):
            return
    if job is not None:
        state.tell(job, message, frame.buffers)
    elif isinstance(message, TaskPrinted):
        returning.keep_print(state, message, frame.buffers)


def _is_worthless(state: State, worker: Worker, message: TaskResults, outcome: Outcome) -> bool:
    """Whether this is of an orphan that cannot count; in any case it is an orphan no more.

    It may belong to an ended job that had the same id as one that is open.
    """
    ref = TaskRef(message.job, message.round, outcome.index)
    job = state.jobs.get(message.job)
    task = job.task(message.round, outcome.index) if job is not None else None
    if job is not None and task is not None and worker in job.copies.get(task, ()):
        copies.tell_prints(state, job, task, worker)
    return leases.let_go(state, worker, ref) is False


def _unbook(state: State, job: Job, task: Task, worker: Worker | None) -> None:
    """Take a task that this worker has done off its lease or its queue; nobody else goes on."""
    holder = task.worker
    if holder is None:
        leases.take_off_queue(job, task)
    elif holder is worker:
        leases.unlease(holder, job, task)
    else:
        leases.unlease(holder, job, task)
        leases.call_off(state, holder, [TaskRef(job.id, task.batch.round, task.index)])
        state.settle(holder)
    if job.copies:
        copies.call_off_rest(state, job, task)
