from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.errors import IllegalTransition
from midas_mp.limits import FRAME_BUFFERS_MAX, FRAME_BYTES_TARGET
from midas_mp.scheduler.tables import TaskState
from midas_mp.wire.messages import (
    BeginJob,
    Call,
    PutBundle,
    RunTasks,
    TaskRef,
)

DIGEST = "d" * 64


def counts(cluster: Any, node: int) -> list[int]:
    return [len(cluster.leased(node, channel)) for channel in cluster.state.nodes[node].workers]


def indices(cluster: Any, node: int, channel: int = 1) -> list[int]:
    return [ref.index for ref in cluster.leased(node, channel)]


def test_without_a_measurement_everybody_gets_one(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(3)
    cluster.submit(client, cluster.open(client), range(100))
    assert counts(cluster, node) == [1, 1, 1]


@pytest.mark.parametrize(
    ("duration_us", "expected"),
    [(1, limits.QUEUE_TASKS_MAX), (1_000, 41), (10_000, 5), (40_000, 2), (10_000_000, 2)],
)
def test_a_queue_holds_the_target_time(cluster: Any, duration_us: int, expected: int) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.learn(client, node, duration_us)
    cluster.submit(client, job, range(3_000))
    assert counts(cluster, node) == [expected]


def test_queues_are_refilled_when_a_quarter_is_free(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.learn(client, node, 1_000)
    cluster.submit(client, job, range(200))
    held = cluster.leased(node)
    cluster.finish(node, 1, *held[:10])
    assert counts(cluster, node) == [31]
    cluster.finish(node, 1, held[10])
    assert counts(cluster, node) == [41]


def test_the_last_tasks_are_shared_fairly(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(4)
    job = cluster.open(client)
    cluster.learn(client, node, 1)
    cluster.submit(client, job, range(10))
    assert sorted(counts(cluster, node)) == [2, 2, 3, 3]


def test_long_tasks_go_to_idle_workers_before_anybody_gets_a_second(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(3)
    job = cluster.open(client)
    cluster.learn(client, node, 5_000_000)
    cluster.submit(client, job, range(1))
    cluster.submit(client, job, range(1, 3))
    assert counts(cluster, node) == [1, 1, 1]
    cluster.submit(client, job, range(3, 10))
    assert counts(cluster, node) == [2, 2, 2]


def test_the_oldest_job_is_served_first_and_the_next_gets_what_it_leaves(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(4)
    cluster.open(client, "old")
    cluster.open(client, "new")
    cluster.submit(client, "new", range(2))
    cluster.submit(client, "old", range(9))
    cluster.finish(node, 1, *cluster.leased(node, 1))
    assert [ref.job for channel in (1, 2, 3, 4) for ref in cluster.leased(node, channel)].count(
        "new"
    ) <= 1
    assert cluster.leased(node, 1)[0].job == "old"


def test_short_work_of_a_second_job_fills_the_time_the_first_leaves(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    for job in ("a", "b"):
        cluster.open(client, job)
        cluster.learn(client, node, 1_000, job)
    cluster.submit(client, "a", range(20))
    cluster.submit(client, "b", range(100))
    held = [ref.job for ref in cluster.leased(node)]
    assert (held.count("a"), held.count("b")) == (20, 20)


def test_a_job_with_long_tasks_queues_one_behind_another_job(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    for job, duration_us in (("a", 1_000_000), ("b", 1_000_000)):
        cluster.open(client, job)
        cluster.learn(client, node, duration_us, job)
    cluster.submit(client, "a", [0])
    cluster.submit(client, "b", range(5))
    assert [ref.job for ref in cluster.leased(node)] == ["a", "b"]


def test_engines_are_respected(cluster: Any) -> None:
    client, node = cluster.client(), cluster.greet()
    cluster.up(node, 1, engines=("5.4",))
    cluster.up(node, 2, engines=("luajit", "5.4"))
    cluster.open(client, "jit")
    cluster.learn(client, node, 100, "jit")
    cluster.open(client, "puc", engine="5.4")
    cluster.submit(client, "jit", range(2))
    assert counts(cluster, node) == [0, 2]
    cluster.submit(client, "puc", range(2))
    assert cluster.leased(node, 1)[0].job == "puc"


def test_a_node_hears_of_job_and_bundle_once(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(2)
    job = cluster.open(client)
    cluster.submit(client, job, range(2))
    cluster.finish(node, 1, *cluster.leased(node, 1))
    cluster.submit(client, job, [7])
    kinds = [type(message) for message in cluster.read(node)]
    assert kinds.count(BeginJob) == kinds.count(PutBundle) == 1
    assert kinds.index(BeginJob) < kinds.index(PutBundle) < kinds.index(RunTasks)
    other = "e" * 64
    cluster.say(client, PutBundle(job, other, "second.lua", []), [b""])
    cluster.finish(node, 1, *cluster.leased(node, 1))
    cluster.say(client, RunTasks(job, 1, 1, other, "f", [Call(0)]), [b""])
    kinds = [type(message) for message in cluster.read(node)]
    assert kinds.count(PutBundle) == 1
    assert kinds.count(BeginJob) == 0


def test_bundles_travel_as_they_came(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.submit(client, cluster.open(client), [0])
    (frame,) = [f for f in cluster.heard[node] if isinstance(f.message, PutBundle)]
    assert (frame.channel, list(frame.buffers)) == (0, [b"-- lua"])


def test_frames_hold_a_bounded_number_of_calls(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.learn(client, node, 1)
    cluster.submit(client, job, range(600))
    frames = cluster.read_only(node, RunTasks)
    assert [len(frame.calls) for frame in frames] == [256, 256, 88]
    assert [call.index for frame in frames for call in frame.calls] == list(range(600))


def test_large_payloads_are_split_over_frames(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.learn(client, node, 1)
    cluster.submit(client, job, range(4), payload=bytes(FRAME_BYTES_TARGET // 2))
    assert [len(frame.calls) for frame in cluster.read_only(node, RunTasks)] == [2, 2]


def test_payloads_of_many_buffers_are_split_over_frames(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.learn(client, node, 1)
    each = FRAME_BUFFERS_MAX // 2
    calls = [Call(index, buffer_count=each) for index in range(3)]
    cluster.say(client, RunTasks(job, 0, 3, DIGEST, "f", calls), [b"1"] * (3 * each))
    frames = [frame for frame in cluster.heard[node] if isinstance(frame.message, RunTasks)]
    assert [len(frame.buffers) for frame in frames] == [2 * each, each]


def test_rounds_and_entries_do_not_share_a_frame(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.learn(client, node, 1)
    cluster.up(node, 2)
    cluster.down(node, 2)
    cluster.down(node, 1)
    cluster.submit(client, job, range(2), round_=0)
    cluster.submit(client, job, range(2), round_=1)
    cluster.heard.clear()
    cluster.up(node, 1, epoch=1)
    assert [(f.round, len(f.calls)) for f in cluster.read_only(node, RunTasks)] == [(0, 2), (1, 2)]


def test_queued_bytes_are_bounded_but_one_task_always_goes(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.learn(client, node, 1)
    large = bytes(limits.QUEUE_BYTES_MAX // 2 + 1)
    cluster.submit(client, job, range(3), payload=large)
    assert indices(cluster, node) == [0]
    cluster.finish(node, 1, *cluster.leased(node))
    assert indices(cluster, node) == [1]


def test_large_payloads_of_a_second_job_wait_for_room(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    for job in ("a", "b"):
        cluster.open(client, job)
        cluster.learn(client, node, 1_000, job)
    cluster.submit(client, "a", [0])
    cluster.submit(client, "b", [0], payload=bytes(limits.QUEUE_BYTES_MAX))
    assert cluster.leased(node) == [TaskRef("a", 0, 0)]
    cluster.finish(node, 1, TaskRef("a", 0, 0))
    assert cluster.leased(node) == [TaskRef("b", 0, 0)]


def test_unread_results_pause_their_own_job_only(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    greedy, modest = cluster.open(client, "greedy"), cluster.open(client, "modest")
    cluster.submit(client, greedy, range(2))
    cluster.submit(client, modest, range(1))
    cluster.finish(node, 1, *cluster.leased(node), result=bytes(limits.CREDIT_BYTES + 1))
    assert cluster.leased(node) == [TaskRef(modest, 0, 0)]
    cluster.finish(node, 1, *cluster.leased(node))
    assert cluster.leased(node) == []
    cluster.acknowledge(client, greedy, 0)
    assert cluster.leased(node) == [TaskRef(greedy, 0, 1)]


def test_payloads_over_the_credit_are_worked_off_one_by_one(cluster: Any) -> None:
    client = cluster.client()
    job = cluster.open(client)
    cluster.submit(client, job, range(3), payload=bytes(limits.CREDIT_BYTES // 2))
    node = cluster.node(2)
    assert sum(counts(cluster, node)) == 1


def test_a_task_in_two_places_is_our_bug(cluster: Any) -> None:
    client, node = cluster.client(), cluster.greet()
    job = cluster.open(client)
    cluster.submit(client, job, [0])
    cluster.state.jobs[job].fresh[0].state = TaskState.DONE
    with pytest.raises(IllegalTransition, match="task 0 of round 0: no transition from 'done'"):
        cluster.up(node, 1)


def test_tasks_name_the_process_that_is_meant(cluster: Any) -> None:
    """They may arrive when the next one sits on the channel, before the host has heard of it."""
    client, node = cluster.client(), cluster.node()
    cluster.down(node)
    cluster.up(node, epoch=1)
    cluster.open(client)
    cluster.submit(client, "job", [0])
    (order,) = cluster.read_only(node, RunTasks)
    assert order.epoch == 1
