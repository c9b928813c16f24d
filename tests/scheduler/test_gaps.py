"""A host that stood still gives everybody the time back."""

from __future__ import annotations

from typing import Any

from midas_mp import limits
from midas_mp.wire.messages import EndJob, OpenJob, TaskRef

PATIENCE_S = limits.CLIENT_PATIENCE_S


def test_a_client_that_was_away_before_the_gap_has_as_long_after_it(cluster: Any) -> None:
    client = cluster.client(node_id="c1")
    cluster.open(client)
    cluster.lose(client)
    cluster.wait(PATIENCE_S - 10)
    cluster.stand_still(3_600)
    (notice,) = [text for text in cluster.notices if "stood still" in text]
    assert notice == "this host stood still for 3595 s: who is awaited has as much longer"
    cluster.wait(4)
    assert list(cluster.state.jobs) == ["job"]
    again = cluster.client(node_id="c1")
    cluster.say(again, OpenJob("job", "primes", cluster.state.jobs["job"].spec))
    cluster.wait(2 * PATIENCE_S)
    assert list(cluster.state.jobs) == ["job"]


def test_patience_ends_after_a_gap_too(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    cluster.lose(client)
    cluster.stand_still(3_600)
    cluster.wait(PATIENCE_S - 6)
    assert list(cluster.state.jobs) == ["job"]
    cluster.wait(6)
    assert cluster.state.jobs == {}


def test_work_that_was_brought_along_waits_as_long_for_its_client(cluster: Any) -> None:
    node = cluster.greet(workers_announced=1)
    cluster.up(node, 1, held=[TaskRef("old", 0, 0)])
    cluster.stand_still(3_600)
    assert cluster.read_only(node, EndJob) == []
    cluster.wait(PATIENCE_S)
    assert [end.job for end in cluster.read_only(node, EndJob)] == ["old"]


def test_who_awaits_nobody_need_not_look(cluster: Any) -> None:
    client = cluster.client()
    cluster.node()
    cluster.open(client)
    assert cluster.ready.wake_at is None
    cluster.stand_still(3_600)
    assert not any("stood still" in text for text in cluster.notices)


def test_a_little_late_is_no_gap(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    cluster.lose(client)
    for _ in range(7):
        cluster.stand_still(2 * limits.LOOK_INTERVAL_S)
    assert cluster.state.jobs == {}
    assert not any("stood still" in text for text in cluster.notices)


def test_who_is_there_is_not_awaited(cluster: Any) -> None:
    away, present = cluster.client(), cluster.client()
    cluster.open(away, "one")
    cluster.open(present, "two")
    cluster.lose(away)
    cluster.stand_still(3_600)
    assert cluster.state.jobs["two"].away_until is None
    assert cluster.state.jobs["one"].away_until > cluster.now


def test_work_that_is_kept_for_ever_needs_no_more_time(cluster: Any) -> None:
    node = cluster.greet(workers_announced=1)
    cluster.up(node, 1, held=[TaskRef("job", 0, 7)])
    cluster.open(cluster.client())
    cluster.wait(PATIENCE_S)
    assert cluster.state.strays["job"].until is None
    away = cluster.client()
    cluster.open(away, "other")
    cluster.lose(away)
    cluster.stand_still(3_600)
    assert cluster.state.strays["job"].until is None
