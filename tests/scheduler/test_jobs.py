from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.scheduler import jobs
from midas_mp.wire.messages import (
    BeginJob,
    Call,
    EndJob,
    Goodbye,
    JobEnded,
    JobOpened,
    JobSpec,
    JobStatus,
    OfferShared,
    OpenJob,
    PutBundle,
    RunTasks,
    TaskRef,
    TasksReturned,
)

DIGEST = "d" * 64


def test_opening_grants_credit_that_grows_with_the_workers(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    assert cluster.read_only(client, JobOpened) == [
        JobOpened("job", limits.CREDIT_TASKS, limits.CREDIT_BYTES)
    ]
    cluster.greet(workers_announced=9)
    cluster.up(2, 1)
    credit = limits.CREDIT_TASKS + limits.CREDIT_TASKS_PER_WORKER
    assert cluster.read_only(client, JobStatus) == [JobStatus("job", 1, credit)]


def test_a_job_id_of_another_client_is_refused_and_what_follows_it_is_ignored(
    cluster: Any,
) -> None:
    first, second = cluster.client(), cluster.client()
    cluster.open(first)
    cluster.heard.clear()
    cluster.open(second)
    cluster.submit(second, "job", [0])
    cluster.acknowledge(second, "job", 0)
    assert cluster.read(second) == [
        JobEnded("job", "job_exists", "another client has a job with the id job")
    ]
    assert not cluster.dropped
    cluster.say(second, EndJob("job"))
    cluster.submit(second, "job", [0])
    assert cluster.dropped == {second: "no open job job"}
    assert list(cluster.state.jobs) == ["job"]


def test_opening_a_job_twice_is_a_mistake(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    cluster.say(client, OpenJob("job", "", JobSpec()))
    assert cluster.dropped == {client: "job job is open already"}


def test_an_id_can_be_used_again(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    for _ in range(2):
        cluster.submit(client, cluster.open(client), [0])
        (begun,) = cluster.read_only(node, BeginJob)
        assert begun.job == "job"
        cluster.say(client, EndJob("job"))
        cluster.give_back(node, 1, TaskRef("job", 0, 0))


@pytest.mark.parametrize(
    ("message", "buffers", "reason"),
    [
        (PutBundle("other", DIGEST, "m", []), [b""], "no open job other"),
        (RunTasks("other", 0, 1, DIGEST, "f", [Call(0)]), [b""], "no open job other"),
        (
            RunTasks("job", 0, 1, "e" * 64, "f", [Call(0)]),
            [b""],
            "job job has no bundle " + "e" * 64,
        ),
        (
            RunTasks("job", 0, 1, DIGEST, "f", [Call(0)]),
            [b"", b""],
            "job job: 2 buffers for tasks that list 1",
        ),
    ],
)
def test_what_a_client_must_not_say(
    cluster: Any, message: Any, buffers: list[bytes], reason: str
) -> None:
    client = cluster.client()
    cluster.open(client)
    cluster.say(client, message, buffers)
    assert cluster.dropped == {client: reason}
    assert not cluster.state.jobs


def test_a_task_that_is_not_done_cannot_be_acknowledged(cluster: Any) -> None:
    client = cluster.client()
    cluster.submit(client, cluster.open(client), [0])
    cluster.acknowledge(client, "job", 0)
    assert "has no result to acknowledge" in cluster.dropped[client]


def test_a_task_that_is_there_already_is_not_added_again(cluster: Any) -> None:
    client = cluster.client()
    job = cluster.open(client)
    cluster.submit(client, job, range(limits.CREDIT_TASKS))
    cluster.submit(client, job, range(3), payload=b"another")
    assert not cluster.dropped
    assert cluster.scheduler.statistics().tasks_waiting == limits.CREDIT_TASKS
    assert cluster.state.jobs[job].rounds[0][0].buffers == (b"payload",)


def test_acknowledging_what_the_host_before_knew_is_no_mistake(cluster: Any) -> None:
    client = cluster.client()
    job = cluster.open(client)
    cluster.submit(client, job, [0])
    cluster.acknowledge(client, job, 5)
    cluster.acknowledge(client, job, 5, round_=7)
    assert not cluster.dropped
    assert cluster.state.jobs[job].task_count == 1


def test_credit_is_counted_until_acknowledged(cluster: Any) -> None:
    client = cluster.client()
    job = cluster.open(client)
    cluster.submit(client, job, range(limits.CREDIT_TASKS))
    assert not cluster.dropped
    cluster.submit(client, job, [limits.CREDIT_TASKS])
    assert cluster.dropped == {
        client: "job job: 4097 tasks not acknowledged, but the credit is 4096"
    }


def test_credit_once_granted_may_be_used_though_workers_have_gone(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.lose(node)
    cluster.submit(client, job, range(limits.CREDIT_TASKS + 1))
    assert not cluster.dropped


def test_acknowledged_tasks_are_forgotten_and_memory_stays_flat(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.state.jobs[cluster.open(client)]
    for start in range(0, 3_000, 100):
        cluster.submit(client, "job", range(start, start + 100))
        while cluster.leased(node):
            refs = cluster.leased(node)
            cluster.finish(node, 1, *refs)
            cluster.acknowledge(client, "job", *(ref.index for ref in refs))
        assert (job.task_count, job.size_bytes, job.rounds) == (0, 0, {})
    assert not cluster.dropped


def test_the_payload_goes_with_the_result(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.submit(client, cluster.open(client), [0], payload=b"p" * 1_000)
    job = cluster.state.jobs["job"]
    assert job.size_bytes == 1_000
    cluster.finish(node, 1, *cluster.leased(node), result=b"r" * 10)
    assert job.size_bytes == 10
    assert job.rounds[0][0].buffers == (b"r" * 10,)


def test_a_bundle_may_come_twice(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.say(client, PutBundle(job, DIGEST, "again.lua", []), [b"-- again"])
    cluster.submit(client, job, [0])
    assert cluster.read_only(node, PutBundle) == [PutBundle(job, DIGEST, "main.lua", [])]


def test_ending_a_job_frees_its_workers_when_they_say_so(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(2)
    job = cluster.open(client)
    cluster.submit(client, job, range(2))
    first = [cluster.leased(node, 1), cluster.leased(node, 2)]
    other = cluster.open(client, "other")
    cluster.submit(client, other, range(2))
    cluster.heard.clear()
    cluster.say(client, EndJob(job, "Ctrl-C"))
    assert cluster.read(node) == [EndJob(job, "Ctrl-C")]
    assert cluster.notices[-1] == "job job (primes) ended: Ctrl-C"
    cluster.give_back(node, 1, *first[0])
    assert cluster.leased(node, 1) == [TaskRef(other, 0, 0)]
    assert cluster.leased(node, 2) == []
    cluster.down(node, 2)
    cluster.up(node, 2, epoch=1)
    assert cluster.leased(node, 2) == [TaskRef(other, 0, 1)]


def test_a_result_of_an_ended_job_frees_its_worker_too(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.submit(client, cluster.open(client), [0])
    held = cluster.leased(node)
    cluster.say(client, EndJob("job"))
    cluster.submit(client, cluster.open(client, "other"), [0])
    assert cluster.leased(node) == []
    cluster.heard.clear()
    cluster.finish(node, 1, *held)
    assert cluster.leased(node) == [TaskRef("other", 0, 0)]
    assert cluster.read(client) == []
    assert cluster.scheduler.statistics().duplicates == 1


def test_a_client_that_leaves_takes_its_jobs_along_and_no_other(cluster: Any) -> None:
    one, two = cluster.client(), cluster.client()
    node = cluster.node(1)
    cluster.submit(one, cluster.open(one, "a"), [0])
    cluster.open(two, "b")
    cluster.say(one, Goodbye("done"))
    assert list(cluster.state.jobs) == ["b"]
    assert cluster.read_only(node, EndJob) == [EndJob("a", "done")]
    assert cluster.read_only(node, TasksReturned) == []


def test_only_nodes_that_know_the_job_hear_of_its_end(cluster: Any) -> None:
    client, one, two = cluster.client(), cluster.node(1), cluster.node(1)
    cluster.submit(client, cluster.open(client), [0])
    cluster.say(client, EndJob("job"))
    heard = [len(cluster.read_only(node, EndJob)) for node in (one, two)]
    assert sorted(heard) == [0, 1]


def test_ending_an_unknown_job_is_no_mistake(cluster: Any) -> None:
    client = cluster.client()
    cluster.say(client, EndJob("whatever"))
    assert not cluster.dropped


def test_a_job_without_title_is_called_by_its_id(cluster: Any) -> None:
    client = cluster.client()
    cluster.say(client, OpenJob("j7", "", JobSpec()))
    assert cluster.notices == ["job j7 queued for client1"]


def test_shared_data_of_a_job_that_was_refused_are_ignored(cluster: Any) -> None:
    first, second = cluster.client(), cluster.client()
    cluster.open(first)
    cluster.open(second)
    cluster.heard.clear()
    cluster.say(second, OfferShared("job", 0, [100]))
    assert cluster.read(second) == []
    assert cluster.state.jobs["job"].shared is None
    assert second not in cluster.dropped


def test_the_end_of_a_job_takes_no_other_ones_work_along(cluster: Any) -> None:
    client, other = cluster.client(), cluster.client()
    cluster.open(client)
    node = cluster.greet(workers_announced=1)
    cluster.up(node, 1, held=[TaskRef("job", 0, 5), TaskRef("another", 0, 6)])
    cluster.open(other, "another")
    orphans = cluster.state.nodes[node].workers[1].orphans
    cluster.say(client, EndJob("job"))
    assert orphans == {TaskRef("job", 0, 5): False, TaskRef("another", 0, 6): True}


def test_an_attempt_that_a_client_makes_up_can_still_be_counted_on(cluster: Any) -> None:
    node = cluster.node()
    client = cluster.client()
    cluster.open(client)
    message = RunTasks("job", 0, 1, DIGEST, "execute_code", [Call(0, 2**53)])
    cluster.say(client, message, [b"payload"])
    cluster.down(node)
    cluster.up(node, epoch=1)
    (*_, order) = cluster.read_only(node, RunTasks)
    assert order.calls == [Call(0, 2**32 + 1)]


def test_a_client_has_only_so_many_jobs_at_a_time(cluster: Any) -> None:
    client = cluster.client()
    for number in range(limits.JOBS_PER_CLIENT_MAX):
        cluster.open(client, f"j{number}")
    cluster.heard.clear()
    cluster.open(client, "more")
    cluster.submit(client, "more", [0])  # it has not heard of it yet
    (answer,) = cluster.read(client)
    reason = f"a client may have {limits.JOBS_PER_CLIENT_MAX} jobs at a time, and this has them"
    assert answer == JobEnded("more", "too_many_jobs", reason)
    assert "more" not in cluster.state.jobs
    cluster.say(client, EndJob("j0"))
    cluster.open(client, "more")
    assert [type(message) for message in cluster.read(client)] == [JobOpened]


def test_who_opens_jobs_without_end_that_are_refused_is_thrown_out(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REFUSED_JOBS_MAX", 2)
    client = cluster.client()
    for number in range(limits.JOBS_PER_CLIENT_MAX + 2):
        cluster.open(client, f"j{number}")
    assert cluster.dropped == {}
    cluster.say(client, OpenJob("one too many", "", JobSpec()))
    assert cluster.dropped == {client: "opened 3 jobs that were refused"}


@pytest.mark.parametrize("are_done", [False, True])
def test_who_submits_far_more_bytes_than_its_credit_is_thrown_out(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, are_done: bool
) -> None:
    monkeypatch.setattr(jobs, "_OPEN_BYTES_MAX", 3 * limits.MB)
    client = cluster.client()
    cluster.open(client)
    cluster.submit(client, "job", range(3), payload=bytes(limits.MB))
    if are_done:
        node = cluster.node(1)
        while refs := cluster.leased(node):
            cluster.finish(node, 1, *refs, result=bytes(limits.MB))
    cluster.submit(client, "job", [3])
    reason = "job job: tasks of 3 MB that are not done, but the credit is 256 MB"
    assert cluster.dropped == ({} if are_done else {client: reason})
