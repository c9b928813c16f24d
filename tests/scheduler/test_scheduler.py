"""The door itself."""

from __future__ import annotations

from typing import Any

import pytest

from midas_mp.errors import ProtocolError
from midas_mp.scheduler.events import PeerGreeted, Received
from midas_mp.scheduler.scheduler import SchedulerStatistics
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    BeginJob,
    EndJob,
    Goodbye,
    JobSpec,
    JobStarted,
    OpenJob,
    Outcome,
    PutBundle,
    Role,
    RunTasks,
    Status,
    TaskPrinted,
    TaskResults,
    Welcome,
    WorkerUp,
)

DIGEST = "d" * 64


# -- the door --------------------------------------------------------------------------------


def test_one_task_from_greeting_to_acknowledgement(cluster: Any) -> None:
    client = cluster.client()
    job = cluster.open(client)
    node = cluster.node(1)
    cluster.submit(client, job, [0])
    assert [type(message) for message in cluster.read(node)] == [
        Welcome,
        BeginJob,
        PutBundle,
        RunTasks,
    ]
    (ref,) = cluster.leased(node)
    cluster.heard.clear()
    cluster.finish(node, 1, ref)
    (frame,) = cluster.heard[client]
    assert frame.message == TaskResults(
        "job", 0, "launcher2-001", [Outcome(0, 0, Status.OK, 1_000)]
    )
    assert list(frame.buffers) == [b"result"]
    assert cluster.scheduler.statistics().tasks_done == 1
    cluster.acknowledge(client, job, 0)
    assert cluster.scheduler.statistics() == SchedulerStatistics(
        nodes=1,
        workers=1,
        clients=1,
        jobs=1,
        tasks_waiting=0,
        tasks_leased=0,
        tasks_done=0,
        duplicates=0,
        losses=0,
        retries=0,
        copies=0,
    )
    cluster.say(client, EndJob(job))
    assert cluster.read_only(node, EndJob) == [EndJob(job, "its client is done with it")]


def test_many_events_make_one_answer_to_each_peer(cluster: Any) -> None:
    client = cluster.client()
    node = cluster.greet()
    up = [Received(node, Frame(0, WorkerUp(c, f"w{c}", 0, 3, ["luajit"]))) for c in (1, 2, 3)]
    opening = Received(client, Frame(0, OpenJob("job", "", JobSpec())))
    ready = cluster.step(opening, *up)
    assert [peer for peer, _ in ready.outbox] == [client]
    assert JobStarted("job", 3) in cluster.read(client)


def test_a_peer_that_breaks_the_rules_is_told_and_dropped(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    for peer, role in ((client, "client"), (node, "launcher")):
        cluster.heard.clear()
        ready = cluster.say(peer, JobStarted("job", 1))
        reason = f"JobStarted is not for a {role} to say"
        assert ready.drops == [(peer, reason)]
        assert cluster.read(peer) == [Goodbye(reason, "fault")]
    assert not cluster.state.clients
    assert not cluster.state.nodes


def test_what_a_dropped_peer_had_on_its_way_is_ignored(cluster: Any) -> None:
    client = cluster.client()
    cluster.say(client, JobStarted("job", 1))
    assert cluster.say(client, OpenJob("job", "", JobSpec())).outbox == []
    assert cluster.lose(client).outbox == []


def test_greeting_twice_and_greeting_as_a_worker_are_refused(cluster: Any) -> None:
    node = cluster.greet()
    cluster.step(PeerGreeted(node, cluster.state.nodes[node].hello))
    assert cluster.dropped[node] == "greeted twice"
    stranger = cluster.greet(Role.WORKER)
    assert cluster.dropped[stranger] == "a worker does not greet a host"


def test_goodbye_ends_a_connection_in_order(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    assert cluster.say(node, Goodbye("done for today")).drops == [(node, "done for today")]
    assert cluster.notices[-1] == "node launcher2 left: done for today"
    cluster.say(client, Goodbye("bye"))
    assert not cluster.state.jobs


def test_printed_text_is_forwarded_unopened(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.heard.clear()
    message = TaskPrinted(job, 0, 0, "w")
    cluster.say(node, message, [b"\xff hello"], 1)
    assert cluster.heard[client] == [Frame(0, message, [b"\xff hello"])]


def test_a_protocol_error_is_no_exception_of_the_step(cluster: Any) -> None:
    client = cluster.client()
    try:
        cluster.submit(client, "nothing", [0])
    except ProtocolError:  # pragma: no cover - the point of the test
        pytest.fail("the shell must not see it")
    assert cluster.dropped[client] == "no open job nothing"
