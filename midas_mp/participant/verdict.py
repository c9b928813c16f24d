"""Whom a worker's end is put down to: nobody, the task that it was at, or that task for sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from midas_mp.participant.call_batch import CallBatch
from midas_mp.participant.node_job import NodeJob
from midas_mp.participant.postmortem import Bounds, broke_down, own_failure
from midas_mp.participant.process import ProcessEnd
from midas_mp.participant.seat import Seat
from midas_mp.participant.zygote_messages import WORKER_SPOILED
from midas_mp.wire.messages import Failure, TaskRef


class FailedCall(NamedTuple):
    """By its own doing: that is its result, and nobody need try it again to find out."""

    batch: CallBatch
    """Of this call alone, without its payload."""
    failure: Failure
    started_ns: int
    """CLOCK_MONOTONIC."""


def verdict(
    end: ProcessEnd,
    seat: Seat,
    jobs: Mapping[str, NodeJob],
    *,
    deadline_s: float,
    memory_bytes: int,
) -> FailedCall | TaskRef | None:
    """Which task was running, and whether it has failed by that.

    Args:
        end: of the process.
        seat: where it sat, with what it had in hand.
        jobs: what the node knows of jobs; one may have ended by now.
        deadline_s: bound of each call; 0 is none.
        memory_bytes: what the node grants a Lua state.

    Returns:
        The task to name as the one that was running, or what it came to; None if there was none,
        or none is to blame.
    """
    last = end.overdue or end.running
    if last is None:
        # of what came before the task: its job or its script; nobody else can be to blame
        return seat.next_in_hand() if broke_down(end) else None
    found = seat.task_of(last)
    if found is None or end.exit.exit_code == WORKER_SPOILED:
        return None
    order, call = found
    job = jobs.get(order.job)
    if job is None:
        bounds = Bounds(deadline_s, memory_bytes)
    else:
        bounds = Bounds(deadline_s, job.memory_bytes(memory_bytes), job.spec.timeout_factor)
    failure = own_failure(end, bounds)
    if failure is None:
        return TaskRef(order.job, order.round, call.index)
    return FailedCall(CallBatch(order, [call], []), failure, last.started_ns)
