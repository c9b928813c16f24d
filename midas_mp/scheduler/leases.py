"""The books of who has which task in hand, with a lease or without.

Only the books: who is asked to stop, and what becomes of a task, is for the callers to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from midas_mp import limits
from midas_mp.scheduler import briefing
from midas_mp.scheduler.records import Job, Task, Worker, advance_task
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import TASK
from midas_mp.wire import framing
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import CancelTasks, Outcome, TaskRef

_LEASE = TASK["lease"]
_FINISH = TASK["finish"]


def adopt(state: State, worker: Worker, job: Job, task: Task) -> None:
    """Book a waiting task as leased to the worker that has it; the caller settles the worker."""
    take_off_queue(job, task)
    advance_task(task, _LEASE, "lease")
    book(state, worker, job, task)


def book(state: State, worker: Worker, job: Job, task: Task) -> None:
    """Put a lease on the books of a worker that has the task in hand already."""
    if not worker.lease_count:
        worker.heard_at = state.now
    task.worker = worker
    worker.leases.setdefault(job, {})[task] = None
    worker.adopted[task] = None
    worker.lease_count += 1
    worker.lease_bytes += task.size_bytes
    job.leased_count += 1
    briefing.prepare(state, worker.node, job, task.batch.digest)


def unlease(worker: Worker, job: Job, task: Task) -> None:
    """Take a lease off the worker's and the job's books; the caller settles the worker."""
    leases = worker.leases[job]
    del leases[task]
    if worker.adopted:
        worker.adopted.pop(task, None)
    if not leases:
        del worker.leases[job]
    task.worker = None
    worker.lease_count -= 1
    worker.lease_bytes -= task.size_bytes
    job.leased_count -= 1


def take_off_queue(job: Job, task: Task) -> None:
    """A task waits no more, though nobody is sent it: it is done, or in somebody's hands already.

    It may even be fresh: just submitted, or its lease was of the host before this one.
    """
    fresh = job.fresh
    if task in job.returned:
        del job.returned[task]
    elif task in job.suspects:
        del job.suspects[task]
    elif fresh[-1] is task:
        fresh.pop()
    else:
        fresh.remove(task)


def finish(job: Job, task: Task, outcome: Outcome, doer: str, payload: Sequence[Buffer]) -> None:
    """Mark a task done that is on no lease and in no queue any more; it keeps its result."""
    advance_task(task, _FINISH, "finish")
    if job.blames or job.copies or job.prints:
        forget(job, task)
    job.done_count += 1
    result_bytes = framing.size_bytes(payload)
    job.size_bytes += result_bytes - task.size_bytes
    task.size_bytes = result_bytes
    task.buffers = payload
    task.outcome = outcome
    task.doer = doer


def forget(job: Job, task: Task) -> None:
    """Drop what was noted of a task whose run does not matter any more."""
    job.blames.pop(task, None)
    for copy in job.copies.pop(task, {}).values():
        copy.forget()
    job.prints.pop(task, None)


def revoke(state: State, worker: Worker, job: Job, tasks: Iterable[Task]) -> None:
    """What the worker does with these tasks no longer matters; it is free when it says so."""
    for task in tasks:
        unlease(worker, job, task)
        worker.orphans[TaskRef(job.id, task.batch.round, task.index)] = False
    state.settle(worker)


def call_off(state: State, worker: Worker, refs: Sequence[TaskRef]) -> None:
    """Have these stopped, which cannot count (any more); the caller settles the worker."""
    indices: dict[tuple[str, int], list[int]] = {}
    for ref in refs:
        worker.orphans[ref] = False
        _release(state, worker, ref)
        indices.setdefault((ref.job, ref.round), []).append(ref.index)
    at_once = limits.TASKS_PER_FRAME_MAX
    for (job, round_), every in indices.items():
        for start in range(0, len(every), at_once):
            message = CancelTasks(job, round_, every[start : start + at_once])
            state.send(worker.node.peer, message, channel=worker.channel)


def let_go(state: State, worker: Worker, ref: TaskRef) -> bool | None:
    """An orphan is out of the worker's hands; None if it was none, else whether it could count."""
    _release(state, worker, ref)
    return worker.orphans.pop(ref, None)


def _release(state: State, worker: Worker, ref: TaskRef) -> None:
    """What the worker holds is neither what somebody may come for, nor a copy."""
    stray = state.strays.get(ref.job)
    if stray is not None and stray.held.get((ref.round, ref.index)) is worker:
        del stray.held[ref.round, ref.index]
    job = state.jobs.get(ref.job)
    task = job.task(ref.round, ref.index) if job is not None and job.copies else None
    if job is not None and task is not None and worker in job.copies.get(task, ()):
        job.copies[task].pop(worker).forget()
        if not job.copies[task]:
            del job.copies[task]
