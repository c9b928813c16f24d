"""Copies of what takes long, for workers that have nothing else to do; see ``copies``.

Near the end of a job nothing waits any more, nothing can be recalled, and a node that is slow or
stands still keeps everybody waiting for the last tasks.  A worker without work then runs what a
worker of another node has been at, if that should pay: what is left of it there should take twice
as long as all of it takes here.  How much is left, nobody knows.  It is taken for as long as it has
run already, or, where the other node is known to be slow, for what such tasks take there
less that.

A task is copied once at a time.  Workers of the same node are equally fast, and one of them that
is frozen is noticed by its launcher.  A copy is called off as soon as there is something better to
do for its worker: tasks that wait, or that could be recalled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from midas_mp.scheduler import copies
from midas_mp.scheduler.recall import ANSWER_S_MAX, seekers, suits, victims
from midas_mp.scheduler.records import Job, Node, Task, Worker
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import WorkerState

GAIN_MIN_US: Final = 100_000.0
"""What a copy should save: some five times what it costs, a new process for who comes second."""

PAYS_FACTOR: Final = 2.0
"""So many times what it takes here should be left there."""

LOOK_INTERVAL_S: Final = 0.05
"""No need to look oftener, however much happens."""


class _Straggler(NamedTuple):
    """What one worker holds of one job, and nobody else is at."""

    worker: Worker
    job: Job
    tasks: list[Task]
    left_us: float
    """How much longer it is expected to take."""

    def takes_us(self, node: Node) -> float:
        """What it should take elsewhere."""
        return self.job.estimate_on(node).mean_us * len(self.tasks)


def copy_stragglers(state: State) -> float | None:
    """Give copies to idle workers; when to look again at the latest."""
    if not state.idle or len(state.nodes) == 1:
        return None
    if not any(_is_measured(job) for job in state.started.values()):
        return None
    look_at = state.copying.looked_at + LOOK_INTERVAL_S
    if state.now < look_at:
        return look_at
    state.copying.looked_at = state.now
    return _look(state)


def call_off_copies(state: State) -> None:
    """Free workers of copies where there is something better to do for them."""
    copiers = state.copying.workers
    if not copiers:
        return
    for worker in [each for each in copiers if each.state is not WorkerState.RELEASING]:
        del copiers[worker]
    waiting = [job for job in state.started.values() if job.lease_allowance and not job.is_paused]
    laden = victims(state)
    wanted = sum(job.lease_allowance for job in waiting) + len(laden)
    for worker in reversed(copiers):
        if wanted <= 0:
            return
        if any(worker.orphans.values()):
            if not (
                any(job.suits(worker) for job in waiting)
                or any(suits(victim, worker) for victim in laden)
            ):
                continue
            copies.give_up(state, worker)
            state.settle(worker)
        wanted -= 1


def _look(state: State) -> float | None:
    """Match what should take longest with who is free; when there could be something to do next."""
    free: dict[Node, list[Worker]] = {}
    for worker in seekers(state):
        free.setdefault(worker.node, []).append(worker)
    found, next_at = _stragglers(state)
    for straggler in sorted(found, key=_left_us, reverse=True):
        helper = _helper(straggler, free)
        if helper is None:
            continue
        takes_us = straggler.takes_us(helper.node)
        needed_us = max(PAYS_FACTOR * takes_us, takes_us + GAIN_MIN_US)
        pays_at = straggler.worker.heard_at + needed_us / 1e6
        if straggler.left_us >= needed_us or state.now >= pays_at:
            copies.give(state, straggler.job, straggler.tasks, helper)
            free[helper.node].remove(helper)
        else:
            next_at.append(pays_at)
    return min(next_at, default=None)


def _helper(straggler: _Straggler, free: dict[Node, list[Worker]]) -> Worker | None:
    """Who could run it, on the fastest of the other nodes."""
    for node in sorted(free, key=straggler.takes_us):
        for worker in free[node]:
            if node is not straggler.worker.node and straggler.job.suits(worker):
                return worker
    return None


def _stragglers(state: State) -> tuple[list[_Straggler], list[float]]:
    """What is with workers of whom nothing can be recalled; when that is settled of the others."""
    found: list[_Straggler] = []
    settled_at: list[float] = []
    for node in state.nodes.values():
        for worker in node.workers.values():
            if worker.state is not WorkerState.BUSY:
                continue
            answer_at = worker.asked_at + ANSWER_S_MAX
            if worker.is_recalling and state.now < answer_at:
                settled_at.append(answer_at)
            elif worker.is_recalling or worker.is_recall_barred or worker.lease_count == 1:
                found += _held_by(worker, state.now)
    return found, settled_at


def _held_by(worker: Worker, now: float) -> Iterator[_Straggler]:
    silent_us = (now - worker.heard_at) * 1e6
    for job, leased in worker.leases.items():
        tasks = [task for task in leased if task not in job.copies and task not in job.blames]
        if tasks and _is_measured(job):
            tasks.append(tasks.pop(0))  # what runs goes last: it may take for ever
            known = worker.node.estimates.get(job)
            usual_us = known.mean_us * len(tasks) if known is not None else 0.0
            yield _Straggler(worker, job, tasks, max(usual_us - silent_us, silent_us))


def _is_measured(job: Job) -> bool:
    """Whether some of it is under way and goes on, and it can be told what is long."""
    return job.leased_count > 0 and job.estimate.task_us is not None and not job.is_paused


def _left_us(straggler: _Straggler) -> float:
    return straggler.left_us
