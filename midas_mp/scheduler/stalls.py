"""Why a job cannot go on: too few workers, shared data that no node has, workers that are not free.

That its workers are at work, for this job or for one that came first, is no stall.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

from midas_mp.scheduler.records import Job, Worker
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import JobState, WorkerState


class Stall(enum.Enum):
    WORKERS = enum.auto()
    """Too few are registered."""
    SHARED_DATA = enum.auto()
    """Tasks wait, and no node that could run them has what they share."""
    RELEASING = enum.auto()
    """Tasks wait, and all who could run them are still at what does not matter any more."""


def find(state: State, job: Job, count: int) -> Stall | None:
    """What keeps the job, which has ``count`` suitable workers, from going on just now.

    A job that has started needs workers even while no task is open: the script may wait for them
    to settle how many tasks the next round has.
    """
    wanted = job.workers_min if job.state is JobState.QUEUED else 1
    if count < wanted:
        return Stall.WORKERS
    if job.state is JobState.QUEUED or not job.waiting_count:
        return None
    if job.shared is not None and next(_able(state, job), None) is None:
        return Stall.SHARED_DATA
    if not job.leased_count and all(
        worker.state is WorkerState.RELEASING for worker in _able(state, job)
    ):
        return Stall.RELEASING
    return None


def explain(state: State, job: Job, stall: Stall, count: int) -> str:
    """A sentence for the user."""
    match stall:
        case Stall.WORKERS:
            return _explain_workers(state, job, count)
        case Stall.SHARED_DATA:
            return _explain_shared_data(state, job)
        case Stall.RELEASING:  # the last there is
            return _explain_releasing(state, job)


def _able(state: State, job: Job) -> Iterator[Worker]:
    """Workers that could run the job's tasks now, if they were free."""
    nodes = state.nodes.values() if job.shared is None else job.shared.holders
    for node in nodes:
        for worker in node.workers.values():
            if job.suits(worker):
                yield worker


def _explain_shared_data(state: State, job: Job) -> str:
    shared = job.shared
    assert shared is not None
    if not shared.is_complete:
        return (
            f"waiting for shared data: {shared.received_bytes} of {shared.total_bytes} bytes "
            f"have come from the client"
        )
    count = sum(
        any(job.spec.engine in worker.engines for worker in node.workers.values())
        for node in state.nodes.values()
    )
    return f"waiting for shared data: 0 of {count} node{'s have' if count > 1 else ' has'} it"


def _explain_releasing(state: State, job: Job) -> str:
    count = sum(1 for _ in _able(state, job))
    return (
        f"waiting for a free worker: {count} worker{'s are' if count > 1 else ' is'} still at "
        f"tasks that nobody waits for any more"
    )


def _explain_workers(state: State, job: Job, count: int) -> str:
    wanted = job.workers_min if job.state is JobState.QUEUED else 1
    need = f"waiting for {wanted} worker{'s' if wanted > 1 else ''}"
    engine = job.spec.engine
    if count:
        return f"{need}: {count} registered"
    if state.worker_count:
        others = ", ".join(sorted(state.engine_counts))
        return (
            f"{need} with the engine {engine}: none of the {state.worker_count} registered "
            f"has it (they have {others})"
        )
    if state.awaited:
        return f"{need}: none is registered, {state.awaited} announced"
    if state.nodes:
        return f"{need}: of the nodes that are connected ({len(state.nodes)}) none has a worker"
    return f"{need}: no node is connected"
