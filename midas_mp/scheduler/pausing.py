"""Jobs, nodes and workers that somebody has told to stand still.

A paused worker stops in the middle of what it is at; its launcher hands back what waits behind
that, and it gets nothing new.  A paused job gets no new leases, and every worker that is at one of
its tasks stands still with it; the others go on with other jobs.  What stands still keeps its lease
and loses no time: deadlines stop too.

A node is known again by its id when it comes back, so it stays paused, and so do its workers, also
when their processes are replaced; it can be let go on while it is away.  Of many that are away
those that were lost first are forgotten: most will never come back.  A job is paused until it ends.
Resuming a node resumes all its workers; a worker of a paused node can be resumed alone.
"""

from __future__ import annotations

from typing import Final

from midas_mp import limits
from midas_mp.scheduler import status
from midas_mp.scheduler.records import ClientRecord, Job, Node, Worker
from midas_mp.scheduler.state import State
from midas_mp.wire.management import PauseJob, PauseWorker

WHOLE_NODE: Final = 0
"""In the place of a worker's channel."""


def greet(state: State, worker: Worker) -> None:
    """A worker has registered that may have to stand still."""
    _settle(state, worker)


def welcome(state: State, node: Node) -> None:
    """It has joined, perhaps again."""
    state.paused.absent.pop(node.hello.node_id, None)


def part(state: State, node: Node, *, is_orderly: bool) -> None:
    """It has left, and will not come again by that id, or it was lost, and may."""
    node_id = node.hello.node_id
    if is_orderly:
        _forget(state, node_id)
    elif any(key[0] == node_id for key in state.paused.seats):
        absent = state.paused.absent
        absent[node_id] = node.name
        if len(absent) > limits.PAUSED_ABSENT_MAX:
            _forget(state, next(iter(absent)))


def set_job(state: State, job: Job, asker: ClientRecord, *, is_paused: bool) -> None:
    """It stands still, or goes on; its client is told, unless it is who asked."""
    if job.is_paused == is_paused:
        return
    job.is_paused = is_paused
    (state.paused.jobs.add if is_paused else state.paused.jobs.discard)(job)
    for node in state.nodes.values():
        if job.id in node.begun:
            state.send(node.peer, PauseJob(job.id, is_paused))
        for worker in node.workers.values():
            if job in worker.leases:
                state.settle(worker)
    if job.client is not asker:
        status.tell(state, job, "the job is paused" if is_paused else "the job goes on")


def set_node(state: State, node: Node, *, is_paused: bool) -> None:
    """All its workers stand still, or go on; whatever was said of single ones is over."""
    for channel in node.workers:
        _remember(state, node, channel, None)
    _remember(state, node, WHOLE_NODE, node.name if is_paused else None)
    _settle_all(state, node)


def set_worker(state: State, worker: Worker, *, is_paused: bool) -> None:
    """It stands still, or goes on; what was said of its whole node then holds for the others."""
    node = worker.node
    if not is_paused and (node.hello.node_id, WHOLE_NODE) in state.paused.seats:
        _remember(state, node, WHOLE_NODE, None)
        for other in node.workers.values():
            _remember(state, node, other.channel, other.name)
    _remember(state, node, worker.channel, worker.name if is_paused else None)
    _settle_all(state, node)


def release_absent(state: State, name: str) -> bool:
    """Lets go on what was paused under that name and is away, or is called otherwise since it came
    back, a node with all its workers; whether there was such a thing.
    """
    paused = state.paused
    away = {node_id for node_id, node_name in paused.absent.items() if node_name == name}
    keys = [key for key, its_name in paused.seats.items() if its_name == name or key[0] in away]
    for key in keys:
        del state.paused.seats[key]
    for node in state.nodes.values():
        _settle_all(state, node)
    return bool(keys)


def _forget(state: State, node_id: str) -> None:
    state.paused.absent.pop(node_id, None)
    for key in [key for key in state.paused.seats if key[0] == node_id]:
        del state.paused.seats[key]


def _remember(state: State, node: Node, channel: int, name: str | None) -> None:
    """By that name it is paused; None is not at all."""
    key = (node.hello.node_id, channel)
    seats = state.paused.seats
    seats.pop(key, None)
    if name is not None:
        seats[key] = name


def _settle_all(state: State, node: Node) -> None:
    for worker in node.workers.values():
        _settle(state, worker)


def _settle(state: State, worker: Worker) -> None:
    """Has a worker stand still, or go on, as it has to be."""
    seats, node_id = state.paused.seats, worker.node.hello.node_id
    is_paused = (node_id, WHOLE_NODE) in seats or (node_id, worker.channel) in seats
    if worker.is_paused != is_paused:
        worker.is_paused = is_paused
        state.send(worker.node.peer, PauseWorker(is_paused), channel=worker.channel)
        state.settle(worker)
