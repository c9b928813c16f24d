"""What people ask of running work: that it stands still, goes on, or ends.

A client may do that to its own jobs, which are also those of whoever else has the same token.  To
what belongs to others, to nodes and to workers may do it who comes as the host's own user, or with
a token for operators.
"""

from __future__ import annotations

from typing import Final

from midas_mp.scheduler import killing, pausing
from midas_mp.scheduler.records import ClientRecord, Job, Node, Worker
from midas_mp.scheduler.state import State
from midas_mp.wire.management import Action, Control, ControlAnswered, ControlResult

_Target = Job | Node | Worker

PREFIX_CHARS_MIN: Final = 4
"""Of the id of a job, if no other begins so."""

_DONE: Final = {
    Action.PAUSE: "is paused",
    Action.RESUME: "goes on",
    Action.KILL: "is killed",
}


def obey(state: State, client: ClientRecord, message: Control) -> None:
    """Do it, if it may be done, and say what became of it."""
    assert client.peer is not None
    result, sentence = _judge(state, client, message)
    if result is ControlResult.DONE and message.action is not Action.KILL:  # that tells so itself
        state.notice(f"{sentence} (asked by {client.label})")
    state.send(client.peer, ControlAnswered(result, sentence))


def _judge(state: State, client: ClientRecord, message: Control) -> tuple[ControlResult, str]:
    action, name = message.action, message.target
    target = _find(state, name)
    if target is not None:
        if not _may(client, target):
            return ControlResult.FORBIDDEN, _refusal(action, target)
        _do(state, client, action, target)
        return ControlResult.DONE, f"{target.label} {_DONE[action]}"
    if action is Action.RESUME and client.may_manage and pausing.release_absent(state, name):
        return ControlResult.DONE, f"{name}, which is away, goes on"
    return ControlResult.UNKNOWN, f"no job, node or worker here is called {name}"


def _find(state: State, name: str) -> _Target | None:
    """Jobs go before nodes, nodes before workers, and a job of whose id that is the beginning comes
    last.
    """
    if name in state.jobs:
        return state.jobs[name]
    nodes = list(state.nodes.values())
    workers = [worker for node in nodes for worker in node.workers.values()]
    every: list[Node | Worker] = [*nodes, *workers]
    named = next((each for each in every if each.name == name), None)
    if named is not None or len(name) < PREFIX_CHARS_MIN:
        return named
    jobs = [job for job in state.jobs.values() if job.id.startswith(name)]
    return jobs[0] if len(jobs) == 1 else None


def _may(client: ClientRecord, target: _Target) -> bool:
    if client.may_manage:
        return True
    if not isinstance(target, Job):
        return False
    owner = target.client
    return owner is client or (bool(client.token) and client.token == owner.token)


def _refusal(action: Action, target: _Target) -> str:
    return (
        f"only the host's own user may {action.name.lower()} {target.label}, or who has a token "
        "for operators: 'midas token new --for operators' on the host's machine makes one"
    )


def _do(state: State, client: ClientRecord, action: Action, target: _Target) -> None:
    if action is Action.KILL:
        _kill(state, target, f"killed by {client.label}")
        return
    is_paused = action is Action.PAUSE
    match target:
        case Job():
            pausing.set_job(state, target, client, is_paused=is_paused)
        case Node():
            pausing.set_node(state, target, is_paused=is_paused)
        case Worker():  # the last there is
            pausing.set_worker(state, target, is_paused=is_paused)


def _kill(state: State, target: _Target, reason: str) -> None:
    match target:
        case Job():
            killing.kill_job(state, target, reason)
        case Node():
            killing.kill_node(state, target, reason)
        case Worker():  # the last there is
            killing.kill_worker(state, target, reason)
