"""Jobs, nodes and workers that somebody has killed: they end in the middle of whatever they are at.

Nothing of it counts against anybody: a task that was running there is tried elsewhere as if it had
only waited.  A worker is replaced by another process at once.  A job and a node are gone for good:
a client or a participant that did not hear it is told when it comes back.
"""

from __future__ import annotations

from collections.abc import Iterable

from midas_mp import limits
from midas_mp.scheduler import jobs, nodes, status
from midas_mp.scheduler.records import Job, Node, Worker, jobs_at
from midas_mp.scheduler.state import State
from midas_mp.wire.management import KillWorker
from midas_mp.wire.messages import KILLED, Goodbye, JobEnded


def kill_job(state: State, job: Job, reason: str) -> None:
    """Drop it, and tell its client, now or when it comes back."""
    _remember(state.killed.jobs, job.id, reason)
    state.tell(job, JobEnded(job.id, KILLED, reason))
    job.client.refused.add(job.id)  # what it says meanwhile crosses that
    jobs.end(state, job, reason)


def kill_node(state: State, node: Node, reason: str) -> None:
    """Send it away for good: its launcher ends, and all its workers with it."""
    _warn(state, node.workers.values(), f"{node.label} was {reason}")
    _remember(state.killed.nodes, node.hello.node_id, reason)
    state.send(node.peer, Goodbye(reason, KILLED))
    state.drop(node.peer, reason)
    nodes.leave(state, node, reason, is_orderly=True)


def kill_worker(state: State, worker: Worker, reason: str) -> None:
    """Its launcher kills it, and says so: then what it had goes elsewhere."""
    _warn(state, [worker], f"{worker.label} was {reason}")
    state.send(worker.node.peer, KillWorker(worker.epoch, reason), channel=worker.channel)
    state.notice(f"{worker.label} {reason}")


def _warn(state: State, workers: Iterable[Worker], what: str) -> None:
    """Tell whose tasks these have."""
    for job in jobs_at(workers):
        status.tell(state, job, f"{what}; what it was at runs again")


def _remember(killed: dict[str, str], name: str, reason: str) -> None:
    killed[name] = reason
    if len(killed) > limits.KILLED_MAX:
        del killed[next(iter(killed))]
