from __future__ import annotations

from typing import Any

import pytest

from midas_mp.scheduler.recall import ANSWER_S_MAX
from midas_mp.scheduler.stragglers import GAIN_MIN_US, LOOK_INTERVAL_S
from midas_mp.wire.messages import (
    CancelTasks,
    RecallTasks,
    RunTasks,
    TaskRef,
)

SECOND_US = 1_000_000


def runs(cluster: Any, node: int) -> list[tuple[int, list[tuple[int, int]]]]:
    """What each channel was given since this was last asked: index and attempt."""
    frames = cluster.heard.pop(node, [])
    return [
        (frame.channel, [(call.index, call.attempt) for call in frame.message.calls])
        for frame in frames
        if isinstance(frame.message, RunTasks)
    ]


class Pair:
    """Node ``there`` has a task in hand, and node ``here`` nothing to do."""

    def __init__(
        self, cluster: Any, *, here_us: int = SECOND_US, there_us: int = SECOND_US
    ) -> None:
        self.cluster = cluster
        self.client = cluster.client()
        self.there, self.here = cluster.node(1), cluster.node(1)
        cluster.open(self.client)
        cluster.submit(self.client, "job", [90, 91], round_=9)
        for node, took_us in ((self.there, there_us), (self.here, here_us)):
            cluster.finish(node, 1, *cluster.leased(node), duration_us=took_us)
        cluster.acknowledge(self.client, "job", 90, 91, round_=9)
        cluster.wait(LOOK_INTERVAL_S)
        cluster.submit(self.client, "job", [0, 1])
        assert cluster.leased(self.there) == [TaskRef("job", 0, 0)]
        cluster.heard.clear()
        cluster.finish(self.here, 1, *cluster.leased(self.here), duration_us=here_us)

    @property
    def helper(self) -> str:
        return self.cluster.state.nodes[self.here].workers[1].state.value


def test_a_task_that_runs_twice_as_long_as_usual_is_copied_to_another_node(cluster: Any) -> None:
    pair = Pair(cluster)
    cluster.wait(1.9)
    assert runs(cluster, pair.here) == []
    cluster.wait(0.2)
    assert runs(cluster, pair.here) == [(1, [(0, 1)])]
    assert (pair.helper, cluster.scheduler.statistics().copies) == ("releasing", 1)
    cluster.wait(60)
    assert runs(cluster, pair.here) == []
    assert cluster.scheduler.statistics().copies == 1


def test_what_a_slow_node_has_begun_is_copied_at_once(cluster: Any) -> None:
    pair = Pair(cluster, there_us=10 * SECOND_US)
    cluster.wait(LOOK_INTERVAL_S)
    assert runs(cluster, pair.here) == [(1, [(0, 1)])]


def test_a_node_that_is_much_slower_is_not_waited_for(cluster: Any) -> None:
    pair = Pair(cluster, there_us=SECOND_US * 5 // 2)
    cluster.wait(0.4)
    assert runs(cluster, pair.here) == [(1, [(0, 1)])]


def test_a_node_that_is_hardly_slower_is_waited_for(cluster: Any) -> None:
    pair = Pair(cluster, there_us=SECOND_US * 3 // 2)
    cluster.wait(1.9)
    assert runs(cluster, pair.here) == []


def test_a_slow_node_helps_nobody_who_is_faster(cluster: Any) -> None:
    pair = Pair(cluster, here_us=10 * SECOND_US)
    cluster.wait(19)
    assert runs(cluster, pair.here) == []
    cluster.wait(2)
    assert runs(cluster, pair.here) == [(1, [(0, 1)])]


def test_short_tasks_are_not_worth_it_until_one_is_not_short(cluster: Any) -> None:
    pair = Pair(cluster, here_us=2_000, there_us=2_000)
    cluster.wait(GAIN_MIN_US / 1e6)
    assert runs(cluster, pair.here) == []
    cluster.wait(0.05)
    assert runs(cluster, pair.here) == [(1, [(0, 1)])]


def test_workers_of_one_node_do_not_copy_from_each_other(cluster: Any) -> None:
    pair = Pair(cluster)
    cluster.lose(pair.here)
    cluster.up(pair.there, 2)
    cluster.heard.clear()
    cluster.wait(60)
    assert runs(cluster, pair.there) == []
    assert cluster.ready.wake_at is None


def test_nothing_is_copied_while_nobody_knows_what_is_long(cluster: Any) -> None:
    client = cluster.client()
    there, here = cluster.node(1), cluster.node(1)
    cluster.open(client)
    cluster.submit(client, "job", [0])
    assert cluster.ready.wake_at is None
    cluster.wait(60)
    assert cluster.scheduler.statistics().copies == 0
    assert {there, here} == set(cluster.state.nodes)


def test_who_cannot_run_it_is_no_help(cluster: Any) -> None:
    pair = Pair(cluster)
    cluster.down(pair.here, 1)
    cluster.up(pair.here, 1, epoch=1, engines=("5.4",))
    cluster.heard.clear()
    cluster.wait(60)
    assert runs(cluster, pair.here) == []


def test_the_fastest_node_helps_with_what_takes_longest(cluster: Any) -> None:
    client = cluster.client()
    nodes = [cluster.node(1) for _ in range(4)]
    cluster.open(client)
    cluster.submit(client, "job", range(90, 94), round_=9)
    for node, seconds in zip(nodes, (20, 40, 2, 1), strict=True):
        cluster.finish(node, 1, *cluster.leased(node), duration_us=seconds * SECOND_US)
    cluster.submit(client, "job", range(4))
    longest = cluster.leased(nodes[1])[0].index
    other = cluster.leased(nodes[0])[0].index
    cluster.heard.clear()
    cluster.wait(LOOK_INTERVAL_S)
    cluster.finish(nodes[2], 1, *cluster.leased(nodes[2]), duration_us=2 * SECOND_US)
    assert runs(cluster, nodes[2]) == [(1, [(longest, 1)])]
    cluster.wait(LOOK_INTERVAL_S)
    cluster.finish(nodes[3], 1, *cluster.leased(nodes[3]), duration_us=SECOND_US)
    assert runs(cluster, nodes[3]) == [(1, [(other, 1)])]


def test_of_two_free_nodes_the_fastest_helps(cluster: Any) -> None:
    client = cluster.client()
    nodes = [cluster.node(1) for _ in range(3)]
    cluster.open(client)
    cluster.submit(client, "job", range(90, 93), round_=9)
    for node, seconds in zip(nodes, (20, 2, 1), strict=True):
        cluster.finish(node, 1, *cluster.leased(node), duration_us=seconds * SECOND_US)
    cluster.submit(client, "job", range(3))
    cluster.heard.clear()
    for node in nodes[1:]:
        cluster.finish(node, 1, *cluster.leased(node), duration_us=SECOND_US)
    cluster.wait(LOOK_INTERVAL_S)
    assert runs(cluster, nodes[1]) == []
    assert len(runs(cluster, nodes[2])) == 1


def stuck(cluster: Any) -> tuple[int, int]:
    """One node has three short tasks, and another one has just come."""
    client = cluster.client()
    there = cluster.node(1)
    cluster.open(client)
    cluster.learn(client, there, 1_000)
    cluster.submit(client, "job", range(3))
    here = cluster.node(1)
    cluster.heard.clear()
    return there, here


def test_what_cannot_be_recalled_is_copied_and_what_runs_comes_last(cluster: Any) -> None:
    there, here = stuck(cluster)
    cluster.wait(0.009)
    assert len(cluster.read_only(there, RecallTasks)) == 1
    cluster.give_back(there, 1)
    cluster.wait(0.5)
    assert runs(cluster, here) == [(1, [(1, 1), (2, 1), (0, 1)])]


def test_a_launcher_that_does_not_answer_is_not_waited_for(cluster: Any) -> None:
    there, here = stuck(cluster)
    cluster.wait(0.009)
    assert len(cluster.read_only(there, RecallTasks)) == 1
    cluster.wait(ANSWER_S_MAX - 0.01)
    assert runs(cluster, here) == []
    cluster.wait(0.05)
    assert runs(cluster, here) == [(1, [(1, 1), (2, 1), (0, 1)])]
    cluster.give_back(there, 1, TaskRef("job", 0, 2))
    assert cluster.leased(here) == [TaskRef("job", 0, 2)]


def test_a_suspect_is_not_copied(cluster: Any) -> None:
    pair = Pair(cluster)
    cluster.wait(1)
    cluster.down(pair.there, 1, running=TaskRef("job", 0, 0))
    assert cluster.leased(pair.here) == [TaskRef("job", 0, 0)]
    cluster.up(pair.there, 1, epoch=1)
    cluster.heard.clear()
    cluster.wait(60)
    assert runs(cluster, pair.there) == []


@pytest.mark.parametrize("answers", [True, False])
def test_a_copy_gives_way_to_tasks_that_wait(cluster: Any, answers: bool) -> None:
    pair = Pair(cluster, there_us=10 * SECOND_US)
    cluster.wait(LOOK_INTERVAL_S)
    cluster.heard.clear()
    cluster.submit(pair.client, "job", range(10, 13))
    assert cluster.read_only(pair.here, CancelTasks) == [CancelTasks("job", 0, [0])]
    cluster.wait(1)
    assert cluster.read_only(pair.here, CancelTasks) == [], "once is enough"
    if answers:
        cluster.finish(pair.here, 1, TaskRef("job", 0, 0))
    else:
        cluster.down(pair.here, 1)
        cluster.up(pair.here, 1, epoch=1)
    assert len(cluster.leased(pair.here)) > 0
    assert cluster.scheduler.statistics().tasks_done == 1
    assert TaskRef("job", 0, 0) in cluster.leased(pair.there)


def test_a_copy_gives_way_to_tasks_that_are_queued_elsewhere(cluster: Any) -> None:
    """Those that nobody fetched while they were thought to be short."""
    both = ("luajit", "5.4")
    client, there = cluster.client(), cluster.node(1)
    here = cluster.greet(workers_announced=1)
    cluster.up(here, 1, engines=both)
    cluster.open(client)
    cluster.submit(client, "job", [90, 91], round_=9)
    for node, seconds in ((there, 10), (here, 1)):
        cluster.finish(node, 1, *cluster.leased(node), duration_us=seconds * SECOND_US)
    cluster.open(client, "quick", engine="5.4")
    cluster.submit(client, "quick", [90])
    cluster.finish(here, 1, TaskRef("quick", 0, 90), duration_us=39_000)
    cluster.submit(client, "job", [0, 1])
    cluster.finish(here, 1, *cluster.leased(here), duration_us=SECOND_US)
    cluster.down(here, 1)
    cluster.up(here, 2, engines=("5.4",))
    cluster.submit(client, "quick", range(2))
    assert len(cluster.leased(here, 2)) == 2
    cluster.heard.clear()
    cluster.wait(0.06)
    cluster.up(here, 1, epoch=1, engines=both)
    assert runs(cluster, here) == [(1, [(0, 1)])]
    cluster.wait(0.03)
    assert cluster.read_only(here, CancelTasks) == [CancelTasks("job", 0, [0])]
    cluster.finish(here, 1, TaskRef("job", 0, 0))
    assert cluster.read_only(here, RecallTasks) == [RecallTasks(1)]


def test_a_copy_does_not_give_way_to_what_its_worker_cannot_run(cluster: Any) -> None:
    pair = Pair(cluster, there_us=10 * SECOND_US)
    cluster.wait(LOOK_INTERVAL_S)
    other = cluster.open(pair.client, "other", engine="5.4")
    cluster.up(pair.there, 2, engines=("5.4",))
    cluster.heard.clear()
    cluster.submit(pair.client, other, range(5))
    cluster.wait(0.1)
    assert cluster.read_only(pair.here, CancelTasks) == []


def test_no_more_copies_give_way_than_are_needed(cluster: Any) -> None:
    client = cluster.client()
    there, here = cluster.node(2), cluster.node(2)
    cluster.open(client)
    cluster.submit(client, "job", range(90, 94), round_=9)
    for node, seconds in ((there, 10), (here, 1)):
        for channel in (1, 2):
            refs = cluster.leased(node, channel)
            cluster.finish(node, channel, *refs, duration_us=seconds * SECOND_US)
    cluster.submit(client, "job", range(4))
    cluster.heard.clear()
    for channel in (1, 2):
        refs = cluster.leased(here, channel)
        cluster.finish(here, channel, *refs, duration_us=SECOND_US)
    cluster.wait(LOOK_INTERVAL_S)
    assert len(runs(cluster, here)) == 2
    cluster.heard.clear()
    cluster.submit(client, "job", [10])
    assert len(cluster.read_only(here, CancelTasks)) == 1
    cluster.wait(0.1)
    assert cluster.read_only(here, CancelTasks) == []
