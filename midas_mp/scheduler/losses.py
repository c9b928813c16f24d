"""Leases that come back: from workers that died, from nodes that went, from recalls.

Only a task that was *running* when its worker died is blamed for it: the one that the worker's
status page named.  Its batch-mates are innocent, and so is everybody when the launcher killed the
worker on purpose and therefore names none.  A blamed task is tried again alone and elsewhere;
blamed ``limits.ATTEMPTS_MAX`` times, it has failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from midas_mp import limits
from midas_mp.scheduler.records import Blame, Death, Job, Task, Worker, advance_task
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import TASK
from midas_mp.wire import framing
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import (
    CancelTasks,
    Failure,
    Outcome,
    Status,
    TaskRef,
    TaskResults,
    WorkerDown,
)

_GIVE_BACK = TASK["give_back"]
_FINISH = TASK["finish"]
_CAUSE_CHARS_MAX = 1_000
_WORDS_CHARS_MAX = 2_000


def give_back_all(state: State, worker: Worker, down: WorkerDown | None) -> None:
    """Return everything a lost worker held; the caller has taken the worker off the tables.

    ``down`` says how it died; None is for a node that went away, and nothing is blamed.
    """
    culprit = _culprit(worker, down) if down is not None else None
    for job, leases in list(worker.leases.items()):
        for task in list(leases):
            task.attempt += 1
            state.retries += not worker.node.is_leaving
            if down is not None and task is culprit:
                _blame(state, job, task, worker, down)
            else:
                give_back(worker, job, task)
    for ref in list(worker.orphans):
        let_go(state, worker, ref)


def give_back(worker: Worker, job: Job, task: Task) -> None:
    """Let one leased task wait again, before all that were never leased."""
    unlease(worker, job, task)
    advance_task(task, _GIVE_BACK, "give_back")
    if task in job.blames:
        job.suspects[task] = None
    else:
        job.returned[task] = None


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
    """What the worker holds is not what somebody may come for."""
    stray = state.strays.get(ref.job)
    if stray is not None and stray.held.get((ref.round, ref.index)) is worker:
        del stray.held[ref.round, ref.index]


def _culprit(worker: Worker, down: WorkerDown) -> Task | None:
    """The task that the worker's page named; a worker killed on purpose names none."""
    if down.running is None:
        return None
    for job, leases in worker.leases.items():
        if job.id == down.running.job:
            task = job.rounds.get(down.running.round, {}).get(down.running.index)
            return task if task in leases else None
    return None


def _blame(state: State, job: Job, task: Task, worker: Worker, down: WorkerDown) -> None:
    blame = job.blames.setdefault(task, Blame())
    cause = down.cause[:_CAUSE_CHARS_MAX]
    blame.deaths.append(Death(worker.name, task.attempt - 1, cause, down.peak_bytes))
    blame.node_id = worker.node.hello.node_id
    blame.channel = worker.channel
    blame.since = state.now
    give_back(worker, job, task)
    if blame.count >= limits.ATTEMPTS_MAX:
        _fail(state, job, task, worker, _evidence(blame, worker, down))


def _evidence(blame: Blame, worker: Worker, down: WorkerDown) -> str:
    """What is known of each death, and what the last of these workers said."""
    lines = [f"lost: its worker died {blame.count} times while running it"]
    lines += [f"  {death}" for death in blame.deaths]
    words = down.last_words[-_WORDS_CHARS_MAX:].splitlines()
    if len(words) > 1:  # a single one is told as the cause
        lines.append(f"last output of {worker.name}:")
        lines += [f"  {line}" for line in words]
    return "\n".join(lines)


def _fail(state: State, job: Job, task: Task, worker: Worker, message: str) -> None:
    payload = [Failure(kind="lost", message=message).to_payload()]
    outcome = Outcome(task.index, task.attempt, Status.FAILED, 0)
    take_off_queue(job, task)
    finish(job, task, outcome, worker.name, payload)
    state.tell(job, TaskResults(job.id, task.batch.round, worker.name, [outcome]), payload)


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
    job.blames.pop(task, None)
    job.done_count += 1
    result_bytes = framing.size_bytes(payload)
    job.size_bytes += result_bytes - task.size_bytes
    task.size_bytes = result_bytes
    task.buffers = payload
    task.outcome = outcome
    task.doer = doer
