"""Who may do what; the sentences are in ``transcripts/control.txt``."""

from __future__ import annotations

from typing import Any

import pytest

from midas_mp.scheduler.events import PeerGreeted, PeerLost
from midas_mp.wire.management import Action, Control, ControlAnswered, ControlResult
from midas_mp.wire.messages import PROTOCOL_VERSION, Hello, Role


class Visitor:
    """A client that came in by a token, or needed none."""

    def __init__(self, cluster: Any, peer: int, token: str, *, may_manage: bool) -> None:
        self._cluster = cluster
        self.peer = peer
        self._rights = (token, may_manage)
        self.greet()

    def greet(self) -> None:
        hello = Hello(PROTOCOL_VERSION, Role.CLIENT, "1", f"{self.peer}", f"client{self.peer}")
        self._cluster.step(PeerGreeted(self.peer, hello, *self._rights))

    def lose(self) -> None:
        self._cluster.step(PeerLost(self.peer, "reset"))

    def ask(self, action: Action, target: str) -> ControlResult:
        self._cluster.say(self.peer, Control(action, target))
        (answer,) = self._cluster.read_only(self.peer, ControlAnswered)
        return answer.result


@pytest.fixture
def owner(cluster: Any) -> Visitor:
    """With a job called job, and a worker called lab-001."""
    visitor = Visitor(cluster, 100, "token1", may_manage=False)
    cluster.node(1, name="lab")
    cluster.open(visitor.peer)
    return visitor


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("target", ["lab", "lab-001", "job"])
def test_somebody_with_another_token_has_no_say(
    cluster: Any, owner: Visitor, action: Action, target: str
) -> None:
    assert owner.peer
    stranger = Visitor(cluster, 101, "token2", may_manage=False)
    assert stranger.ask(action, target) is ControlResult.FORBIDDEN
    assert not cluster.state.paused
    assert "job" in cluster.state.jobs
    assert len(cluster.state.nodes) == 1


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("target", ["lab", "lab-001", "job"])
@pytest.mark.parametrize("token", ["", "token3"])
def test_an_operator_has_it_with_a_token_or_without(
    cluster: Any, owner: Visitor, action: Action, target: str, token: str
) -> None:
    assert owner.peer
    operator = Visitor(cluster, 101, token, may_manage=True)
    assert operator.ask(action, target) is ControlResult.DONE


@pytest.mark.parametrize("action", Action)
def test_the_owner_of_a_job_may_do_everything_to_it_and_nothing_to_nodes(
    owner: Visitor, action: Action
) -> None:
    assert owner.ask(action, "lab") is ControlResult.FORBIDDEN
    assert owner.ask(action, "lab-001") is ControlResult.FORBIDDEN
    assert owner.ask(action, "job") is ControlResult.DONE


def test_who_has_no_token_owns_nothing_of_others_who_have_none(cluster: Any) -> None:
    """There are none such by today's rules, which say that who needs no token may do all."""
    first = Visitor(cluster, 100, "", may_manage=False)
    cluster.open(first.peer)
    second = Visitor(cluster, 101, "", may_manage=False)
    assert second.ask(Action.KILL, "job") is ControlResult.FORBIDDEN
    assert first.ask(Action.KILL, "job") is ControlResult.DONE


def test_a_client_that_comes_back_has_the_rights_that_it_came_back_with(
    cluster: Any, owner: Visitor
) -> None:
    stranger = Visitor(cluster, 101, "token2", may_manage=True)
    cluster.open(stranger.peer, "its")
    stranger.lose()
    stranger._rights = ("token1", False)
    stranger.greet()
    assert stranger.ask(Action.PAUSE, "lab") is ControlResult.FORBIDDEN
    assert owner.ask(Action.PAUSE, "its") is ControlResult.DONE


def test_a_job_goes_before_a_node_of_its_name(cluster: Any) -> None:
    root = Visitor(cluster, 100, "", may_manage=True)
    cluster.node(1, name="same")
    cluster.open(root.peer, "same")
    assert root.ask(Action.KILL, "same") is ControlResult.DONE
    assert not cluster.state.jobs
    assert root.ask(Action.KILL, "same") is ControlResult.DONE
    assert not cluster.state.nodes


def test_the_beginning_of_a_jobs_id_will_do_where_no_other_begins_so(cluster: Any) -> None:
    operator = Visitor(cluster, 7, "", may_manage=True)
    for name in ("da7b11", "da7c22"):
        cluster.open(operator.peer, name)
    for target in ("da7", "da7b1x"):
        assert operator.ask(Action.KILL, target) is ControlResult.UNKNOWN
    assert operator.ask(Action.KILL, "da7b") is ControlResult.DONE
    assert list(cluster.state.jobs) == ["da7c22"]
    cluster.open(operator.peer, "da7c33")
    assert operator.ask(Action.KILL, "da7c") is ControlResult.UNKNOWN
