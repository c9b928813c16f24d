from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.scheduler.events import Received, Transfer
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    BeginJob,
    EndJob,
    FetchShared,
    Goodbye,
    OfferShared,
    RecallTasks,
    Refused,
    Role,
    RunTasks,
    SharedHeld,
    SharedPart,
    TaskRef,
    TasksReturned,
    Welcome,
)

DATA = [b"twelve bytes", b"and ten mo"]
SIZES = [12, 10]
TOTAL = 22


def bulk(cluster: Any, owner: int) -> int:
    """The second connection of a node or a client."""
    state = cluster.state
    node_id = (
        state.nodes[owner].hello.node_id if owner in state.nodes else state.clients[owner].node_id
    )
    return cluster.greet(Role.BULK, node_id=node_id)


def offer(cluster: Any, client: int, round_: int = 0, job: str = "job") -> None:
    cluster.say(client, OfferShared(job, round_, SIZES))


def send(cluster: Any, peer: int, offset: int, part: bytes, round_: int = 0) -> None:
    cluster.say(peer, SharedPart("job", round_, offset), [part])


def share(cluster: Any, client: int, round_: int = 0) -> int:
    """Offer and send all of it; the client's bulk connection."""
    offer(cluster, client, round_)
    connection = bulk(cluster, client)
    send(cluster, connection, 0, b"".join(DATA), round_)
    return connection


def hold(cluster: Any, node: int, round_: int = 0, received_bytes: int = TOTAL) -> None:
    cluster.say(node, SharedHeld("job", round_, "whatever", received_bytes))


@pytest.fixture
def client(cluster: Any) -> int:
    """With an open job."""
    peer = cluster.client()
    cluster.open(peer)
    return peer


# -- bulk connections ------------------------------------------------------------------------


def test_a_bulk_connection_is_welcomed_by_the_name_of_its_owner(cluster: Any) -> None:
    client, node = cluster.client(name="laptop"), cluster.node(1, name="lab")
    for owner, name in ((client, "laptop"), (node, "lab")):
        peer = bulk(cluster, owner)
        assert cluster.read(peer) == [Welcome(PROTOCOL_VERSION, "1.2.3", name, 0)]
    assert cluster.scheduler.statistics().nodes == cluster.scheduler.statistics().clients == 1


def test_a_bulk_connection_without_a_first_one_is_refused(cluster: Any, client: int) -> None:
    stranger = cluster.greet(Role.BULK, node_id="ff")
    (refused,) = cluster.read(stranger)
    assert isinstance(refused, Refused)
    assert refused.code == "unknown_node"
    assert stranger in cluster.dropped
    node_id = cluster.state.clients[client].node_id
    cluster.lose(client)
    assert cluster.greet(Role.BULK, node_id=node_id) in cluster.dropped


def test_a_bulk_connection_vanishes_silently(cluster: Any, client: int) -> None:
    cluster.notices.clear()
    gone = bulk(cluster, client)
    cluster.say(gone, Goodbye("done"))
    lost = bulk(cluster, client)
    cluster.heard.clear()
    cluster.lose(lost)
    assert cluster.state.bulks == {}
    assert cluster.notices == []
    assert cluster.heard == {}
    assert list(cluster.dropped) == [gone]


def test_what_does_not_belong_on_a_bulk_connection_ends_it_and_nothing_else(
    cluster: Any, client: int
) -> None:
    node = cluster.node(1)
    of_client, of_node = bulk(cluster, client), bulk(cluster, node)
    cluster.say(of_client, FetchShared("job", 0, 0))
    cluster.say(of_node, SharedPart("job", 0, 0), [b"x"])
    assert set(cluster.dropped) == {of_client, of_node}
    assert cluster.read(of_client)[-1] == Goodbye(
        "FetchShared is not for a client's bulk connection to say", "fault"
    )
    assert list(cluster.state.nodes) == [node]
    assert list(cluster.state.clients) == [client]


@pytest.mark.parametrize("ending", ["lost", "goodbye", "fault", "replaced"])
@pytest.mark.parametrize("role", [Role.CLIENT, Role.LAUNCHER])
def test_a_bulk_connection_ends_with_its_owner(cluster: Any, role: Role, ending: str) -> None:
    owner = cluster.greet(role, node_id="a1")
    peer = bulk(cluster, owner)
    cluster.read(peer)
    match ending:
        case "lost":
            cluster.lose(owner)
        case "goodbye":
            cluster.say(owner, Goodbye("done"))
        case "fault":
            cluster.say(owner, FetchShared("job", 0, 0))
        case "replaced":
            cluster.greet(role, node_id="a1")
            if role is Role.CLIENT:  # it has merely gone away, and opens another one
                bulk(cluster, next(iter(cluster.state.clients)))
    assert peer not in cluster.state.bulks
    assert peer in cluster.dropped
    (goodbye,) = cluster.read(peer)
    assert isinstance(goodbye, Goodbye)


def test_a_long_farewell_is_passed_on_in_short(cluster: Any) -> None:
    owner = cluster.greet(Role.CLIENT, node_id="a1")
    peer = bulk(cluster, owner)
    cluster.say(owner, Goodbye("a" * 8_192))
    (goodbye,) = cluster.read_only(peer, Goodbye)
    assert goodbye.reason == f"its first connection has ended: {'a' * 1_000}"
    cluster.say(peer, FetchShared("job", 0, 0))
    assert cluster.ready.transfers == []


def test_the_bulk_connection_of_a_client_that_stays_away_ends_with_its_jobs(
    cluster: Any, client: int
) -> None:
    peer = bulk(cluster, client)
    cluster.lose(client)
    assert peer not in cluster.dropped
    cluster.wait(limits.CLIENT_PATIENCE_S)
    assert cluster.state.bulks == {}
    assert peer in cluster.dropped


def test_a_second_bulk_connection_replaces_the_first(cluster: Any, client: int) -> None:
    offer(cluster, client)
    first = bulk(cluster, client)
    send(cluster, first, 0, b"12345")
    cluster.heard.clear()
    second = bulk(cluster, client)
    reason = "replaced by a newer bulk connection of the same node"
    assert cluster.read(first) == [Goodbye(reason)]
    assert cluster.dropped == {first: reason}
    assert cluster.read(client) == [FetchShared("job", 0, 5)]
    send(cluster, first, 5, b"late")
    send(cluster, second, 5, b"x" * 17)
    assert cluster.state.jobs["job"].shared.is_complete


# -- from the client -------------------------------------------------------------------------


def test_an_offer_is_answered_with_what_is_missing(cluster: Any, client: int) -> None:
    cluster.heard.clear()
    offer(cluster, client)
    assert cluster.read(client) == [FetchShared("job", 0, 0)]
    connection = bulk(cluster, client)
    send(cluster, connection, 0, b"12345")
    offer(cluster, client)
    assert cluster.read(client) == [FetchShared("job", 0, 5)]
    send(cluster, connection, 5, b"x" * 17)
    offer(cluster, client)
    assert cluster.read(client) == [FetchShared("job", 0, TOTAL)]


def test_a_client_that_comes_back_goes_on_where_it_was(cluster: Any, client: int) -> None:
    node_id = cluster.state.clients[client].node_id
    offer(cluster, client)
    connection = bulk(cluster, client)
    send(cluster, connection, 0, b"12345")
    cluster.lose(client)
    send(cluster, connection, 5, b"678")
    again = cluster.client(node_id=node_id)
    cluster.open(again)
    cluster.heard.clear()
    offer(cluster, again)
    assert cluster.read(again) == [FetchShared("job", 0, 8)]


def test_a_bulk_connection_that_breaks_half_way_is_asked_for_the_rest(
    cluster: Any, client: int
) -> None:
    offer(cluster, client)
    connection = bulk(cluster, client)
    send(cluster, connection, 0, b"12345")
    cluster.heard.clear()
    cluster.lose(connection)
    assert cluster.read(client) == [FetchShared("job", 0, 5)]
    connection = bulk(cluster, client)
    send(cluster, connection, 5, b"x" * 17)
    cluster.heard.clear()
    cluster.lose(connection)
    assert cluster.read(client) == []


def test_what_comes_twice_is_taken_once(cluster: Any, client: int) -> None:
    offer(cluster, client)
    connection = bulk(cluster, client)
    data = bytes(range(TOTAL))
    for start, end in ((0, 5), (0, 5), (3, 9), (9, 22), (0, 22)):
        send(cluster, connection, start, data[start:end])
    shared = cluster.state.jobs["job"].shared
    assert b"".join(shared.parts) == data
    assert not cluster.dropped


def test_more_than_was_offered_is_a_fault_of_the_bulk_connection(cluster: Any, client: int) -> None:
    offer(cluster, client)
    connection = bulk(cluster, client)
    send(cluster, connection, 0, b"x" * (TOTAL + 1))
    assert cluster.dropped == {connection: "job job: shared data up to byte 23, but there are 22"}
    assert list(cluster.state.jobs) == ["job"]


def test_after_a_gap_the_rest_is_asked_for_on_another_connection(cluster: Any, client: int) -> None:
    offer(cluster, client)
    connection = bulk(cluster, client)
    send(cluster, connection, 0, b"12345")
    cluster.heard.clear()
    send(cluster, connection, 9, b"x")
    reason = "job job: 4 bytes of shared data are missing before a part"
    assert cluster.read(connection) == [Goodbye(reason)]
    assert cluster.dropped == {connection: reason}
    assert cluster.read(client) == [FetchShared("job", 0, 5)]
    send(cluster, connection, 5, b"x")
    assert cluster.state.jobs["job"].shared.received_bytes == 5


def test_parts_of_a_round_or_job_that_is_over_are_ignored(cluster: Any, client: int) -> None:
    offer(cluster, client, 1)
    connection = bulk(cluster, client)
    send(cluster, connection, 0, b"x", round_=0)
    cluster.say(connection, SharedPart("other", 0, 0), [b"x"])
    cluster.say(client, EndJob("job"))
    send(cluster, connection, 0, b"x", round_=1)
    assert not cluster.dropped


def test_small_parts_are_joined(cluster: Any, client: int) -> None:
    size = 2 * limits.SHARED_PART_BYTES
    cluster.say(client, OfferShared("job", 0, [size]))
    connection = bulk(cluster, client)
    for offset in range(0, size, 1_024):
        send(cluster, connection, offset, b"x" * 1_024)
    shared = cluster.state.jobs["job"].shared
    assert [len(part) for part in shared.parts] == [limits.SHARED_PART_BYTES] * 2


@pytest.mark.parametrize(
    ("round_", "sizes"), [(0, SIZES), (1, [22])], ids=["an older round", "other sizes"]
)
def test_offers_that_contradict_each_other_are_a_fault(
    cluster: Any, client: int, round_: int, sizes: list[int]
) -> None:
    offer(cluster, client, 1)
    cluster.say(client, OfferShared("job", round_, sizes))
    assert cluster.dropped == {
        client: f"job job: shared data of round {round_} offered, but that of round 1 is here"
    }


def test_data_that_comes_after_its_tasks_is_a_fault(cluster: Any, client: int) -> None:
    cluster.submit(client, "job", [0], round_=1)
    offer(cluster, client, 1)
    assert cluster.dropped == {client: "job job: tasks of round 1 came before their shared data"}


# -- to the nodes ----------------------------------------------------------------------------


def test_nodes_hear_of_the_data_when_all_of_it_is_here(cluster: Any, client: int) -> None:
    node = cluster.node(2)
    useless = cluster.greet(workers_announced=1)
    cluster.up(useless, engines=("lua5.4",))
    empty = cluster.greet()
    cluster.heard.clear()
    offer(cluster, client)
    connection = bulk(cluster, client)
    send(cluster, connection, 0, b"x" * 21)
    assert cluster.read(node) == []
    send(cluster, connection, 21, b"x")
    begin, offered = cluster.read(node)
    assert isinstance(begin, BeginJob)
    assert offered == OfferShared("job", 0, SIZES)
    assert cluster.read(useless) == cluster.read(empty) == []
    cluster.up(empty)
    assert OfferShared("job", 0, SIZES) in cluster.read(empty)
    cluster.up(useless, 2)
    assert OfferShared("job", 0, SIZES) in cluster.read(useless)
    assert cluster.read(node) == []


def test_data_of_no_bytes_is_complete_at_once(cluster: Any, client: int) -> None:
    node = cluster.node(1)
    cluster.submit(client, "job", [0], round_=0)
    cluster.say(client, OfferShared("job", 1, [0]))
    assert OfferShared("job", 1, [0]) in cluster.read(node)
    hold(cluster, node, 1, 0)
    assert not cluster.dropped


def test_a_launcher_gets_what_it_asks_for(cluster: Any, client: int) -> None:
    node = cluster.node(1)
    share(cluster, client)
    connection = bulk(cluster, node)
    ready = cluster.say(connection, FetchShared("job", 0, 7))
    (transfer,) = ready.transfers
    assert transfer == Transfer(connection, "job", 0, 7, cluster.state.jobs["job"].shared.parts)
    assert b"".join(transfer.buffers) == b"".join(DATA)


@pytest.mark.parametrize(
    "message",
    [
        FetchShared("job", 0, TOTAL),
        FetchShared("job", 0, TOTAL + 9),
        FetchShared("job", 3, 0),
        FetchShared("other", 0, 0),
    ],
)
def test_a_launcher_may_ask_for_what_is_over(
    cluster: Any, client: int, message: FetchShared
) -> None:
    node = cluster.node(1)
    share(cluster, client)
    ready = cluster.say(bulk(cluster, node), message)
    assert ready.transfers == []
    assert not cluster.dropped


def test_what_is_not_complete_cannot_be_fetched(cluster: Any, client: int) -> None:
    node = cluster.node(1)
    offer(cluster, client)
    assert cluster.say(bulk(cluster, node), FetchShared("job", 0, 0)).transfers == []


@pytest.mark.parametrize("ending", ["round", "job"])
def test_transfers_stop_with_their_round_and_their_job(
    cluster: Any, client: int, ending: str
) -> None:
    cluster.node(1)
    share(cluster, client)
    if ending == "round":
        offer(cluster, client, 1)
        assert cluster.state.jobs["job"].shared.parts == []
    else:
        cluster.say(client, EndJob("job"))
    assert cluster.ready.stops == [("job", 0)]


def test_what_is_fetched_and_over_in_one_step_is_not_begun(cluster: Any, client: int) -> None:
    node = cluster.node(1)
    share(cluster, client)
    connection = bulk(cluster, node)
    ready = cluster.step(
        Received(connection, Frame(0, FetchShared("job", 0, 0))),
        Received(client, Frame(0, EndJob("job"))),
    )
    assert ready.transfers == []
    assert ready.stops == [("job", 0)]


def test_what_nobody_was_offered_needs_no_stop(cluster: Any, client: int) -> None:
    offer(cluster, client)
    offer(cluster, client, 1)
    assert cluster.ready.stops == []


def test_progress_reaches_the_client_by_the_name_of_the_node(cluster: Any, client: int) -> None:
    node = cluster.node(1, name="lab")
    share(cluster, client)
    cluster.heard.clear()
    hold(cluster, node, received_bytes=5)
    hold(cluster, node, 9)
    cluster.say(node, SharedHeld("other", 0, "lab", 5))
    assert cluster.read(client) == [SharedHeld("job", 0, "lab", 5)]


@pytest.mark.parametrize("received_bytes", [5, TOTAL])
def test_a_node_that_goes_has_nothing_any_more(
    cluster: Any, client: int, received_bytes: int
) -> None:
    node, other = cluster.node(1, name="lab"), cluster.node(1, name="den")
    share(cluster, client)
    hold(cluster, node, received_bytes=received_bytes)
    cluster.heard.clear()
    cluster.lose(node)
    assert cluster.read_only(client, SharedHeld) == [SharedHeld("job", 0, "lab", 0)]
    cluster.lose(other)
    assert cluster.read_only(client, SharedHeld) == [], "it had nothing"


def test_what_a_node_had_of_a_job_that_ended_is_not_the_data_of_the_next(
    cluster: Any, client: int
) -> None:
    node = cluster.node(1)
    share(cluster, client)
    cluster.say(client, EndJob("job"))
    cluster.open(client)
    offer(cluster, client)
    cluster.submit(client, "job", [0])
    hold(cluster, node)
    assert cluster.leased(node) == []


def test_nobody_can_hold_more_than_there_is(cluster: Any, client: int) -> None:
    node = cluster.node(1)
    share(cluster, client)
    hold(cluster, node, received_bytes=TOTAL + 1)
    assert cluster.dropped == {node: "job job: 23 bytes of shared data are held, but there are 22"}


# -- who gets tasks --------------------------------------------------------------------------


def test_tasks_go_only_to_nodes_that_hold_the_data(cluster: Any, client: int) -> None:
    one, two = cluster.node(1), cluster.node(1)
    share(cluster, client)
    cluster.submit(client, "job", range(4))
    assert cluster.leased(one) == cluster.leased(two) == []
    hold(cluster, one, received_bytes=TOTAL - 1)
    assert cluster.leased(one) == []
    hold(cluster, one)
    assert cluster.leased(one)
    assert cluster.leased(two) == []
    hold(cluster, two)
    assert cluster.leased(two)


def test_a_new_round_waits_for_its_own_data(cluster: Any, client: int) -> None:
    node = cluster.node(1)
    share(cluster, client)
    hold(cluster, node)
    share(cluster, client, 1)
    cluster.submit(client, "job", [0], round_=1)
    hold(cluster, node, 0)
    assert cluster.leased(node) == []
    hold(cluster, node, 1)
    assert cluster.leased(node) == [TaskRef("job", 1, 0)]


def test_a_suspect_waits_for_a_node_that_holds_the_data(cluster: Any, client: int) -> None:
    one, two = cluster.node(1), cluster.node(1)
    share(cluster, client)
    hold(cluster, one)
    cluster.submit(client, "job", [0])
    cluster.down(one, 1, running=TaskRef("job", 0, 0))
    assert cluster.leased(two) == []
    hold(cluster, two)
    assert cluster.leased(two) == [TaskRef("job", 0, 0)]


def test_nothing_is_recalled_for_a_worker_without_the_data(cluster: Any, client: int) -> None:
    one = cluster.node(1)
    cluster.learn(client, one, 1_000_000)
    share(cluster, client)
    hold(cluster, one)
    cluster.submit(client, "job", range(2))
    assert len(cluster.leased(one)) == 2
    cluster.heard.clear()
    two = cluster.node(1)
    assert cluster.read_only(one, RecallTasks) == []
    hold(cluster, two)
    assert cluster.read_only(one, RecallTasks) == [RecallTasks(1)]
    cluster.say(one, TasksReturned([TaskRef("job", 0, 1)]), channel=1)
    assert cluster.leased(two) == [TaskRef("job", 0, 1)]


def test_a_node_that_lost_the_connection_says_again_what_it_holds(
    cluster: Any, client: int
) -> None:
    node = cluster.node(1)
    cluster.learn(client, node, 1_000)
    share(cluster, client)
    hold(cluster, node)
    cluster.submit(client, "job", range(2))
    cluster.lose(node)
    again = cluster.greet(node_id="2", workers_announced=1)
    cluster.up(again, held=[TaskRef("job", 0, 0)])
    assert OfferShared("job", 0, SIZES) in cluster.read(again)
    assert cluster.leased(again) == [TaskRef("job", 0, 0)], "it has the data in hand"
    hold(cluster, again)
    assert len(cluster.leased(again)) == 2
    assert cluster.read_only(again, RunTasks)
