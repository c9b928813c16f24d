"""Joining and leaving: launchers with their workers.

What a launcher owes the scheduler:

- When its connection ends it drops what has not begun, and forgets the jobs that none of its
  processes is at.  Its processes go on; on the next connection it says with each ``WorkerUp``
  what the process is still at, and then delivers the results that came meanwhile.
- It takes ``BeginJob`` and ``PutBundle`` of a job that it knows already for the same job.
- After ``NodeLeaving`` it says no ``WorkerUp``, and gives back what has not begun, also what was on
  its way to it.
- It says ``WorkerUp`` before anything else on a channel, and ``WorkerDown`` before the channel's
  next ``WorkerUp``.  ``WorkerDown`` for a worker that never came up means: it will not.
- On ``DropBundles`` it says ``TasksReturned`` of what it has queued with those bundles, which are
  tasks without leases.  When its connection ends it forgets all bundles.
- For each task that a ``CancelTasks`` names and its worker has, it says ``TasksReturned`` if the
  task had not begun, or its result, or ``WorkerDown`` for a worker that it had to kill.
- On ``KillWorker`` it kills that process, unless that is gone already, and says ``WorkerDown``
  without a task to blame.  On a ``Goodbye`` of the code ``killed`` it ends for good.
- On ``EndJob`` it drops what it queued for that job and kills what runs of it.  For each worker
  that held tasks of the job it answers ``TasksReturned`` with those it dropped, and ``WorkerDown``
  for a worker it had to kill.  Until every lease of the ended job was answered by one of these or
  by a result, the worker is *releasing* and gets nothing new; so it is with cancelled tasks.
"""

from __future__ import annotations

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.permissions import what_lacks
from midas_mp.scheduler import deaths, losses, pausing, returning, shared
from midas_mp.scheduler.records import Node, Worker
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import NODE, WORKER, advance
from midas_mp.wire.messages import (
    KILLED,
    PROTOCOL_VERSION,
    Goodbye,
    Hello,
    NodeLeaving,
    Refused,
    Welcome,
    WorkerDown,
    WorkerUp,
)


def greet_launcher(state: State, peer: int, hello: Hello) -> None:
    """Welcome a node, replace its older connection, or refuse one that was killed or whose name is
    taken.
    """
    if hello.node_id in state.killed.nodes:
        reason = state.killed.nodes[hello.node_id]
        state.send(peer, Refused(KILLED, reason))
        state.drop(peer, reason)
        return
    for old in list(state.nodes.values()):
        if old.hello.node_id == hello.node_id:
            reason = "replaced by a newer connection of the same node"
            state.send(old.peer, Goodbye(reason, "replaced"))
            state.drop(old.peer, reason)
            leave(state, old, reason, is_orderly=False)
    name = _free_name(state, hello)
    if name is None:
        reason = f"the name {hello.name!r} is taken by another node: choose another --name"
        state.send(peer, Refused("name_taken", reason))
        state.drop(peer, reason)
        return
    epoch = state.count_connection(hello.node_id)
    node = state.nodes[peer] = Node(peer, hello, name, epoch)
    state.awaited += node.awaited
    pausing.welcome(state, node)
    state.is_membership_new = True
    state.send(peer, Welcome(PROTOCOL_VERSION, state.release, name, epoch))
    count = hello.workers_announced
    state.notice(f"node {name} joined, {count} worker{'' if count == 1 else 's'} announced")


def worker_up(state: State, node: Node, message: WorkerUp) -> None:
    """Register a worker process, with what it is at."""
    if message.channel in node.workers:
        raise ProtocolError(f"channel {message.channel} has a worker already")
    lacking = what_lacks(message.sandbox_level, state.sandbox_level_min)
    if lacking:
        _turn_away(state, node, f"{node.name} {lacking} at this host")
        return
    _hear_of(state, node, message.channel)
    node.permits = message.permits
    if node.is_leaving:
        raise ProtocolError(f"a new worker on channel {message.channel} of a node that leaves")
    worker = node.workers[message.channel] = Worker(node, message)
    _count(state, worker)
    advance(worker, WORKER, "register", state.now, message.epoch)
    returning.take_back(state, worker, message.held)
    pausing.greet(state, worker)
    state.is_membership_new = True


def worker_down(state: State, node: Node, message: WorkerDown) -> None:
    """A worker process is gone: what it held goes back, and one task may be to blame."""
    worker = node.workers.get(message.channel)
    if worker is None:
        _hear_of(state, node, message.channel)
        state.is_membership_new = True
        state.notice(f"node {node.name}: a worker did not start: {message.cause}")
        return
    if worker.epoch != message.epoch:
        raise ProtocolError(
            f"{worker.name} is process {worker.epoch}, not {message.epoch}, of its channel"
        )
    if not node.is_leaving:
        _uncount(state, worker)
    _remove_worker(state, worker, message.cause)
    losses.give_back_all(state, worker, message)


def begin_leaving(state: State, node: Node, message: NodeLeaving) -> None:
    """Give a node nothing more; what its workers are at they may finish."""
    if node.is_leaving:
        raise ProtocolError(f"{node.name} is leaving already")
    advance(node, NODE, "drain", state.now, message.reason)
    state.awaited -= node.awaited
    node.awaited = 0
    for worker in node.workers.values():
        worker.is_leaving = True
        state.withdraw(worker)
        _uncount(state, worker)
    state.is_membership_new = True
    state.notice(
        f"node {node.name} is leaving ({message.reason}); what runs there has "
        f"{message.grace_s:g} s to end"
    )


def leave(state: State, node: Node, reason: str, *, is_orderly: bool) -> None:
    """A launcher is gone with all its workers; none of their tasks is blamed."""
    was_leaving = node.is_leaving
    if not is_orderly:
        deaths.tell_node(state, node, reason)
    advance(node, NODE, "leave" if is_orderly else "lose", state.now, reason)
    del state.nodes[node.peer]
    state.awaited -= node.awaited
    for worker in list(node.workers.values()):
        if not was_leaving:
            _uncount(state, worker)
        _remove_worker(state, worker, reason)
        losses.give_back_all(state, worker, None)
    for stray in state.strays.values():
        stray.nodes.pop(node, None)
    shared.forget_node(state, node, reason)
    pausing.part(state, node, is_orderly=is_orderly)
    state.is_membership_new = True
    state.notice(f"node {node.name} {node.state}: {reason}")


def _turn_away(state: State, node: Node, reason: str) -> None:
    state.send(node.peer, Goodbye(reason, "sandbox"))
    state.drop(node.peer, reason)
    leave(state, node, reason, is_orderly=False)


def _free_name(state: State, hello: Hello) -> str | None:
    taken = {node.name for node in state.nodes.values()}
    if hello.name not in taken:
        return hello.name
    if hello.name_is_explicit:
        return None
    number = 2
    while f"{hello.name}-{number}" in taken:
        number += 1
    return f"{hello.name}-{number}"


def _hear_of(state: State, node: Node, channel: int) -> None:
    if channel not in node.seen:
        if len(node.seen) >= limits.WORKERS_PER_NODE_MAX:
            raise ProtocolError(f"more than {limits.WORKERS_PER_NODE_MAX} workers of one node")
        node.seen.add(channel)
        if node.awaited:
            node.awaited -= 1
            state.awaited -= 1


def _remove_worker(state: State, worker: Worker, reason: str) -> None:
    advance(worker, WORKER, "lose", state.now, reason)
    state.withdraw(worker)
    del worker.node.workers[worker.channel]
    state.losses += not worker.node.is_leaving
    state.is_membership_new = True


def _count(state: State, worker: Worker) -> None:
    """It is one that work can be given to."""
    state.worker_count += 1
    for engine in worker.engines:
        count = state.engine_counts.get(engine, 0)
        state.engine_counts[engine] = count + 1
        if not count:
            state.engine_since[engine] = state.now


def _uncount(state: State, worker: Worker) -> None:
    state.worker_count -= 1
    for engine in worker.engines:
        state.engine_counts[engine] -= 1
        if not state.engine_counts[engine]:
            del state.engine_counts[engine], state.engine_since[engine]
