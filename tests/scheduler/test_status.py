from __future__ import annotations

from typing import Any

from midas_mp import limits
from midas_mp.wire.messages import EndJob, JobStarted, JobStatus

GRACE_S, NOTICE_S = limits.JOB_START_GRACE_S, limits.NOTICE_INTERVAL_S


NO_NODE = "waiting for 1 worker: no node is connected; 'midas participant' lends one"


def started(cluster: Any, client: int) -> list[JobStarted]:
    found: list[JobStarted] = cluster.read_only(client, JobStarted)
    return found


def test_a_job_starts_when_all_announced_workers_are_there(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    node = cluster.greet(workers_announced=2)
    cluster.up(node, 1)
    assert started(cluster, client) == []
    cluster.up(node, 2)
    assert started(cluster, client) == [JobStarted("job", 2)]
    assert cluster.notices[-1] == "job job started on 2 workers"


def test_or_some_time_after_the_first(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    node = cluster.greet(workers_announced=2)
    cluster.wait(60.0)
    cluster.up(node, 1)
    assert cluster.ready.wake_at == cluster.now + GRACE_S
    cluster.wait(GRACE_S - 0.1)
    assert started(cluster, client) == []
    cluster.wait(0.1)
    assert started(cluster, client) == [JobStarted("job", 1)]
    assert cluster.ready.wake_at is None


def test_or_some_time_after_it_was_opened(cluster: Any) -> None:
    client = cluster.client()
    node = cluster.greet(workers_announced=2)
    cluster.up(node, 1)
    cluster.wait(60.0)
    cluster.open(client)
    assert cluster.ready.wake_at == cluster.now + GRACE_S
    cluster.wait(GRACE_S)
    assert started(cluster, client) == [JobStarted("job", 1)]


def test_workers_of_a_lost_node_are_not_waited_for(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    slow = cluster.greet(workers_announced=8)
    cluster.node(1)
    assert started(cluster, client) == []
    cluster.lose(slow)
    assert started(cluster, client) == [JobStarted("job", 1)]


def test_the_minimum_must_be_there(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client, workers_min=3)
    node = cluster.node(2)
    cluster.wait(60.0)
    assert started(cluster, client) == []
    cluster.up(node, 3)
    assert started(cluster, client) == [JobStarted("job", 3)]


def test_the_grace_is_off_when_workers_go_below_the_minimum(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    node = cluster.greet(workers_announced=2)
    cluster.up(node, 1)
    cluster.down(node, 1)
    cluster.wait(GRACE_S)
    assert started(cluster, client) == []


def test_tasks_may_come_before_the_start(cluster: Any) -> None:
    client = cluster.client()
    job = cluster.open(client)
    cluster.submit(client, job, range(3))
    assert cluster.scheduler.statistics().tasks_waiting == 3
    node = cluster.node(1)
    assert len(cluster.leased(node)) == 1


def test_clients_hear_when_the_number_of_workers_changes(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.heard.clear()
    cluster.up(node, 2)
    credit = limits.CREDIT_TASKS + 2 * limits.CREDIT_TASKS_PER_WORKER
    assert cluster.read(client) == [JobStatus("job", 2, credit)]
    cluster.up(node, 3, engines=("5.4",))
    assert cluster.read(client) == []


def notices(cluster: Any, client: int) -> list[str]:
    return [status.notice for status in cluster.read_only(client, JobStatus) if status.notice]


def test_a_job_without_workers_says_so_every_few_seconds(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    assert cluster.ready.wake_at == cluster.now + NOTICE_S
    cluster.wait(NOTICE_S - 0.1)
    assert notices(cluster, client) == []
    for _ in range(3):
        cluster.wait(NOTICE_S)
        assert notices(cluster, client) == [NO_NODE]
        assert cluster.notices[-1] == f"job job: {NO_NODE}"
    cluster.node(1)
    assert cluster.ready.wake_at is None


def test_the_notice_says_what_is_wrong(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client, workers_min=3)

    def sentence() -> str:
        cluster.wait(NOTICE_S)
        (found,) = notices(cluster, client)
        return found

    node = cluster.greet(workers_announced=2)
    assert sentence() == "waiting for 3 workers: none is registered, 2 announced"
    for channel in (1, 2):
        cluster.up(node, channel, engines=("5.4", "5.5"))
    assert sentence() == (
        "waiting for 3 workers with the engine luajit: none of the 2 registered has it "
        "(they have 5.4, 5.5)"
    )
    cluster.up(node, 3)
    assert sentence() == "waiting for 3 workers: 1 registered"
    for channel in (1, 2, 3):
        cluster.down(node, channel)
    assert sentence() == (
        "waiting for 3 workers: of the nodes that are connected (1) none has a worker"
    )


def test_a_started_job_complains_though_no_task_is_open(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.submit(client, job, [0])
    cluster.finish(node, 1, *cluster.leased(node))
    cluster.acknowledge(client, job, 0)
    cluster.wait(60.0)
    assert notices(cluster, client) == []
    cluster.lose(node)
    cluster.wait(NOTICE_S - 0.1)
    assert notices(cluster, client) == []
    cluster.wait(0.1)
    assert notices(cluster, client) == [NO_NODE]


def test_a_job_that_ends_right_after_its_workers_says_nothing_of_them(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.lose(node)
    cluster.wait(NOTICE_S - 0.1)
    cluster.say(client, EndJob(job))
    cluster.wait(NOTICE_S)
    assert notices(cluster, client) == []


def test_several_jobs_start_at_once(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client, "a")
    cluster.open(client, "b", workers_min=2)
    cluster.open(client, "c")
    cluster.node(1)
    assert [message.job for message in started(cluster, client)] == ["a", "c"]
    cluster.node(1)
    assert [message.job for message in started(cluster, client)] == ["b"]
    assert list(cluster.state.started) == ["a", "c", "b"]
