from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.scheduler.tables import WorkerState
from midas_mp.wire.messages import (
    BeginJob,
    CancelTasks,
    EndJob,
    Goodbye,
    JobOpened,
    JobStarted,
    PutBundle,
    RecallTasks,
    RunTasks,
    TaskPrinted,
    TaskProgress,
    TaskRef,
    TaskResults,
    Welcome,
)


def ref(index: int, job: str = "job", round_: int = 0) -> TaskRef:
    return TaskRef(job, round_, index)


def come_back(cluster: Any, *held: TaskRef, node_id: str = "2", channel: int = 1) -> int:
    """The node again, whose worker has these in hand."""
    peer = cluster.greet(node_id=node_id, name="lab", workers_announced=1)
    cluster.heard.clear()
    cluster.up(peer, channel, held=held)
    return peer


def worker(cluster: Any, peer: int, channel: int = 1) -> Any:
    return cluster.state.nodes[peer].workers[channel]


def busy(cluster: Any, task_count: int = 1) -> tuple[int, int]:
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.learn(client, node, 1_000)
    cluster.submit(client, "job", range(task_count))
    return client, node


# -- a node that comes back to the host that it left ---------------------------------------------


def test_a_task_that_waits_is_adopted_and_not_sent_again(cluster: Any) -> None:
    client, node = busy(cluster, 1)
    cluster.lose(node)
    again = come_back(cluster, ref(0))
    assert cluster.leased(again) == [ref(0)]
    assert [type(message) for message in cluster.read(again)] == [BeginJob, PutBundle]
    assert worker(cluster, again).state is WorkerState.BUSY
    cluster.heard.clear()
    cluster.finish(again, 1, ref(0))
    assert len(cluster.read_only(client, TaskResults)) == 1
    assert worker(cluster, again).state is WorkerState.IDLE
    assert cluster.scheduler.statistics().duplicates == 0


def test_what_the_worker_does_not_hold_is_sent_after_what_it_adopted(cluster: Any) -> None:
    _, node = busy(cluster, 5)
    cluster.lose(node)
    again = come_back(cluster, ref(1), ref(2))
    assert cluster.leased(again) == [ref(1), ref(2), ref(0), ref(3), ref(4)]
    (message,) = cluster.read_only(again, RunTasks)
    assert [call.index for call in message.calls] == [0, 3, 4]


def test_a_suspect_is_adopted_and_nothing_given_beside_it(cluster: Any) -> None:
    client, node = busy(cluster, 1)
    cluster.down(node, 1, running=ref(0))
    cluster.up(node, 1, epoch=1)
    assert cluster.leased(node) == [ref(0)]
    cluster.lose(node)
    again = come_back(cluster, ref(0))
    assert worker(cluster, again).state is WorkerState.ALONE
    cluster.submit(client, "job", range(1, 9))
    assert cluster.leased(again) == [ref(0)]
    cluster.finish(again, 1, ref(0))
    assert len(cluster.leased(again)) == 8


def test_a_worker_that_adopts_a_suspect_among_others_gets_nothing_until_all_are_done(
    cluster: Any,
) -> None:
    client, node = busy(cluster, 2)
    cluster.down(node, 1, running=ref(0))
    cluster.lose(node)
    again = come_back(cluster, ref(0), ref(1))
    cluster.submit(client, "job", [2])
    assert worker(cluster, again).state is WorkerState.ALONE
    cluster.finish(again, 1, ref(0))
    assert cluster.leased(again) == [ref(1)]
    cluster.finish(again, 1, ref(1))
    assert cluster.leased(again) == [ref(2)]


def test_whoever_is_first_counts_when_a_task_was_leased_elsewhere_meanwhile(cluster: Any) -> None:
    client, node = busy(cluster, 1)
    cluster.lose(node)
    other = cluster.node(1)
    assert cluster.leased(other) == [ref(0)]
    again = come_back(cluster, ref(0))
    assert worker(cluster, again).state is WorkerState.RELEASING
    cluster.finish(again, 1, ref(0))
    assert len(cluster.read_only(client, TaskResults)) == 1
    assert worker(cluster, again).state is WorkerState.IDLE
    assert worker(cluster, other).state is WorkerState.RELEASING
    cluster.finish(other, 1, ref(0))
    assert cluster.read_only(client, TaskResults) == []
    assert cluster.scheduler.statistics().duplicates == 1


def test_a_task_that_is_done_is_an_orphan(cluster: Any) -> None:
    client, node = busy(cluster, 1)
    cluster.lose(node)
    other = cluster.node(1)
    cluster.finish(other, 1, ref(0))
    again = come_back(cluster, ref(0))
    cluster.submit(client, "job", [1, 2])
    assert worker(cluster, again).state is WorkerState.RELEASING
    assert cluster.leased(again) == []
    cluster.heard.clear()
    cluster.finish(again, 1, ref(0))
    assert cluster.read_only(client, TaskResults) == []
    assert worker(cluster, again).state is not WorkerState.RELEASING


def test_a_task_that_was_acknowledged_meanwhile_is_over(cluster: Any) -> None:
    client, node = busy(cluster, 2)
    cluster.lose(node)
    other = cluster.node(1)
    cluster.finish(other, 1, ref(0), ref(1))
    cluster.acknowledge(client, "job", 0, 1)
    again = come_back(cluster, ref(0))
    assert worker(cluster, again).state is WorkerState.RELEASING
    cluster.finish(again, 1, ref(0))
    cluster.finish(again, 2, ref(1))
    assert worker(cluster, again).state is WorkerState.IDLE
    assert (cluster.state.strays, cluster.state.early_bytes) == ({}, 0)
    assert cluster.scheduler.statistics().duplicates == 2


def test_what_is_missing_of_a_job_that_is_older_than_the_host_may_yet_be_submitted(
    cluster: Any,
) -> None:
    first = come_back(cluster, ref(0), node_id="a1")
    client = cluster.client()
    cluster.open(client)
    cluster.lose(first)
    again = come_back(cluster, ref(0), ref(1), node_id="a1")
    cluster.submit(client, "job", range(2))
    assert cluster.leased(again) == [ref(0), ref(1)]


def test_a_job_that_ended_meanwhile_is_ended_at_once_and_once(cluster: Any) -> None:
    client, node = busy(cluster, 2)
    cluster.lose(node)
    cluster.say(client, EndJob("job"))
    again = come_back(cluster, ref(0))
    assert cluster.read(again) == [EndJob("job", "the job ended while this node was away")]
    cluster.up(again, 2, held=[ref(1)])
    assert cluster.read(again) == []
    cluster.give_back(again, 1, ref(0))
    cluster.finish(again, 2, ref(1))
    states = {worker(cluster, again, channel).state for channel in (1, 2)}
    assert states == {WorkerState.IDLE}
    assert cluster.scheduler.statistics().duplicates == 1


def test_only_so_many_ended_jobs_are_remembered(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ENDED_JOBS_MAX", 2)
    client = cluster.client()
    for job in "abc":
        cluster.open(client, job)
        cluster.say(client, EndJob(job))
    assert list(cluster.state.ended) == ["b", "c"]
    cluster.open(client, "b")
    assert list(cluster.state.ended) == ["c"]


def test_a_job_that_its_client_closed_while_it_was_away_is_over_at_once(cluster: Any) -> None:
    node = come_back(cluster, ref(0))
    cluster.finish(node, 1, ref(1))
    client = cluster.client()
    cluster.say(client, EndJob("job", "Ctrl-C"))
    assert cluster.read(node) == [EndJob("job", "Ctrl-C")]
    assert (cluster.state.strays, cluster.state.early_bytes) == ({}, 0)
    assert cluster.ready.wake_at is None
    late = come_back(cluster, ref(2), node_id="77")
    assert [type(message) for message in cluster.read(late)] == [EndJob]


def test_nobody_ends_the_job_of_another(cluster: Any) -> None:
    node = come_back(cluster, ref(0))
    owner, other = cluster.client(), cluster.client()
    cluster.open(owner)
    cluster.say(other, EndJob("job"))
    cluster.submit(owner, "job", [0])
    assert cluster.leased(node) == [ref(0)]


def test_a_job_that_ends_takes_what_returned_nodes_hold_of_it(cluster: Any) -> None:
    client, node = busy(cluster, 1)
    cluster.lose(node)
    other = cluster.node(1)
    again = come_back(cluster, ref(0))
    cluster.say(client, EndJob("job", "enough"))
    assert EndJob("job", "enough") in cluster.read(again)
    assert EndJob("job", "enough") in cluster.read(other)
    cluster.open(client)
    cluster.submit(client, "job", [0])
    cluster.heard.clear()
    cluster.finish(again, 1, ref(0))
    assert cluster.read_only(client, TaskResults) == [], "it is of the job that has ended"


# -- a host that is younger than the job ---------------------------------------------------------


def test_a_task_of_an_unknown_job_is_adopted_when_its_client_submits_it(cluster: Any) -> None:
    node = come_back(cluster, ref(1), ref(3))
    assert worker(cluster, node).state is WorkerState.RELEASING
    client = cluster.client()
    cluster.open(client)
    assert cluster.read(node) == [BeginJob("job", cluster.state.jobs["job"].spec)]
    cluster.submit(client, "job", range(3))
    assert cluster.leased(node) == [ref(1)]
    assert worker(cluster, node).state is WorkerState.RELEASING
    assert [type(message) for message in cluster.read(node)] == [PutBundle]
    cluster.submit(client, "job", [3])
    assert cluster.leased(node)[:2] == [ref(1), ref(3)]
    assert worker(cluster, node).state is WorkerState.BUSY


def test_nobody_is_at_a_task_for_which_it_has_no_engine(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client, engine="lua5.4")
    cluster.submit(client, "job", [0])
    node = come_back(cluster, ref(0))
    assert node not in cluster.state.nodes
    assert "has a task of job job in hand, but no lua5.4" in cluster.dropped[node]


def test_nor_at_one_that_is_submitted_later(cluster: Any) -> None:
    node = come_back(cluster, ref(0))
    client = cluster.client()
    cluster.open(client, engine="lua5.4")
    cluster.submit(client, "job", [0])
    assert cluster.leased(node) == []
    assert cluster.read_only(node, CancelTasks) == [CancelTasks("job", 0, [0])]
    cluster.finish(node, 1, ref(0))
    assert cluster.read_only(client, TaskResults) == []
    assert worker(cluster, node).state is WorkerState.IDLE


def test_a_worker_is_not_silent_before_its_task_was_submitted(cluster: Any) -> None:
    node = come_back(cluster, ref(0), ref(1))
    client = cluster.client()
    cluster.open(client)
    cluster.up(node, 2)
    cluster.learn(client, node, 1_000)
    cluster.submit(client, "job", range(2))
    assert cluster.leased(node) == [ref(0), ref(1)]
    assert cluster.read_only(node, RecallTasks) == []


def test_a_task_of_a_job_that_has_not_started_is_adopted_too(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client, workers_min=5)
    cluster.submit(client, "job", [0])
    node = come_back(cluster, ref(0))
    assert cluster.leased(node) == [ref(0)]
    cluster.heard.clear()
    cluster.finish(node, 1, ref(0))
    assert len(cluster.read_only(client, TaskResults)) == 1


def test_a_client_that_was_faster_than_the_node_finds_its_task_in_hand(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    cluster.open(client, "other")
    node = come_back(cluster, ref(0))
    cluster.submit(client, "other", [0])
    assert cluster.leased(node) == []
    cluster.submit(client, "job", [0])
    assert cluster.leased(node) == [ref(0)]


def test_a_late_result_of_an_ended_job_is_not_kept(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    cluster.say(client, EndJob("job"))
    node = come_back(cluster)
    cluster.finish(node, 1, ref(0))
    assert cluster.state.strays == {}
    assert cluster.state.duplicates == 1


def test_an_early_result_counts_when_its_task_is_submitted(cluster: Any) -> None:
    node = come_back(cluster, ref(1))
    cluster.finish(node, 1, ref(0), result=b"kept")
    cluster.finish(node, 1, ref(1), result=b"just now")
    client = cluster.client()
    cluster.open(client)
    cluster.heard.clear()
    cluster.submit(client, "job", range(2))
    (frame,) = cluster.heard[client]
    assert [outcome.index for outcome in frame.message.outcomes] == [0, 1]
    assert list(frame.buffers) == [b"kept", b"just now"]
    assert cluster.state.early_bytes == 0
    cluster.acknowledge(client, "job", 0, 1)
    assert cluster.scheduler.statistics().duplicates == 0


def test_what_a_task_printed_early_is_told_before_its_result(cluster: Any) -> None:
    node = come_back(cluster)
    printed = TaskPrinted("job", 0, 0, "w")
    cluster.say(node, printed, [b"hello"], 1)
    cluster.say(node, TaskProgress("job", 0, 0, 0.5), channel=1)
    cluster.finish(node, 1, ref(0))
    client = cluster.client()
    cluster.open(client)
    cluster.submit(client, "job", [0])
    told = [frame for frame in cluster.heard[client] if frame.message == printed]
    assert [list(frame.buffers) for frame in told] == [[b"hello"]]
    kinds = [type(message) for message in cluster.read(client)]
    assert kinds == [Welcome, JobOpened, TaskPrinted, JobStarted, TaskResults]


def test_prints_that_nobody_comes_for_are_forgotten(cluster: Any) -> None:
    node = come_back(cluster)
    cluster.say(node, TaskPrinted("job", 0, 0, "w"), [b"hello"], 1)
    cluster.wait(limits.CLIENT_PATIENCE_S)
    assert cluster.state.strays == {}
    cluster.say(node, TaskPrinted("job", 0, 0, "w"), [b"late"], 1)
    assert cluster.state.strays == {}


def test_early_prints_have_a_limit(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTPUT_BACKLOG_BYTES_MAX", 1_000)
    node = come_back(cluster)
    for _ in range(2):
        cluster.say(node, TaskPrinted("job", 0, 0, "w"), [b"x" * 700], 1)
    client = cluster.client()
    cluster.open(client)
    texts = [
        bytes(frame.buffers[0])
        for frame in cluster.heard[client]
        if isinstance(frame.message, TaskPrinted)
    ]
    assert texts == [b"x" * 700, b"... 700 bytes of output were dropped: the client was away"]


def test_an_early_result_may_be_there_before_its_task_though_the_job_is_open(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.finish(node, 1, ref(0))
    cluster.heard.clear()
    cluster.submit(client, "job", [0])
    assert len(cluster.read_only(client, TaskResults)) == 1


def test_nobody_comes_for_the_job(cluster: Any) -> None:
    node = come_back(cluster, ref(0))
    cluster.finish(node, 1, ref(1))
    cluster.wait(limits.CLIENT_PATIENCE_S - 1)
    assert cluster.read_only(node, EndJob) == []
    cluster.wait(1)
    assert cluster.read(node) == [EndJob("job", "no client came for it within 60 s")]
    assert worker(cluster, node).state is WorkerState.RELEASING
    cluster.give_back(node, 1, ref(0))
    assert worker(cluster, node).state is WorkerState.IDLE
    assert cluster.state.strays == {}
    assert (cluster.state.early_bytes, cluster.state.duplicates) == (0, 1)
    late = come_back(cluster, ref(5), node_id="77")
    assert [type(message) for message in cluster.read(late)] == [EndJob]


def test_what_is_held_can_be_claimed_for_as_long_as_the_job_is_open(cluster: Any) -> None:
    node = come_back(cluster, ref(0))
    client = cluster.client()
    cluster.open(client)
    cluster.wait(2 * limits.CLIENT_PATIENCE_S)
    assert cluster.read_only(node, EndJob) == []
    cluster.submit(client, "job", [0])
    assert cluster.leased(node) == [ref(0)]


def test_early_results_have_a_limit(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EARLY_BYTES_MAX", 3_000)
    node = come_back(cluster)
    for index in range(3):
        cluster.finish(node, 1, ref(index), result=b"r" * 1_000)
    cluster.finish(node, 1, ref(0), result=b"again")
    assert list(cluster.state.strays["job"].early) == [(0, 0), (0, 1)]
    assert cluster.state.duplicates == 2


@pytest.mark.parametrize("is_lost", [True, False])
def test_what_a_lost_worker_or_node_held_is_not_waited_for(cluster: Any, is_lost: bool) -> None:
    node = come_back(cluster, ref(0))
    if is_lost:
        cluster.lose(node)
    else:
        cluster.down(node, 1)
        cluster.up(node, 1, epoch=1)
    client = cluster.client()
    cluster.open(client)
    cluster.submit(client, "job", [0])
    if is_lost:
        assert cluster.scheduler.statistics().tasks_waiting == 1
        node = cluster.node(1)
    assert len(cluster.read_only(node, RunTasks)) == 1
    assert cluster.leased(node) == [ref(0)]


def test_the_end_of_a_job_forgets_what_was_not_claimed(cluster: Any) -> None:
    node = come_back(cluster, ref(0))
    cluster.finish(node, 1, ref(7))
    client = cluster.client()
    cluster.open(client)
    cluster.say(client, Goodbye("done"))
    assert cluster.state.strays == {}
    assert cluster.state.early_bytes == 0
    assert cluster.read_only(node, EndJob) == [EndJob("job", "done")]
    cluster.finish(node, 1, ref(0))
    assert worker(cluster, node).state is WorkerState.IDLE


def test_the_same_task_in_two_hands_counts_once(cluster: Any) -> None:
    one = come_back(cluster, ref(0), node_id="a1")
    two = come_back(cluster, ref(0), node_id="a2")
    client = cluster.client()
    cluster.open(client)
    cluster.submit(client, "job", [0])
    assert cluster.leased(one) == [ref(0)]
    assert worker(cluster, two).state is WorkerState.RELEASING
    cluster.heard.clear()
    cluster.finish(two, 1, ref(0))
    cluster.finish(one, 1, ref(0))
    assert len(cluster.read_only(client, TaskResults)) == 1


def test_what_a_worker_names_twice_it_has_once(cluster: Any) -> None:
    client, node = busy(cluster)
    cluster.lose(node)
    peer = come_back(cluster, ref(0), ref(0))
    assert cluster.leased(peer) == [ref(0)]
    cluster.finish(peer, 1, ref(0))
    assert len(cluster.read_only(client, TaskResults)) == 1


def test_only_so_many_jobs_of_an_earlier_host_wait_for_their_clients(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STRAY_JOBS_MAX", 3)
    node = come_back(cluster, ref(0, "opened"), ref(0, "a"))
    client = cluster.client()
    cluster.open(client, "opened")
    cluster.heard.clear()
    for job in "abc":
        cluster.say(node, TaskPrinted(job, 0, 0, "w"), [b"hello"], 1)
    assert list(cluster.state.strays) == ["opened", "b", "c"]
    reason = "more than 3 jobs of an earlier host wait for their clients"
    assert cluster.read_only(node, EndJob) == [EndJob("a", reason)]
    assert cluster.notices[-1] == f"job a, of an earlier host, ended: {reason}"
    kept = cluster.state.strays["b"].printed.used_bytes
    assert cluster.state.backlogs.used_bytes == 2 * kept


def test_jobs_that_their_clients_have_opened_make_no_room(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STRAY_JOBS_MAX", 1)
    node = come_back(cluster, ref(0, "opened"))
    client = cluster.client()
    cluster.open(client, "opened")
    cluster.say(node, TaskPrinted("a", 0, 0, "w"), [b"hello"], 1)
    assert list(cluster.state.strays) == ["opened", "a"]


def test_prints_of_all_jobs_of_an_earlier_host_have_one_limit(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKLOGS_BYTES_MAX", 10_000)
    node = come_back(cluster)
    for number in range(20):
        cluster.say(node, TaskPrinted(f"j{number}", 0, 0, "w"), [b"x" * 3_000], 1)
        assert cluster.state.backlogs.used_bytes <= 10_000
    assert len(cluster.state.strays) == 20
