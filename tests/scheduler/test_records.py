from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.errors import IllegalTransition
from midas_mp.scheduler.records import Batch, Task, advance_task
from midas_mp.scheduler.tables import TASK, TaskState
from midas_mp.wire.messages import CallForm


def test_a_task_tells_its_story_from_its_fields(cluster: Any) -> None:
    task = Task(Batch(2, 9, "d" * 64, "execute_code", CallForm.DATA), 7, 1, [b"x"], 1)
    with pytest.raises(IllegalTransition) as caught:
        advance_task(task, TASK["forget"], "forget")
    assert str(caught.value) == (
        "task 7 of round 2: no transition from 'waiting' on 'forget'; "
        "before that: attempt 1 | held by nobody"
    )
    client, node = cluster.client(), cluster.node(1)
    cluster.submit(client, cluster.open(client), [0])
    (held,) = cluster.state.jobs["job"].rounds[0].values()
    assert held.tell() == ["attempt 0", "held by launcher2-001"]
    assert held.state is TaskState.LEASED
    assert cluster.state.nodes[node].workers[1].label == "worker launcher2-001"


def test_a_job_over_its_bytes_may_lease_one_task_when_nothing_else_frees_bytes(
    cluster: Any,
) -> None:
    client = cluster.client()
    job = cluster.state.jobs[cluster.open(client)]
    cluster.submit(client, "job", range(3))
    assert job.lease_allowance == 3
    job.size_bytes += limits.CREDIT_BYTES
    assert job.lease_allowance == 1
    job.done_count = 1
    assert job.lease_allowance == 0
