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
    PAUSED = enum.auto()
    """Somebody has paused the job."""
    WORKERS = enum.auto()
    """Too few are registered."""
    SHARED_DATA = enum.auto()
    """Tasks wait, and no node that could run them has what they share."""
    RELEASING = enum.auto()
    """Tasks wait, and all who could run them are still at what does not matter any more."""
    WORKERS_PAUSED = enum.auto()
    """Who is at its tasks stands still, and so do all who could run those that wait."""


def find(state: State, job: Job, count: int) -> Stall | None:
    """What keeps the job, which has ``count`` suitable workers, from going on just now.

    A job that has started needs workers even while no task is open: the script may wait for them
    to settle how many tasks the next round has.
    """
    if job.is_paused and job.task_count > job.done_count:
        return Stall.PAUSED
    wanted = job.workers_min if job.state is JobState.QUEUED else 1
    if count < wanted:
        return Stall.WORKERS
    if state.paused and _is_held_up(state, job):
        return Stall.WORKERS_PAUSED
    if job.state is JobState.STARTED and job.waiting_count:
        return _find_among_workers(state, job)
    return None


def _find_among_workers(state: State, job: Job) -> Stall | None:
    """What keeps the tasks that wait from a worker, of whom there are enough."""
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
        case Stall.PAUSED:
            return f"paused; 'midas resume {job.id}' lets it go on"
        case Stall.WORKERS_PAUSED:
            return "waiting for workers that are paused; 'midas resume' lets them go on"
        case Stall.WORKERS:
            return _explain_workers(state, job, count)
        case Stall.SHARED_DATA:
            return _explain_shared_data(state, job)
        case Stall.RELEASING:  # the last there is
            return _explain_releasing(state, job)


def _is_held_up(state: State, job: Job) -> bool:
    """Whether nothing of a job goes on, or can begin, because workers stand still."""
    able = list(_able(state, job))
    is_at_work = any(_is_at(worker, job) and not worker.is_still for worker in able)
    if (
        job.task_count == job.done_count
        or is_at_work
        or not any(worker.is_still for worker in able)
    ):
        return False
    return not job.waiting_count or all(
        worker.is_still or worker.state is WorkerState.RELEASING for worker in able
    )


def _is_at(worker: Worker, job: Job) -> bool:
    """With a lease, or with a copy that may be first."""
    return job in worker.leases or any(
        could_count and ref.job == job.id for ref, could_count in worker.orphans.items()
    )


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
        if node.hello.node_id not in job.standings.set_aside
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
    return f"{need}: no node is connected; 'midas participant' lends one"
