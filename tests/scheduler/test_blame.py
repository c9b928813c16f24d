"""What is remembered of deaths, for whoever reads of them."""

from __future__ import annotations

from typing import Any

from midas_mp import limits
from midas_mp.scheduler.blame import Blame, Death


def test_a_death_is_told_with_all_that_is_known() -> None:
    death = Death("lab-001", 2, "killed by SIGSEGV", 50 * limits.MB)
    assert str(death) == "attempt 2 on lab-001: killed by SIGSEGV, peak memory 50 MB"


def test_where_it_happened_is_remembered_each_node_once_and_the_last_worker(cluster: Any) -> None:
    first, second = (cluster.state.nodes[cluster.node(2)] for _ in range(2))
    blame = Blame()
    for node, channel, now in ((first, 1, 5.0), (second, 2, 6.0), (first, 2, 7.0)):
        blame.accuse(node.workers[channel], now)
    assert list(blame.node_ids) == [first.hello.node_id, second.hello.node_id]
    assert (blame.node_id, blame.channel, blame.since) == (first.hello.node_id, 2, 7.0)
    assert blame.count == 0, "those were failures"
    blame.deaths.append(Death("lab-001", 0, "killed by SIGKILL", 0))
    assert blame.count == 1
