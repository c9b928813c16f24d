"""Tasks that their client does not want any more: forgotten at once, wherever they are.

One that waits leaves its queue, and of one that is done the result goes.  One that a worker has in
hand becomes an orphan without worth, and its launcher is asked to stop it: the worker gets nothing
new until that is answered, see ``nodes``.  The client hears when its tasks are forgotten: until
then it must be ready to say so again, and what they took of its credit is not free.

A client may name tasks that are not here: their results crossed, or they are of the host before
this one and still in a worker's hands.  So all who hold them are asked, with a lease or without.
"""

from __future__ import annotations

from midas_mp.scheduler import leases
from midas_mp.scheduler.records import ClientRecord, Job, Task, Worker, advance_task
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import TASK, TaskState
from midas_mp.wire.messages import CancelTasks, TaskRef, TasksCancelled

_CANCEL = TASK["cancel"]


def cancel(state: State, client: ClientRecord, message: CancelTasks) -> None:
    """Forget these tasks, known or not; a job that ended has none."""
    job = client.jobs.get(message.job)
    if job is None:
        return
    tasks = job.rounds.get(message.round, {})
    keepers = _keepers(state)
    called_off: dict[Worker, list[TaskRef]] = {}
    for index in message.indices:
        ref = TaskRef(job.id, message.round, index)
        task = tasks.pop(index, None)
        worker = _forget(job, task) if task is not None else None
        for holder in (worker, *(keeper for keeper in keepers if ref in keeper.orphans)):
            if holder is not None:
                called_off.setdefault(holder, []).append(ref)
        _drop_early(state, ref)
    if not tasks:
        job.rounds.pop(message.round, None)
    for worker, refs in called_off.items():
        leases.call_off(state, worker, refs)
        state.settle(worker)
    state.tell(job, TasksCancelled(job.id, message.round, message.indices))


def _keepers(state: State) -> list[Worker]:
    """Workers that hold something without a lease."""
    return [
        worker
        for node in state.nodes.values()
        for worker in node.workers.values()
        if worker.orphans
    ]


def _forget(job: Job, task: Task) -> Worker | None:
    """Take a task off every book; who had the lease."""
    worker = task.worker
    if task.state is TaskState.DONE:
        job.done_count -= 1
    elif worker is None:
        leases.take_off_queue(job, task)
    else:
        leases.unlease(worker, job, task)
    advance_task(task, _CANCEL, "cancel")
    leases.forget(job, task)
    job.task_count -= 1
    job.size_bytes -= task.size_bytes
    return worker


def _drop_early(state: State, ref: TaskRef) -> None:
    """The result came before this host heard of the task."""
    stray = state.strays.get(ref.job)
    early = stray.early.pop((ref.round, ref.index), None) if stray is not None else None
    if early is not None:
        state.early_bytes -= early.size_bytes
        state.duplicates += 1
