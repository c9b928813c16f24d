from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.scheduler.quarantine import STREAK
from midas_mp.wire.messages import (
    JobStarted,
    JobStatus,
    NodeLeaving,
    RecallTasks,
    RunTasks,
    TaskRef,
)


class Shop:
    """Nodes that kill each of their workers at each task (bad ones), or do not."""

    def __init__(self, cluster: Any, bad: int, good: int, tasks: int) -> None:
        self.cluster = cluster
        self.client = cluster.client()
        self.bad = [cluster.node(1) for _ in range(bad)]
        self.good = [cluster.node(1) for _ in range(good)]
        self.epochs = dict.fromkeys(self.bad, 0)
        cluster.open(self.client)
        cluster.submit(self.client, "job", range(tasks))

    @property
    def set_aside(self) -> list[int]:
        ids = self.cluster.state.jobs["job"].standings.set_aside
        return [
            peer for peer, node in self.cluster.state.nodes.items() if node.hello.node_id in ids
        ]

    def crash(self, node: int) -> None:
        (ref, *_) = self.cluster.leased(node)
        self.cluster.down(node, 1, epoch=self.epochs[node], running=ref)
        self.epochs[node] += 1
        self.cluster.up(node, 1, epoch=self.epochs[node])

    def work(self, rounds: int) -> None:
        """Everybody does what is his."""
        for _ in range(rounds):
            for node in self.bad:
                if node in self.cluster.state.nodes and self.cluster.leased(node):
                    self.crash(node)
            for node in self.good:
                for ref in self.cluster.leased(node):
                    self.cluster.finish(node, 1, ref, duration_us=1_000_000)


def notices(cluster: Any, client: int) -> list[str]:
    """What its client hears, but of deaths."""
    heard = [message.notice for message in cluster.read_only(client, JobStatus)]
    return [notice for notice in heard if notice and " died (" not in notice]


def test_a_node_on_which_tasks_fail_that_succeed_elsewhere_is_set_aside(cluster: Any) -> None:
    shop = Shop(cluster, bad=1, good=1, tasks=100)
    shop.work(STREAK - 1)
    assert shop.set_aside == []
    shop.work(6)
    assert shop.set_aside == shop.bad
    sentence = (
        "node launcher2 is set aside for 300 s: 5 tasks in a row failed there and succeeded "
        "elsewhere"
    )
    assert notices(cluster, shop.client) == [sentence]
    assert f"job job: {sentence}" in cluster.notices
    assert len(cluster.leased(shop.bad[0])) <= 1, "what runs there may end"
    shop.work(100)
    assert cluster.leased(shop.bad[0]) == []
    assert cluster.scheduler.statistics().tasks_done == 100


def test_after_its_time_it_is_let_back_and_one_failure_is_enough(cluster: Any) -> None:
    shop = Shop(cluster, bad=1, good=1, tasks=500)
    shop.work(12)
    assert shop.set_aside == shop.bad
    cluster.wait(limits.QUARANTINE_S - 1)
    assert shop.set_aside == shop.bad
    cluster.wait(1)
    assert shop.set_aside == []
    assert cluster.leased(shop.bad[0]) != []
    shop.work(4)
    assert shop.set_aside == shop.bad


def test_who_is_set_aside_is_no_worker_of_the_job(cluster: Any) -> None:
    """A round may have as many tasks as there are workers."""
    shop = Shop(cluster, bad=1, good=1, tasks=500)
    shop.work(12)
    assert shop.set_aside == shop.bad
    assert cluster.read_only(shop.client, JobStatus)[-1].workers == 1
    cluster.wait(limits.QUARANTINE_S)
    assert cluster.read_only(shop.client, JobStatus)[-1].workers == 2


def test_a_job_can_start_though_it_knows_of_a_bad_node(cluster: Any) -> None:
    """What its nodes brought along from an earlier host was evidence enough."""
    refs = [TaskRef("job", 0, index) for index in range(STREAK)]
    client = cluster.client()
    cluster.open(client, workers_min=2 * STREAK + 1)
    bad, good = (cluster.greet(workers_announced=STREAK) for _ in range(2))
    for node in (bad, good):
        for channel, ref in enumerate(refs, 1):
            cluster.up(node, channel, held=[ref])
    cluster.submit(client, "job", range(STREAK))
    for channel, ref in enumerate(refs, 1):
        cluster.down(bad, channel, running=ref)
        cluster.finish(good, channel, ref)
    standings = cluster.state.jobs["job"].standings
    assert list(standings.set_aside) == [f"{bad:x}"]
    cluster.lose(good)
    assert not standings.set_aside
    for channel in range(1, 2 * STREAK + 2):
        cluster.up(bad, channel, 1)
    assert [m.workers for m in cluster.read_only(client, JobStarted)] == [2 * STREAK + 1]


def test_who_succeeds_once_is_as_good_as_ever(cluster: Any) -> None:
    shop = Shop(cluster, bad=1, good=1, tasks=500)
    for _ in range(20):
        shop.work(3)
        cluster.finish(shop.bad[0], 1, *cluster.leased(shop.bad[0])[:1])
    assert shop.set_aside == []


def test_the_last_node_is_never_set_aside(cluster: Any) -> None:
    """What the other one finishes while it is leaving is evidence, but nobody else is there."""
    shop = Shop(cluster, bad=1, good=1, tasks=500)
    (bad,), (good,) = shop.bad, shop.good
    strikes = cluster.state.jobs["job"].standings.strikes
    helper = cluster.state.nodes[good].workers[1]
    while strikes.get(f"{bad:x}") != STREAK - 1 or not helper.has_suspect:
        shop.work(1)
    cluster.say(good, NodeLeaving("SIGTERM", 30.0))
    cluster.finish(good, 1, *cluster.leased(good), duration_us=1_000_000)
    assert strikes[f"{bad:x}"] == STREAK
    assert shop.set_aside == []


def test_when_the_others_go_it_is_let_back(cluster: Any) -> None:
    shop = Shop(cluster, bad=1, good=1, tasks=500)
    shop.work(12)
    assert shop.set_aside == shop.bad
    cluster.heard.clear()
    cluster.lose(shop.good[0])
    assert shop.set_aside == []
    assert cluster.leased(shop.bad[0]) != []
    assert notices(cluster, shop.client) == [
        "the nodes that were set aside are used again: there is no other"
    ]


def test_a_script_that_kills_workers_everywhere_sets_nobody_aside(cluster: Any) -> None:
    shop = Shop(cluster, bad=3, good=0, tasks=60)
    shop.work(120)
    cluster.wait(3)
    shop.work(120)
    assert cluster.state.jobs["job"].standings.strikes == {}
    assert cluster.scheduler.statistics().tasks_done == 60


def test_of_several_that_are_as_bad_none_is_set_aside(cluster: Any) -> None:
    shop = Shop(cluster, bad=2, good=1, tasks=500)
    shop.work(30)
    assert shop.set_aside == []


def test_what_has_not_begun_there_is_fetched_back(cluster: Any) -> None:
    shop = Shop(cluster, bad=1, good=1, tasks=500)
    cluster.finish(shop.good[0], 1, *cluster.leased(shop.good[0]), duration_us=1_000_000)
    (bad,), (good,) = shop.bad, shop.good
    strikes = cluster.state.jobs["job"].standings.strikes
    while strikes.get(f"{bad:x}") != STREAK - 1 or len(cluster.leased(bad)) != 2:
        shop.work(1)
    cluster.heard.clear()
    cluster.finish(good, 1, *cluster.leased(good), duration_us=1_000_000)
    assert shop.set_aside == [bad]
    assert cluster.read_only(bad, RecallTasks) == [RecallTasks(1)]
    cluster.give_back(bad, 1, *cluster.leased(bad)[1:])
    assert len(cluster.leased(bad)) == 1


@pytest.mark.parametrize("is_same", [True, False])
def test_who_comes_back_is_the_same_and_who_is_started_anew_is_another(
    cluster: Any, is_same: bool
) -> None:
    shop = Shop(cluster, bad=1, good=1, tasks=500)
    shop.work(12)
    (bad,) = shop.bad
    cluster.lose(bad)
    again = cluster.node(1, node_id=f"{bad:x}" if is_same else "ff")
    assert (cluster.leased(again) == []) == is_same
    cluster.heard.clear()
    assert cluster.read_only(again, RunTasks) == []


def test_another_job_uses_it(cluster: Any) -> None:
    shop = Shop(cluster, bad=1, good=1, tasks=12)
    shop.work(30)
    assert shop.set_aside == shop.bad
    cluster.open(shop.client, "other")
    cluster.submit(shop.client, "other", [0, 1])
    assert [ref.job for ref in cluster.leased(shop.bad[0])] == ["other"]


def test_a_node_that_is_about_to_leave_is_nobody_beside(cluster: Any) -> None:
    shop = Shop(cluster, bad=1, good=1, tasks=100)
    (bad,), (good,) = shop.bad, shop.good
    strikes = cluster.state.jobs["job"].standings.strikes
    while strikes.get("2", 0) < STREAK - 1:
        shop.work(1)
    (failing, *_) = cluster.leased(bad)
    shop.crash(bad)
    while failing not in cluster.leased(good):
        cluster.finish(good, 1, *cluster.leased(good), duration_us=1_000_000)
    cluster.say(good, NodeLeaving("SIGTERM", 30.0))
    cluster.finish(good, 1, failing)
    assert strikes["2"] == STREAK
    assert shop.set_aside == []
