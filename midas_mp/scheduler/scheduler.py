"""The one door into the mind of the host: ``Scheduler.step(events, now) -> Ready``.

Nothing else changes state, and nothing here reads a clock, a random number, a file or a socket.
A step takes any number of events, then places work once and answers once, so batching costs
nothing extra.  Called by ``host``; every message a peer may send is a row in one of two tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import midas_mp
from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.scheduler import (
    cancelling,
    clients,
    control,
    gaps,
    jobs,
    listing,
    nodes,
    quarantine,
    results,
    returning,
    shared,
    time_limits,
)
from midas_mp.scheduler.events import Event, PeerGreeted, PeerLost, Ready, Received
from midas_mp.scheduler.placement import place
from midas_mp.scheduler.recall import recall
from midas_mp.scheduler.records import BulkRecord, ClientRecord, Node
from midas_mp.scheduler.state import State
from midas_mp.scheduler.status import report, start_jobs, wake_at
from midas_mp.scheduler.stragglers import call_off_copies, copy_stragglers
from midas_mp.scheduler.suspects import patience_ends
from midas_mp.wire.framing import Frame
from midas_mp.wire.management import Control, ListJobs, ListNodes
from midas_mp.wire.messages import (
    Acknowledge,
    CancelTasks,
    DropBundles,
    EndJob,
    FetchShared,
    Goodbye,
    Message,
    NodeLeaving,
    OfferShared,
    OpenJob,
    PutBundle,
    Role,
    RunTasks,
    SharedHeld,
    SharedPart,
    TaskPrinted,
    TaskProgress,
    TaskResults,
    TaskRunning,
    TasksReturned,
    WorkerDown,
    WorkerUp,
)


@dataclass(frozen=True, slots=True)
class SchedulerStatistics:
    """The figures of one moment, and counters since the start."""

    nodes: int
    workers: int
    clients: int
    jobs: int
    tasks_waiting: int
    tasks_leased: int
    tasks_done: int
    """Results that are not acknowledged yet."""
    duplicates: int
    """Results that were dropped: not the first, of a job that has ended, or early for nothing."""
    losses: int
    """Workers that went away."""
    retries: int
    """Leases that came back because their worker went away."""
    copies: int
    """Runs that began although another worker had the lease."""


class Scheduler:
    """Decides; the shell around it listens, speaks and keeps time."""

    def __init__(
        self,
        *,
        release: str = midas_mp.__version__,
        patience_s: float = limits.CLIENT_PATIENCE_S,
        sandbox_level_min: int = 0,
    ) -> None:
        self.state: Final = State(release, patience_s)
        self.state.sandbox_level_min = sandbox_level_min

    def step(self, events: Sequence[Event], now: float) -> Ready:
        """Take in everything that happened, in order, and say what to do.

        ``now`` is in seconds, on a clock that never goes back.

        Raises:
            IllegalTransition: a bug in the scheduler; its state means nothing any more.
        """
        state = self.state
        state.now = now
        gaps.forgive(state)
        for event in events:
            try:
                self._take(event)
            except ProtocolError as error:
                self._throw_out(event.peer, str(error))
        clients.lose_patience(state)
        returning.lose_patience(state)
        if state.is_membership_new or _is_due(wake_at(state), now):
            start_jobs(state)
        if state.is_membership_new:
            shared.offer_to_newcomers(state)
        quarantine.review(state)
        place(state)
        recall_at = recall(state)
        copy_at = copy_stragglers(state)
        call_off_copies(state)
        time_limits.follow(state)
        report(state)
        state.is_membership_new = False
        return state.take_ready(
            _earliest(
                wake_at(state),
                patience_ends(state),
                clients.patience_ends(state),
                returning.patience_ends(state),
                quarantine.ends(state),
                recall_at,
                copy_at,
                gaps.look_at(state),
            )
        )

    def statistics(self) -> SchedulerStatistics:
        state = self.state
        every = state.jobs.values()
        return SchedulerStatistics(
            nodes=len(state.nodes),
            workers=state.worker_count,
            clients=len(state.clients),
            jobs=len(state.jobs),
            tasks_waiting=sum(job.waiting_count for job in every),
            tasks_leased=sum(job.leased_count for job in every),
            tasks_done=sum(job.done_count for job in every),
            duplicates=state.duplicates,
            losses=state.losses,
            retries=state.retries,
            copies=state.copying.count,
        )

    def _take(self, event: Event) -> None:
        state = self.state
        match event:
            case Received(peer, frame):
                node = state.nodes.get(peer)
                if node is not None:
                    _handler(_FROM_LAUNCHER, frame, "launcher")(state, node, frame, frame.message)
                    return
                client = state.clients.get(peer)
                if client is not None:
                    _handler(_FROM_CLIENT, frame, "client")(state, client, frame, frame.message)
                    return
                bulk = state.bulks.get(peer)
                if bulk is not None:
                    _take_bulk(state, bulk, frame)
                # None of these: it was dropped, and this was on its way.
            case PeerGreeted(peer):
                if peer in state.nodes or peer in state.clients or peer in state.bulks:
                    raise ProtocolError("greeted twice")
                _greet(state, event)
            case PeerLost(peer, reason):  # the last there is
                _lose(state, peer, reason)

    def _throw_out(self, peer: int, reason: str) -> None:
        """Part with a peer that broke the rules, telling it which."""
        self.state.send(peer, Goodbye(reason, "fault"))
        self.state.drop(peer, reason)
        _dismiss(self.state, peer, reason, is_orderly=False)


def _greet(state: State, event: PeerGreeted) -> None:
    peer, hello = event.peer, event.hello
    match hello.role:
        case Role.LAUNCHER:
            nodes.greet_launcher(state, peer, hello)
        case Role.CLIENT:
            clients.greet_client(state, event)
        case Role.BULK:
            shared.greet_bulk(state, peer, hello)
        case role:
            raise ProtocolError(f"a {role} does not greet a host")


def _lose(state: State, peer: int, reason: str) -> None:
    """A connection broke; the peer may have been dropped before."""
    if peer in state.nodes:
        nodes.leave(state, state.nodes[peer], reason, is_orderly=False)
    elif peer in state.clients:
        clients.lose_client(state, state.clients[peer], reason)
    elif peer in state.bulks:
        shared.lose_bulk(state, state.bulks[peer])


def _dismiss(state: State, peer: int, reason: str, *, is_orderly: bool) -> None:
    """Part with a peer for good, whatever it was."""
    if peer in state.nodes:
        nodes.leave(state, state.nodes[peer], reason, is_orderly=is_orderly)
    elif peer in state.clients:
        clients.dismiss_client(state, state.clients[peer], reason)
    elif peer in state.bulks:
        shared.lose_bulk(state, state.bulks[peer])


def _is_due(at: float | None, now: float) -> bool:
    return at is not None and now >= at


def _earliest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


# -- who may say what ------------------------------------------------------------------------

_Handler = Callable[[State, Any, Frame, Any], None]


def _handler(table: dict[type[Message], _Handler], frame: Frame, role: str) -> _Handler:
    handler = table.get(type(frame.message))
    if handler is None:
        raise ProtocolError(f"{type(frame.message).__name__} is not for a {role} to say")
    return handler


def _take_bulk(state: State, bulk: BulkRecord, frame: Frame) -> None:
    """Who may say what on a bulk connection depends on whose it is."""
    if isinstance(frame.message, Goodbye):
        _say_goodbye(state, bulk, frame.message)
        return
    match shared.owner_of(state, bulk):
        case Node():
            table, role = _FROM_LAUNCHER_IN_BULK, "launcher's bulk connection"
        case ClientRecord():  # the last there is
            table, role = _FROM_CLIENT_IN_BULK, "client's bulk connection"
    _handler(table, frame, role)(state, bulk, frame, frame.message)


def _say_goodbye(state: State, subject: Node | ClientRecord | BulkRecord, message: Goodbye) -> None:
    peer = subject.peer
    assert peer is not None
    _dismiss(state, peer, message.reason, is_orderly=True)
    state.drop(peer, message.reason)


_FROM_LAUNCHER: Final[dict[type[Message], _Handler]] = {
    TaskResults: results.receive_results,
    TasksReturned: results.tasks_returned,
    TaskPrinted: results.forward_output,
    TaskProgress: results.forward_output,
    TaskRunning: results.forward_output,
    WorkerUp: lambda state, node, _frame, message: nodes.worker_up(state, node, message),
    WorkerDown: lambda state, node, _frame, message: nodes.worker_down(state, node, message),
    NodeLeaving: lambda state, node, _frame, message: nodes.begin_leaving(state, node, message),
    SharedHeld: lambda state, node, _frame, message: shared.held(state, node, message),
    Goodbye: lambda state, peer, _frame, message: _say_goodbye(state, peer, message),
}

_FROM_CLIENT: Final[dict[type[Message], _Handler]] = {
    RunTasks: jobs.submit,
    Acknowledge: lambda _state, client, _frame, message: jobs.acknowledge(client, message),
    CancelTasks: lambda state, client, _frame, message: cancelling.cancel(state, client, message),
    Control: lambda state, client, _frame, message: control.obey(state, client, message),
    ListJobs: lambda state, client, _frame, _message: listing.list_jobs(state, client),
    OpenJob: lambda state, client, _frame, message: jobs.open_job(state, client, message),
    PutBundle: lambda _state, client, frame, message: jobs.put_bundle(client, frame, message),
    DropBundles: lambda _state, client, _frame, message: jobs.drop_bundles(client, message),
    OfferShared: lambda state, client, _frame, message: jobs.offer_shared(state, client, message),
    EndJob: lambda state, client, _frame, message: jobs.end_job(state, client, message),
    ListNodes: lambda state, client, _frame, _message: listing.list_nodes(state, client),
    Goodbye: lambda state, peer, _frame, message: _say_goodbye(state, peer, message),
}

_FROM_LAUNCHER_IN_BULK: Final[dict[type[Message], _Handler]] = {
    FetchShared: lambda state, bulk, _frame, message: shared.fetch(state, bulk, message),
}

_FROM_CLIENT_IN_BULK: Final[dict[type[Message], _Handler]] = {
    SharedPart: shared.take_part,
}
