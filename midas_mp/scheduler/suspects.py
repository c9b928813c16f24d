"""Tasks that may have killed a worker: each is tried again alone, and elsewhere if possible.

The best place is a worker of another node, then another worker of the same node, then any.  It is
kept from getting more work until it is idle.  After ``PATIENCE_S`` any idle worker will do: one
that never finishes must not hold up the suspect as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from midas_mp.scheduler.blame import Blame
from midas_mp.scheduler.records import Job, Task, Worker
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import WorkerState

PATIENCE_S: Final = 2.0

_REACHABLE = (WorkerState.IDLE, WorkerState.BUSY)

Lease = Callable[[State, Job, Task, Worker], None]


def place_suspects(state: State, job: Job, reserved: set[Worker], lease_alone: Lease) -> None:
    """Lease what can be leased, and add to ``reserved`` the workers to keep free for the rest."""
    for task in list(job.suspects):
        if not job.lease_allowance:  # others may have the workers until there is
            return
        blame = job.blames[task]
        best = _best(state, job, blame, reserved, idle_only=False)
        if best is None:
            return
        if best.lease_count and state.now >= blame.since + PATIENCE_S:
            best = _best(state, job, blame, reserved, idle_only=True) or best
        if best.lease_count:
            reserved.add(best)
        else:
            lease_alone(state, job, task, best)


def patience_ends(state: State) -> float | None:
    """When to look again for suspects that wait for a better place."""
    ends = [
        job.blames[task].since + PATIENCE_S
        for job in state.started.values()
        for task in job.suspects
    ]
    return min((end for end in ends if end > state.now), default=None)


def _best(
    state: State, job: Job, blame: Blame, reserved: set[Worker], *, idle_only: bool
) -> Worker | None:
    """The worker farthest from where the last one died, of those the least busy."""
    best: Worker | None = None
    best_rank = (0, 0)
    for node in state.nodes.values():
        for worker in node.workers.values():
            if (
                worker.state not in _REACHABLE
                or state.is_barred(worker)
                or worker in reserved
                or not job.suits(worker)
                or (idle_only and worker.lease_count)
            ):
                continue
            rank = (_nearness(blame, worker), worker.lease_count)
            if best is None or rank < best_rank:
                best, best_rank = worker, rank
    return best


def _nearness(blame: Blame, worker: Worker) -> int:
    if worker.node.hello.node_id != blame.node_id:
        return 0
    return 1 if worker.channel != blame.channel else 2
