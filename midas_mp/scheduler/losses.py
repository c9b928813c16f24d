"""Leases that come back: from workers that died, from nodes that went, from recalls.

Only a task that was *running* when its worker died is blamed for it: the one that the worker's
status page named.  Its batch-mates are innocent, and so is everybody when the launcher killed the
worker on purpose and therefore names none.  A blamed task is tried again alone and elsewhere;
blamed ``limits.ATTEMPTS_MAX`` times, it has failed.
"""

from __future__ import annotations

from midas_mp import limits
from midas_mp.scheduler import copies, deaths, leases
from midas_mp.scheduler.blame import Blame, Death
from midas_mp.scheduler.records import Job, Task, Worker, advance_task
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import TASK
from midas_mp.wire.messages import Failure, Outcome, Status, TaskRef, TaskResults, WorkerDown

_GIVE_BACK = TASK["give_back"]
_CAUSE_CHARS_MAX = 1_000
_WORDS_CHARS_MAX = 2_000


def give_back_all(state: State, worker: Worker, down: WorkerDown | None) -> None:
    """Return everything a lost worker held; the caller has taken the worker off the tables.

    ``down`` says how it died; None is for a node that went away, and nothing is blamed.
    """
    culprit = _culprit(worker, down) if down is not None else None
    for job, leased in list(worker.leases.items()):
        for task in list(leased):
            state.retries += not worker.node.is_leaving
            if down is not None and task is culprit:
                _blame(state, job, task, worker, down)
            else:
                lose(state, worker, job, task)
    for ref, may_count in list(worker.orphans.items()):
        leases.let_go(state, worker, ref)
        if may_count and down is not None and down.running == ref:
            _discredit(state, ref)


def give_back(state: State, worker: Worker, job: Job, task: Task) -> bool:
    """Let one leased task wait again, before all that were never leased.

    Returns:
        False if somebody else is at it already, who has the lease now.
    """
    leases.unlease(worker, job, task)
    if copies.hand_over(state, job, task):
        return False
    advance_task(task, _GIVE_BACK, "give_back")
    job.copies.pop(task, None)
    job.prints.pop(task, None)
    if task in job.blames:
        job.suspects[task] = None
    else:
        job.returned[task] = None
    return True


def lose(state: State, worker: Worker, job: Job, task: Task) -> bool:
    """As ``give_back``, of a run that is gone: the next one has another number."""
    is_waiting = give_back(state, worker, job, task)
    if is_waiting:
        task.attempt += 1
    return is_waiting


def _culprit(worker: Worker, down: WorkerDown) -> Task | None:
    """The task that the worker's page named; a worker killed on purpose names none."""
    if down.running is None:
        return None
    for job, leased in worker.leases.items():
        if job.id == down.running.job:
            task = job.rounds.get(down.running.round, {}).get(down.running.index)
            return task if task in leased else None
    return None


def _blame(state: State, job: Job, task: Task, worker: Worker, down: WorkerDown) -> None:
    blame = job.blames.setdefault(task, Blame())
    cause = down.cause[:_CAUSE_CHARS_MAX]
    attempt = task.attempt - len(job.copies.get(task, ()))  # copies began later
    blame.deaths.append(Death(worker.name, attempt, cause, down.peak_bytes))
    blame.accuse(worker, state.now)
    if lose(state, worker, job, task) and blame.count >= limits.ATTEMPTS_MAX:
        _fail(state, job, task, worker, _evidence(blame, worker, down))
    else:
        deaths.tell_worker(state, job, task, worker.name, cause)


def _discredit(state: State, ref: TaskRef) -> None:
    """A copy of this was running when its worker died."""
    job = state.jobs.get(ref.job)
    task = job.task(ref.round, ref.index) if job is not None else None
    if job is not None and task is not None and task.worker is not None:
        copies.discredit(job, task)


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
    leases.take_off_queue(job, task)
    leases.finish(job, task, outcome, worker.name, payload)
    state.tell(job, TaskResults(job.id, task.batch.round, worker.name, [outcome]), payload)
