from __future__ import annotations

from typing import Any

from midas_mp import limits
from midas_mp.wire.messages import (
    EndJob,
    Outcome,
    Status,
    TaskPrinted,
    TaskProgress,
    TaskRef,
    TaskResults,
    TaskRunning,
)


def results(cluster: Any, client: int) -> list[int]:
    return [
        outcome.index
        for message in cluster.read_only(client, TaskResults)
        for outcome in message.outcomes
    ]


def busy(cluster: Any, task_count: int = 1, workers: int = 1) -> tuple[int, int]:
    client, node = cluster.client(), cluster.node(workers)
    cluster.open(client)
    cluster.submit(client, "job", range(task_count))
    cluster.heard.clear()
    return client, node


def test_the_first_result_counts_and_the_second_is_dropped(cluster: Any) -> None:
    client, node = busy(cluster)
    for _ in range(2):
        cluster.finish(node, 1, TaskRef("job", 0, 0))
    assert results(cluster, client) == [0]
    cluster.acknowledge(client, "job", 0)
    cluster.finish(node, 1, TaskRef("job", 0, 0))
    assert results(cluster, client) == []
    cluster.wait(limits.CLIENT_PATIENCE_S)
    assert cluster.scheduler.statistics().duplicates == 2


def test_exactly_what_counted_is_forwarded_with_its_buffers(cluster: Any) -> None:
    client, node = busy(cluster, 2, workers=2)
    cluster.finish(node, 1, TaskRef("job", 0, 0))
    cluster.heard.clear()
    outcomes = [
        Outcome(7, 0, Status.OK, 5, 2),
        Outcome(1, 0, Status.FAILED, 5, 3),
        Outcome(0, 0, Status.OK, 5, 0),
    ]
    buffers = [b"a", b"b", b"c", b"d", b"e"]
    cluster.say(node, TaskResults("job", 0, "x", outcomes, 99), buffers, 2)
    (frame,) = cluster.heard[client]
    assert frame.message == TaskResults("job", 0, "launcher2-002", outcomes[1:2])
    assert list(frame.buffers) == [b"c", b"d", b"e"]
    cluster.wait(limits.CLIENT_PATIENCE_S)
    assert cluster.scheduler.statistics().duplicates == 2


def test_buffers_that_do_not_match_are_a_fault_and_nothing_counts(cluster: Any) -> None:
    client, node = busy(cluster)
    message = TaskResults("job", 0, "x", [Outcome(0, 0, Status.OK, 5, 2)])
    cluster.say(node, message, [b"only one"], 1)
    assert cluster.dropped == {node: "1 buffers for results that list 2"}
    assert results(cluster, client) == []
    assert cluster.scheduler.statistics().tasks_waiting == 1


def test_a_late_result_of_a_lease_that_was_given_back_counts(cluster: Any) -> None:
    client, node = busy(cluster)
    cluster.lose(node)
    again = cluster.greet(node_id="2", name="back", workers_announced=1)
    cluster.finish(again, 1, TaskRef("job", 0, 0))
    (message,) = cluster.read_only(client, TaskResults)
    assert message.worker == "whoever"
    cluster.up(again, 1)
    assert cluster.leased(again) == []


def test_a_late_result_makes_the_second_lease_worthless(cluster: Any) -> None:
    client, node = busy(cluster)
    cluster.lose(node)
    other = cluster.node(1)
    assert cluster.leased(other) == [TaskRef("job", 0, 0)]
    again = cluster.node(1, node_id="2")
    cluster.finish(again, 1, TaskRef("job", 0, 0))
    assert results(cluster, client) == [0]
    worker = cluster.state.nodes[other].workers[1]
    assert worker.state.value == "releasing"
    cluster.acknowledge(client, "job", 0)
    cluster.finish(other, 1, TaskRef("job", 0, 0))
    assert results(cluster, client) == []
    assert worker.state.value == "idle"
    assert cluster.scheduler.statistics().duplicates == 1


def test_a_result_that_an_earlier_host_asked_for_counts(cluster: Any) -> None:
    client, node = busy(cluster, 3)
    cluster.finish(node, 1, TaskRef("job", 0, 2))
    assert results(cluster, client) == [2]
    assert cluster.leased(node) == [TaskRef("job", 0, 0), TaskRef("job", 0, 1)]


def test_a_result_of_an_ended_job_is_not_taken_for_one_of_a_new_job_of_that_id(
    cluster: Any,
) -> None:
    client, node = busy(cluster)
    cluster.say(client, EndJob("job"))
    cluster.submit(client, cluster.open(client), [0])
    cluster.heard.clear()
    cluster.finish(node, 1, TaskRef("job", 0, 0))
    assert results(cluster, client) == []
    assert cluster.leased(node) == [TaskRef("job", 0, 0)]
    cluster.finish(node, 1, TaskRef("job", 0, 0))
    assert results(cluster, client) == [0]


def test_results_of_unknown_jobs_and_rounds_are_dropped_in_the_end(cluster: Any) -> None:
    client, node = busy(cluster)
    cluster.finish(node, 1, TaskRef("unknown", 0, 0), TaskRef("unknown", 0, 1))
    cluster.finish(node, 1, TaskRef("job", 5, 0))
    cluster.finish(node, 9, TaskRef("job", 5, 0))
    assert results(cluster, client) == []
    assert not cluster.dropped
    cluster.wait(limits.CLIENT_PATIENCE_S)
    assert cluster.scheduler.statistics().duplicates == 4


def test_returned_tasks_wait_again_unblamed_and_in_front(cluster: Any) -> None:
    _, node = busy(cluster, 3)
    cluster.give_back(node, 1, TaskRef("job", 0, 0))
    assert cluster.leased(node) == [TaskRef("job", 0, 0)]
    assert cluster.state.jobs["job"].rounds[0][0].attempt == 0
    assert cluster.state.jobs["job"].blames == {}


def test_returning_what_one_does_not_hold_is_a_race(cluster: Any) -> None:
    _, node = busy(cluster, 2, workers=2)
    cluster.give_back(node, 1, TaskRef("job", 0, 1), TaskRef("job", 0, 9), TaskRef("x", 0, 0))
    cluster.give_back(node, 7, TaskRef("job", 0, 0))
    assert cluster.leased(node, 1) == [TaskRef("job", 0, 0)]
    assert cluster.leased(node, 2) == [TaskRef("job", 0, 1)]
    assert not cluster.dropped


def test_prints_and_progress_reach_the_client_of_the_job_only(cluster: Any) -> None:
    client, node = busy(cluster)
    other = cluster.client()
    cluster.heard.clear()
    said = [TaskProgress("job", 0, 0, 0.5), TaskRunning("job", 0, 0, "w", 5.0)]
    for message in said:
        cluster.say(node, message, channel=1)
    assert cluster.read(client) == said
    assert cluster.read(other) == []
    cluster.say(client, EndJob("job"))
    cluster.heard.clear()
    cluster.say(node, TaskPrinted("job", 0, 0, "w"), [b"late"], 1)
    assert cluster.heard == {}


def test_what_comes_from_a_worker_that_is_gone_is_passed_on(cluster: Any) -> None:
    client, node = busy(cluster)
    cluster.down(node, 1)
    cluster.heard.clear()
    cluster.say(node, TaskPrinted("job", 0, 0, "lab-000"), [b"last words"], 1)
    assert cluster.read(client) == [TaskPrinted("job", 0, 0, "lab-000")]
