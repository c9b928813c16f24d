"""The data that all tasks of a round share: from its client to the nodes that work on the job.

    client ──OfferShared──▸ host              "this is the data of round 3, so many bytes"
           ◂─FetchShared──                    "send it, from this byte on"
           ══SharedPart═══▸                   on the client's bulk connection
                          ──OfferShared──▸ launcher     once all of it is here
                          ◂─FetchShared──               on the launcher's bulk connection
                          ══SharedPart═══▸              (``host`` streams it: a Transfer)
           ◂─SharedHeld──  ◂─SharedHeld──               so much of it has come
           ◂─SharedHeld──                               none of it any more: the node has gone

Only nodes that hold all of it get leases of the job.  What a worker brought along from an earlier
connection it may keep: its process has the data.  A new round's data takes the place of the old
one's everywhere at once; who is told of an old round hears about something that is over.
"""

from __future__ import annotations

from typing import Final

from midas_mp.errors import ProtocolError
from midas_mp.scheduler import briefing
from midas_mp.scheduler.events import Transfer
from midas_mp.scheduler.records import BulkRecord, ClientRecord, Job, Node
from midas_mp.scheduler.shared_round import SharedRound
from midas_mp.scheduler.state import State
from midas_mp.wire.framing import Frame, size_bytes
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    FetchShared,
    Goodbye,
    Hello,
    OfferShared,
    Refused,
    SharedHeld,
    SharedPart,
    Welcome,
)

_REASON_CHARS_MAX: Final = 1_000
"""Of what a peer gave as its reason, where it stands in a sentence of the host's."""

# -- bulk connections ------------------------------------------------------------------------


def greet_bulk(state: State, peer: int, hello: Hello) -> None:
    """Welcome the second connection of somebody who has greeted on a first one; it has but one."""
    owner = state.node_of(hello.node_id) or state.client_of(hello.node_id)
    if owner is None or owner.peer is None:
        reason = "a bulk connection comes after the first one of its node, which is not connected"
        state.send(peer, Refused("unknown_node", reason))
        state.drop(peer, reason)
        return
    for old in _bulks_of(state, hello.node_id):
        _drop_bulk(state, old, "replaced by a newer bulk connection of the same node")
        lose_bulk(state, old)
    state.bulks[peer] = BulkRecord(peer, hello.node_id)
    state.send(peer, Welcome(PROTOCOL_VERSION, state.release, owner.name, 0))


def lose_bulk(state: State, bulk: BulkRecord) -> None:
    """A bulk connection is gone; what a client was sending over it is asked for again."""
    del state.bulks[bulk.peer]
    client = state.client_of(bulk.node_id)
    for job in client.jobs.values() if client is not None else ():
        if job.shared is not None and not job.shared.is_complete:
            _ask(state, job, job.shared)


def drop_bulks_of(state: State, node_id: str, reason: str) -> None:
    """Part with the bulk connections of somebody whom the caller has taken off the tables."""
    for bulk in _bulks_of(state, node_id):
        _drop_bulk(state, bulk, f"its first connection has ended: {reason[:_REASON_CHARS_MAX]}")
        del state.bulks[bulk.peer]


def _bulks_of(state: State, node_id: str) -> list[BulkRecord]:
    return [bulk for bulk in state.bulks.values() if bulk.node_id == node_id]


def _drop_bulk(state: State, bulk: BulkRecord, reason: str) -> None:
    """Hang up; the caller sees to the records."""
    state.send(bulk.peer, Goodbye(reason))
    state.drop(bulk.peer, reason)


# -- from the client -------------------------------------------------------------------------


def offer(state: State, job: Job, message: OfferShared) -> None:
    """A round has shared data: ask for what of it is not here.

    Raises:
        ProtocolError: the rounds, or the offers of one round, contradict each other.
    """
    shared = job.shared
    if shared is None or shared.round < message.round:
        if message.round in job.rounds:
            raise ProtocolError(
                f"job {job.id}: tasks of round {message.round} came before their shared data"
            )
        free(state, job)
        shared = job.shared = SharedRound(message.round, message.sizes, state.now)
        if shared.is_complete:  # of no bytes
            _offer_to_nodes(state, job, shared)
    elif shared.round != message.round or shared.sizes != message.sizes:
        raise ProtocolError(
            f"job {job.id}: shared data of round {message.round} offered, "
            f"but that of round {shared.round} is here"
        )
    _ask(state, job, shared)


def take_part(state: State, bulk: BulkRecord, frame: Frame, message: SharedPart) -> None:
    """Keep a part of a client's data.

    What was asked for again can cross what was on its way.  So some of a part may be here already;
    and of a job that was given up and opened anew, the rest of the first attempt may come first.
    Then the connection is of no use, and what is missing is asked for on the next one.

    Raises:
        ProtocolError: there is more than was offered.
    """
    client = state.client_of(bulk.node_id)
    job = client.jobs.get(message.job) if client is not None else None
    shared = job.shared if job is not None else None
    if job is None or shared is None or shared.round != message.round:
        return
    size = size_bytes(frame.buffers)
    known = shared.received_bytes - message.offset
    if message.offset + size > shared.total_bytes:
        raise ProtocolError(
            f"job {job.id}: shared data up to byte {message.offset + size}, "
            f"but there are {shared.total_bytes}"
        )
    if known < 0:
        reason = f"job {job.id}: {-known} bytes of shared data are missing before a part"
        _drop_bulk(state, bulk, reason)
        lose_bulk(state, bulk)
    elif known < size:
        part = frame.buffers[0]
        if known or isinstance(part, memoryview):
            part = memoryview(part).cast("B")[known:]
        shared.add(part)
        shared.moved_at = state.now
        if shared.is_complete:
            _offer_to_nodes(state, job, shared)


def free(state: State, job: Job) -> None:
    """The data of a job's round is of no use any more."""
    shared, job.shared = job.shared, None
    if shared is not None and shared.offered:
        state.stop(job.id, shared.round)


def _ask(state: State, job: Job, shared: SharedRound) -> None:
    state.tell(job, FetchShared(job.id, shared.round, shared.received_bytes))


# -- to the nodes ----------------------------------------------------------------------------


def offer_to_newcomers(state: State) -> None:
    """Tell nodes that could work on a job by now of the data that they need."""
    for job in state.jobs.values():
        if job.shared is not None and job.shared.is_complete:
            _offer_to_nodes(state, job, job.shared)


def _offer_to_nodes(state: State, job: Job, shared: SharedRound) -> None:
    engine = job.spec.engine
    for node in state.nodes.values():
        if node not in shared.offered and any(
            engine in worker.engines for worker in node.workers.values()
        ):
            shared.offered[node] = 0
            shared.moved_at = state.now
            briefing.begin(state, node, job)
            state.send(node.peer, OfferShared(job.id, shared.round, shared.sizes))


def fetch(state: State, bulk: BulkRecord, message: FetchShared) -> None:
    """A launcher wants the data from a byte on; it may ask for what is over, or ends here."""
    job = state.jobs.get(message.job)
    shared = job.shared if job is not None else None
    if (
        shared is not None
        and shared.is_complete
        and shared.round == message.round
        and message.offset < shared.total_bytes
    ):
        state.transfer(
            Transfer(bulk.peer, message.job, message.round, message.offset, shared.parts)
        )


def held(state: State, node: Node, message: SharedHeld) -> None:
    """A launcher says how much it has; with all of it, its workers can have tasks."""
    job = state.jobs.get(message.job)
    shared = job.shared if job is not None else None
    if job is None or shared is None or shared.round != message.round:
        return
    if message.received_bytes > shared.total_bytes:
        raise ProtocolError(
            f"job {job.id}: {message.received_bytes} bytes of shared data are held, "
            f"but there are {shared.total_bytes}"
        )
    if node not in shared.offered:
        return
    if message.received_bytes > shared.offered[node]:
        shared.moved_at = state.now
    shared.offered[node] = message.received_bytes
    if message.received_bytes == shared.total_bytes:
        shared.holders[node] = None
    state.tell(job, SharedHeld(job.id, shared.round, node.name, message.received_bytes))


def forget_node(state: State, node: Node, reason: str) -> None:
    """A node is gone with its copies; if it comes back, it says again what it holds."""
    drop_bulks_of(state, node.hello.node_id, reason)
    for job in state.jobs.values():
        shared = job.shared
        if shared is not None:
            shared.holders.pop(node, None)
            if shared.offered.pop(node, 0):
                state.tell(job, SharedHeld(job.id, shared.round, node.name, 0))


def owner_of(state: State, bulk: BulkRecord) -> Node | ClientRecord:
    """Whose second connection it is: a client may be away, a node is there."""
    owner = state.node_of(bulk.node_id) or state.client_of(bulk.node_id)
    assert owner is not None
    return owner
