"""Nodes on which tasks fail that succeed elsewhere: their job gives them nothing for a while.

Evidence is only what failed, or killed its worker, on one node and then succeeded on another.  A
node is set aside when that was so ``STREAK`` times without a success of its own between them, and
of no other node half as often.  So a script that fails everywhere sets nobody aside, and neither
do accidents that can happen to anybody.

It is an affair of the job: another one may be content with the same node, and nobody can have a
node taken from others.  What runs there may end.  The node is let back when its time is over, and
then a single failure is enough; or at once, where the job has no other node any more.  A
participant that is started anew is another node.
"""

from __future__ import annotations

from typing import Final

from midas_mp import limits
from midas_mp.scheduler import status
from midas_mp.scheduler.recall import ask
from midas_mp.scheduler.records import Job, Node, Task
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import WorkerState

STREAK: Final = 5
"""Failures in a row; where one task in fifty fails by accident, that is one run in 300 million."""


def weigh(state: State, job: Job, task: Task, node: Node) -> None:
    """A task has succeeded on a node: on others it may have failed before."""
    own_id = node.hello.node_id
    job.standings.strikes.pop(own_id, None)
    blame = job.blames.get(task)
    if blame is None:
        return
    for node_id in blame.node_ids:
        if node_id != own_id:
            job.standings.strikes[node_id] = job.standings.strikes.get(node_id, 0) + 1
            _judge(state, job, node_id)


def review(state: State) -> None:
    """Let back whose time is over, and who is needed."""
    for job in state.jobs.values():
        set_aside = job.standings.set_aside
        if not set_aside:
            continue
        for node_id in [each for each, until in set_aside.items() if state.now >= until]:
            del set_aside[node_id]
        if set_aside and not _has_node_beside(state, job, ""):
            set_aside.clear()
            _say(state, job, "the nodes that were set aside are used again: there is no other")


def ends(state: State) -> float | None:
    """When ``review`` has something to do next."""
    every = [until for job in state.jobs.values() for until in job.standings.set_aside.values()]
    return min(every, default=None)


def _judge(state: State, job: Job, node_id: str) -> None:
    standings = job.standings
    count = standings.strikes[node_id]
    others = max((n for other, n in standings.strikes.items() if other != node_id), default=0)
    node = state.node_of(node_id)
    if count < STREAK or 2 * others > count or node is None or node_id in standings.set_aside:
        return
    if not _has_node_beside(state, job, node_id):
        return
    standings.strikes[node_id] = STREAK - 1
    standings.set_aside[node_id] = state.now + limits.QUARANTINE_S
    for worker in node.workers.values():
        is_laden = worker.state is WorkerState.BUSY and worker.lease_count > 1
        if is_laden and job in worker.leases and not worker.is_recalling:
            ask(state, worker, worker.lease_count - 1)
    _say(
        state,
        job,
        f"node {node.name} is set aside for {limits.QUARANTINE_S:g} s: {count} tasks in a row "
        f"failed there and succeeded elsewhere",
    )


def _has_node_beside(state: State, job: Job, node_id: str) -> bool:
    """Whether another node, which is not set aside, has a worker for the job."""
    return any(
        job.spec.engine in worker.engines and not state.is_barred(worker)
        for node in state.nodes.values()
        if node.hello.node_id != node_id and node.hello.node_id not in job.standings.set_aside
        for worker in node.workers.values()
    )


def _say(state: State, job: Job, sentence: str) -> None:
    status.tell(state, job, sentence)
    state.notice(f"job {job.id}: {sentence}")
