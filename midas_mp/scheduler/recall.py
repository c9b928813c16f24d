"""Taking work back from long queues for workers that have none.

Only when nothing waits that an idle worker could have: then about half of what is queued behind
the running task of the most laden worker is asked for.  One recall at a time for each idle worker
and each laden one, and none for work so short that it would be done before it came back; so tasks
do not travel to and fro.

An estimate is of the past.  A worker that has been silent for longer than all it holds should
have taken runs something longer than was known: its silence is taken for the time of a task.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from midas_mp.scheduler.estimate import QUEUE_TIME_TARGET_US
from midas_mp.scheduler.records import Worker
from midas_mp.scheduler.state import State
from midas_mp.wire.messages import RecallTasks

RECALL_TIME_MIN_US: Final = 5_000.0
"""Work that is worth bringing over: some ten times what the journey takes."""

ANSWER_S_MAX: Final = 1.0
"""A launcher that takes longer to answer stands still; nobody waits for it."""


class _Surplus(NamedTuple):
    queued_us: float
    task_count: int
    """How many to ask for; at least one."""
    worker: Worker


def recall(state: State) -> float | None:
    """Ask laden workers for tasks on behalf of idle ones; when to look again at the latest."""
    if not state.laden or not (state.idle or state.copying.workers):
        return None
    _ask(state)
    ends = [_silence_ends(worker) for worker in state.laden if _is_askable(worker)]
    return min((end for end in ends if end > state.now), default=None)


def ask(state: State, victim: Worker, task_count: int) -> None:
    """Ask for so many tasks, of those that have not begun."""
    victim.is_recalling = True
    victim.asked_at = state.now
    victim.story.add(state.now, "recall", task_count)
    state.send(victim.node.peer, RecallTasks(task_count), channel=victim.channel)


def seekers(state: State) -> list[Worker]:
    """Idle workers for whom nothing is on its way."""
    due = state.now - ANSWER_S_MAX
    under_way = sum(worker.is_recalling and worker.asked_at > due for worker in state.laden)
    return list(state.idle)[under_way:]


def victims(state: State) -> list[Worker]:
    """Whom to ask for tasks, the most laden one last."""
    return [surplus.worker for surplus in _surpluses(state)]


def _surpluses(state: State) -> list[_Surplus]:
    found = (_surplus(worker, state.now) for worker in state.laden if _is_askable(worker))
    return sorted(filter(None, found), key=_queued_us)


def _ask(state: State) -> None:
    waiting = seekers(state)
    if not waiting:
        return
    surpluses = _surpluses(state)
    for seeker in waiting:
        if not surpluses:
            return
        surplus = next((s for s in reversed(surpluses) if suits(s.worker, seeker)), None)
        if surplus is not None:
            surpluses.remove(surplus)
            ask(state, surplus.worker, surplus.task_count)


def suits(victim: Worker, seeker: Worker) -> bool:
    """Whether the seeker could run whatever came back."""
    return all(job.suits(seeker) for job in victim.leases)


def _queued_us(surplus: _Surplus) -> float:
    return surplus.queued_us


def _is_askable(worker: Worker) -> bool:
    """Whether it may have something for others: what waits would go there first."""
    return not (
        worker.is_recalling
        or worker.is_recall_barred
        or any(job.waiting_count for job in worker.leases)
    )


def _held_us(worker: Worker) -> float:
    return sum(
        job.estimate_on(worker.node).assumed_us * len(tasks) for job, tasks in worker.leases.items()
    )


def _silence_ends(worker: Worker) -> float:
    """When the worker should have said something, by the estimates."""
    return worker.heard_at + (_held_us(worker) + RECALL_TIME_MIN_US) / 1e6


def _surplus(worker: Worker, now: float) -> _Surplus | None:
    """What could be asked of a worker; None if it is not worth it."""
    task_us = _held_us(worker) / worker.lease_count
    if now >= _silence_ends(worker):
        task_us = max(task_us, (now - worker.heard_at) * 1e6)
    queued = worker.lease_count - 1
    if task_us >= QUEUE_TIME_TARGET_US:
        return _Surplus(queued * task_us, -(-queued // 2), worker)
    count = queued // 2
    if count * task_us < RECALL_TIME_MIN_US:
        return None
    return _Surplus(queued * task_us, count, worker)
