from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.wire.messages import (
    CancelTasks,
    EndJob,
    RunTasks,
    TaskPrinted,
    TaskProgress,
    TaskRef,
    TaskResults,
    TaskRunning,
)

TASK = TaskRef("job", 0, 0)


class Copied:
    """Node ``slow`` has the lease of a task, node ``quick`` a copy."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.client = cluster.client()
        self.slow, self.quick = cluster.node(1), cluster.node(1)
        cluster.open(self.client)
        cluster.submit(self.client, "job", [90, 91], round_=9)
        for node, took_us in ((self.slow, 10_000_000), (self.quick, 1_000_000)):
            cluster.finish(node, 1, *cluster.leased(node), duration_us=took_us)
        cluster.acknowledge(self.client, "job", 90, 91, round_=9)
        cluster.submit(self.client, "job", [0])
        if cluster.leased(self.quick):
            self.slow, self.quick = self.quick, self.slow
        cluster.heard.clear()

    def print(self, node: int, text: bytes) -> None:
        self.cluster.say(node, TaskPrinted("job", 0, 0, "w"), [text], 1)

    def heard(self) -> list[bytes | int]:
        """What the client hears of the task: texts, and 0 for the result."""
        frames = self.cluster.heard.pop(self.client, [])
        return [
            bytes(frame.buffers[0]) if isinstance(frame.message, TaskPrinted) else 0
            for frame in frames
            if isinstance(frame.message, TaskPrinted | TaskResults)
        ]

    def state(self, node: int) -> str:
        return self.cluster.state.nodes[node].workers[1].state.value


@pytest.fixture
def copied(cluster: Any) -> Copied:
    copied = Copied(cluster)
    cluster.wait(25)
    assert cluster.scheduler.statistics().copies == 1
    (frame,) = cluster.read_only(copied.quick, RunTasks)
    assert [(call.index, call.attempt) for call in frame.calls] == [(0, 1)]
    cluster.heard.clear()
    return copied


def test_a_copy_that_is_first_counts_and_the_lease_is_called_off(
    cluster: Any, copied: Copied
) -> None:
    cluster.finish(copied.quick, 1, TASK)
    (message,) = cluster.read_only(copied.client, TaskResults)
    assert message.worker == cluster.state.nodes[copied.quick].workers[1].name
    assert cluster.read_only(copied.slow, CancelTasks) == [CancelTasks("job", 0, [0])]
    assert (copied.state(copied.slow), copied.state(copied.quick)) == ("releasing", "idle")
    cluster.finish(copied.slow, 1, TASK)
    assert cluster.read_only(copied.client, TaskResults) == []
    assert cluster.scheduler.statistics().duplicates == 1
    assert copied.state(copied.slow) == "idle"


def test_a_lease_that_is_first_counts_and_the_copy_is_called_off(
    cluster: Any, copied: Copied
) -> None:
    cluster.finish(copied.slow, 1, TASK)
    assert len(cluster.read_only(copied.client, TaskResults)) == 1
    assert cluster.read_only(copied.quick, CancelTasks) == [CancelTasks("job", 0, [0])]
    assert (copied.state(copied.slow), copied.state(copied.quick)) == ("idle", "releasing")
    cluster.give_back(copied.quick, 1, TASK)
    assert copied.state(copied.quick) == "idle"
    assert cluster.read(copied.client) == []


@pytest.mark.parametrize("how", ["lost", "down", "returned"])
def test_a_lease_that_comes_back_goes_to_the_copy(cluster: Any, copied: Copied, how: str) -> None:
    if how == "lost":
        cluster.lose(copied.slow)
    elif how == "down":
        cluster.down(copied.slow, 1)
    else:
        cluster.give_back(copied.slow, 1, TASK)
    assert cluster.leased(copied.quick) == [TASK]
    assert copied.state(copied.quick) == "busy"
    assert cluster.read_only(copied.quick, RunTasks) == []
    cluster.lose(copied.quick)
    cluster.node(1)
    (frame,) = [m for node in cluster.state.nodes for m in cluster.read_only(node, RunTasks)]
    assert [(call.index, call.attempt) for call in frame.calls] == [(0, 2)]


def test_a_lease_that_killed_its_worker_leaves_the_copy_alone_with_it(
    cluster: Any, copied: Copied
) -> None:
    cluster.down(copied.slow, 1, running=TASK)
    assert cluster.leased(copied.quick) == [TASK]
    assert copied.state(copied.quick) == "alone"
    (blame,) = cluster.state.jobs["job"].blames.values()
    assert blame.count == 1


def test_a_task_does_not_fail_while_a_copy_may_succeed(cluster: Any, copied: Copied) -> None:
    (task,) = cluster.state.jobs["job"].copies
    for epoch in range(limits.ATTEMPTS_MAX):
        cluster.down(copied.slow, 1, epoch=epoch, running=TASK)
        cluster.up(copied.slow, 1, epoch=epoch + 1)
        if cluster.leased(copied.quick):
            break
    assert task.worker is cluster.state.nodes[copied.quick].workers[1]
    cluster.finish(copied.quick, 1, TASK)
    assert cluster.scheduler.statistics().tasks_done == 1


@pytest.mark.parametrize("how", ["lost", "down", "returned"])
def test_a_copy_that_is_gone_is_made_again(cluster: Any, copied: Copied, how: str) -> None:
    if how == "lost":
        cluster.lose(copied.quick)
        again = cluster.node(1)
    elif how == "down":
        cluster.down(copied.quick, 1)
        cluster.up(copied.quick, 1, epoch=1)
        again = copied.quick
    else:
        cluster.give_back(copied.quick, 1, TASK)
        again = copied.quick
    cluster.wait(60)
    (frame,) = cluster.read_only(again, RunTasks)
    assert [(call.index, call.attempt) for call in frame.calls] == [(0, 2)]
    assert cluster.leased(copied.slow) == [TASK]


def test_a_copy_that_killed_its_worker_is_not_made_again(cluster: Any, copied: Copied) -> None:
    cluster.down(copied.quick, 1, running=TASK)
    cluster.up(copied.quick, 1, epoch=1)
    cluster.wait(60)
    assert cluster.read_only(copied.quick, RunTasks) == []
    cluster.finish(copied.slow, 1, TASK)
    assert cluster.state.jobs["job"].copies == {}


def test_a_late_death_at_a_copy_is_nobodys_affair(cluster: Any, copied: Copied) -> None:
    cluster.say(copied.client, EndJob("job"))
    cluster.down(copied.quick, 1, running=TASK)
    cluster.down(copied.slow, 1, running=TASK)
    assert cluster.scheduler.statistics().jobs == 0


def test_cancelling_stops_lease_and_copy(cluster: Any, copied: Copied) -> None:
    cluster.say(copied.client, CancelTasks("job", 0, [0]))
    for node in (copied.slow, copied.quick):
        assert cluster.read_only(node, CancelTasks) == [CancelTasks("job", 0, [0])]
        assert copied.state(node) == "releasing"
    assert cluster.state.jobs["job"].copies == {}


def test_the_end_of_the_job_ends_copies(cluster: Any, copied: Copied) -> None:
    cluster.say(copied.client, EndJob("job"))
    for node in (copied.slow, copied.quick):
        assert len(cluster.read_only(node, EndJob)) == 1
        cluster.down(node, 1)
        cluster.up(node, 1, epoch=1)
        assert copied.state(node) == "idle"


def test_a_worker_that_comes_back_to_somebody_elses_lease_has_a_copy(cluster: Any) -> None:
    copied = Copied(cluster)
    cluster.lose(copied.slow)
    assert cluster.leased(copied.quick) == [TASK]
    again = cluster.greet(node_id=f"{copied.slow:x}", workers_announced=1)
    cluster.up(again, 1, held=[TASK])
    copied.print(again, b"the rest")
    assert copied.heard() == []
    cluster.finish(again, 1, TASK)
    assert copied.heard() == [b"the rest", 0]
    assert cluster.read_only(copied.quick, CancelTasks) == [CancelTasks("job", 0, [0])]


# -- what they print ---------------------------------------------------------------------------


def test_only_the_lease_is_heard(cluster: Any, copied: Copied) -> None:
    for message in (TaskProgress("job", 0, 0, 0.5), TaskRunning("job", 0, 0, "w", 5.0)):
        cluster.say(copied.quick, message, channel=1)
        assert cluster.read(copied.client) == []
        cluster.say(copied.slow, message, channel=1)
        assert cluster.read(copied.client) == [message]
    copied.print(copied.slow, b"1")
    copied.print(copied.quick, b"1")
    copied.print(copied.quick, b"2")
    assert copied.heard() == [b"1"]
    cluster.finish(copied.slow, 1, TASK)
    assert copied.heard() == [0]


def test_when_the_copy_is_first_each_line_is_heard_once(cluster: Any, copied: Copied) -> None:
    copied.print(copied.slow, b"1")
    for text in (b"1", b"2", b"3"):
        copied.print(copied.quick, text)
    cluster.finish(copied.quick, 1, TASK)
    copied.print(copied.slow, b"2")
    assert copied.heard() == [b"1", b"2", b"3", 0]


def test_when_the_lease_is_lost_each_line_is_heard_once(cluster: Any, copied: Copied) -> None:
    for text in (b"1", b"2"):
        copied.print(copied.slow, text)
    copied.print(copied.quick, b"1")
    cluster.lose(copied.slow)
    for text in (b"2", b"3"):
        copied.print(copied.quick, text)
    assert copied.heard() == [b"1", b"2", b"3"]


@pytest.mark.parametrize("end", ["lease done", "copy done", "copy lost", "job ended", "cancelled"])
def test_room_for_what_copies_print_is_free_again(cluster: Any, copied: Copied, end: str) -> None:
    copied.print(copied.quick, b"1")
    room = cluster.state.copying.room
    assert room.used_bytes > 0
    if end == "lease done":
        cluster.finish(copied.slow, 1, TASK)
    elif end == "copy done":
        cluster.finish(copied.quick, 1, TASK)
    elif end == "copy lost":
        cluster.lose(copied.quick)
    elif end == "job ended":
        cluster.say(copied.client, EndJob("job"))
    else:
        cluster.say(copied.client, CancelTasks("job", 0, [0]))
    assert room.used_bytes == 0


def test_what_a_run_printed_that_was_lost_without_a_copy_is_printed_again(cluster: Any) -> None:
    copied = Copied(cluster)
    copied.print(copied.slow, b"1")
    cluster.lose(copied.slow)
    assert cluster.leased(copied.quick) == [TASK]
    copied.print(copied.quick, b"1")
    assert copied.heard() == [b"1", b"1"]
