"""Bounds that follow from the tasks themselves: so many times the median of their round.

What a worker is at counts as longer than all that have a result: else the quick tasks, which are
done first, would say what the others may take.  So a bound is said when at least
``limits.MEDIAN_RESULTS_MIN`` results are there, and more of them than workers at the job.
It follows the median, up and down, in steps that are worth a message.
"""

from __future__ import annotations

from typing import Final

from midas_mp import limits
from midas_mp.scheduler.records import Job, Node
from midas_mp.scheduler.state import State
from midas_mp.wire.messages import LimitTasks

STEP: Final = 1.2
"""A bound that differs by less from what was said is not said."""


def follow(state: State) -> None:
    """Say the bounds of all jobs that have results since the last time."""
    for job in state.started.values():
        times = job.times
        if times is None or not times.is_new:
            continue
        times.is_new = False
        median_us = times.median_us(_running_count(state, job))
        if median_us is None:
            continue
        bound_s = max(job.spec.timeout_factor * median_us / 1e6, limits.MEDIAN_TIMEOUT_S_MIN)
        bound_s = min(bound_s, limits.DURATION_S_MAX)
        if not bound_s / STEP <= times.bound_s <= bound_s * STEP:
            times.bound_s = bound_s
            for node in state.nodes.values():
                if job.id in node.begun:
                    tell(state, node, job)


def tell(state: State, node: Node, job: Job) -> None:
    """Say a job's bound, if it has one."""
    times = job.times
    if times is not None and times.bound_s:
        state.send(node.peer, LimitTasks(job.id, times.round, times.bound_s))


def _running_count(state: State, job: Job) -> int:
    """How many tasks of the job are under way: each worker that has any is at one."""
    return sum(
        job in worker.leases for node in state.nodes.values() for worker in node.workers.values()
    )
