"""What a node is told of a job before it can do anything for it."""

from __future__ import annotations

from midas_mp.scheduler.records import Job, Node
from midas_mp.scheduler.state import State
from midas_mp.wire.messages import BeginJob


def begin(state: State, node: Node, job: Job) -> set[str]:
    """BeginJob, once for each connection of a node; the digests of the bundles that it has."""
    digests = node.begun.get(job.id)
    if digests is None:
        digests = node.begun[job.id] = set()
        state.send(node.peer, BeginJob(job.id, job.spec))
    return digests


def prepare(state: State, node: Node, job: Job, digest: str) -> None:
    """All that the node needs to know for a task with this bundle."""
    digests = begin(state, node, job)
    if digest not in digests:
        digests.add(digest)
        bundle = job.bundles[digest]
        state.send(node.peer, bundle.message, bundle.buffers)
