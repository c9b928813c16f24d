"""What a node is told of a job before it can do anything for it."""

from __future__ import annotations

from midas_mp import limits
from midas_mp.scheduler import time_limits
from midas_mp.scheduler.records import Job, Node
from midas_mp.scheduler.shelf import Shelf, portions
from midas_mp.scheduler.state import State
from midas_mp.wire import framing
from midas_mp.wire.management import PauseJob
from midas_mp.wire.messages import BeginJob, DropBundles


def begin(state: State, node: Node, job: Job) -> Shelf:
    """BeginJob, once for each connection of a node; the bundles that it has."""
    told = node.begun.get(job.id)
    if told is None:
        told = node.begun[job.id] = Shelf()
        state.send(node.peer, BeginJob(job.id, job.spec))
        time_limits.tell(state, node, job)
        if job.is_paused:
            state.send(node.peer, PauseJob(job.id, is_paused=True))
    return told


def prepare(state: State, node: Node, job: Job, digest: str) -> None:
    """All that the node needs to know for a task with this bundle, which is leased there."""
    told = begin(state, node, job)
    if told.use(digest):
        return
    bundle = job.bundles.frames[digest]
    told.put(digest, framing.size_bytes(bundle.buffers))
    state.send(node.peer, bundle.message, bundle.buffers)
    for gone in portions(told.trim(limits.BUNDLES_BYTES_MAX, lambda: _needed(node, job))):
        state.send(node.peer, DropBundles(job.id, gone))


def _needed(node: Node, job: Job) -> set[str]:
    """The bundles of the tasks that the node has to do, with a lease or as a copy."""
    leased = [task for worker in node.workers.values() for task in worker.leases.get(job, ())]
    copied = [
        task for task, copies in job.copies.items() if any(worker.node is node for worker in copies)
    ]
    return {task.batch.digest for task in (*leased, *copied)}
