"""Clients come, go, and come back.

A client whose connection broke is *away*: its jobs go on, and start, without it; what they have
to say waits.  Each job waits ``State.patience_s`` for its client to open it again.  A
client that says goodbye, or that breaks the rules, is not waited for.
"""

from __future__ import annotations

from operator import attrgetter

from midas_mp import limits
from midas_mp.scheduler import jobs, shared
from midas_mp.scheduler.events import PeerGreeted
from midas_mp.scheduler.records import ClientRecord
from midas_mp.scheduler.state import State
from midas_mp.wire.messages import PROTOCOL_VERSION, Goodbye, Welcome

REPLACED = "replaced by a newer connection of the same client"


def greet_client(state: State, event: PeerGreeted) -> None:
    """Welcome a client, also one that comes back; several may have the same name."""
    peer, hello = event.peer, event.hello
    client = state.client_of(hello.node_id)
    if client is None:
        client = ClientRecord(peer, hello.node_id, hello.name)
    else:
        if client.peer is not None:
            state.send(client.peer, Goodbye(REPLACED, "replaced"))
            state.drop(client.peer, REPLACED)
            _go_away(state, client)
        del state.away[client.node_id]
        client.peer = peer
        client.name = hello.name
        state.notice(f"{client.name} is back")
    client.token, client.may_manage = event.token, event.may_manage
    state.clients[peer] = client
    epoch = state.count_connection(hello.node_id)
    state.send(peer, Welcome(PROTOCOL_VERSION, state.release, hello.name, epoch))


def lose_client(state: State, client: ClientRecord, reason: str) -> None:
    """Its connection broke: it may come back for its jobs, if it has any."""
    _go_away(state, client)
    if client.jobs:
        count = len(client.jobs)
        state.notice(
            f"{client.name} is away ({reason}); its {count} job{'s' if count > 1 else ''} "
            f"will wait {state.patience_s:g} s for it"
        )
    else:
        del state.away[client.node_id]
        shared.drop_bulks_of(state, client.node_id, reason)


def dismiss_client(state: State, client: ClientRecord, reason: str) -> None:
    """It is gone for good, and its jobs with it."""
    assert client.peer is not None
    del state.clients[client.peer]
    for job in list(client.jobs.values()):
        jobs.end(state, job, reason)
    shared.drop_bulks_of(state, client.node_id, reason)


def lose_patience(state: State) -> None:
    """End jobs whose clients stayed away, and where too much is kept for such clients."""
    away = [job for job in state.jobs.values() if job.away_until is not None]
    if not away:
        return
    away.sort(key=attrgetter("away_until"))
    count, kept_bytes = len(away), sum(job.kept_bytes for job in away)
    for job in away:
        if count > limits.AWAY_JOBS_MAX or kept_bytes > limits.AWAY_BYTES_MAX:
            reason = (
                f"its client is away for longest, and the host keeps no more than "
                f"{limits.AWAY_JOBS_MAX} jobs and {limits.AWAY_BYTES_MAX // limits.MB} MB for "
                f"clients that are away"
            )
        elif job.away_until is not None and state.now >= job.away_until:
            reason = f"its client did not come back within {state.patience_s:g} s"
        else:
            return
        count -= 1
        kept_bytes -= job.kept_bytes
        jobs.end(state, job, reason)


def patience_ends(state: State) -> float | None:
    """When ``lose_patience`` has something to do next."""
    ends = [job.away_until for job in state.jobs.values() if job.away_until is not None]
    return min(ends, default=None)


def _go_away(state: State, client: ClientRecord) -> None:
    """Nothing can be said to it for now."""
    assert client.peer is not None
    del state.clients[client.peer]
    client.peer = None
    client.refused.clear()
    state.away[client.node_id] = client
    for job in client.jobs.values():
        job.peer = None
        if job.away_until is None:
            job.away_until = state.now + state.patience_s
