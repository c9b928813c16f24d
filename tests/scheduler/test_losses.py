from __future__ import annotations

from typing import Any

from midas_mp import limits
from midas_mp.wire.messages import (
    Failure,
    Goodbye,
    RunTasks,
    Status,
    TaskRef,
    TaskResults,
    WorkerDown,
)


def busy(cluster: Any, task_count: int, *, duration_us: int = 1_000) -> tuple[int, int]:
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.learn(client, node, duration_us)
    cluster.submit(client, "job", range(task_count))
    cluster.heard.clear()
    return client, node


def blames(cluster: Any) -> dict[int, int]:
    return {task.index: blame.count for task, blame in cluster.state.jobs["job"].blames.items()}


def test_what_a_dead_worker_held_comes_back_first_with_the_next_attempt(cluster: Any) -> None:
    client, node = busy(cluster, 3)
    cluster.submit(client, "job", range(3, 60))
    held = len(cluster.leased(node))
    cluster.down(node, 1, running=TaskRef("nothing", 0, 0))
    cluster.heard.clear()
    cluster.up(node, 1, epoch=1)
    (frame, *_) = cluster.read_only(node, RunTasks)
    assert [(call.index, call.attempt) for call in frame.calls[:3]] == [(0, 1), (1, 1), (2, 1)]
    assert cluster.scheduler.statistics().retries == held
    assert blames(cluster) == {}


def test_only_the_task_that_was_running_is_blamed(cluster: Any) -> None:
    _, node = busy(cluster, 5)
    cluster.down(node, 1, running=TaskRef("job", 0, 2))
    assert blames(cluster) == {2: 1}


def test_a_worker_that_was_killed_on_purpose_names_none_and_blames_none(cluster: Any) -> None:
    _, node = busy(cluster, 1)
    cluster.down(node, 1)
    assert blames(cluster) == {}


def test_a_worker_without_the_engine_gets_nothing_when_nobody_else_is_there(cluster: Any) -> None:
    _, node = busy(cluster, 3)
    cluster.down(node, 1)
    cluster.up(node, 5, engines=("5.4",))
    assert cluster.leased(node, 5) == []
    assert cluster.scheduler.statistics().tasks_waiting == 3


def test_of_several_none_is_blamed_without_a_name(cluster: Any) -> None:
    _, node = busy(cluster, 2)
    cluster.down(node, 1)
    assert blames(cluster) == {}


def test_a_name_that_the_worker_does_not_hold_blames_nobody(cluster: Any) -> None:
    _, node = busy(cluster, 1)
    cluster.down(node, 1, running=TaskRef("job", 0, 77))
    assert blames(cluster) == {}


def test_nothing_is_blamed_when_a_node_goes(cluster: Any) -> None:
    _, node = busy(cluster, 1)
    cluster.lose(node)
    assert blames(cluster) == {}
    other = cluster.node(1)
    cluster.say(other, Goodbye("leaving"))
    assert blames(cluster) == {}
    assert cluster.scheduler.statistics().tasks_waiting == 1


def test_a_task_that_kills_every_worker_fails_and_its_mates_do_not(cluster: Any) -> None:
    client, node = busy(cluster, 5)
    poison = TaskRef("job", 0, 2)
    for epoch in range(limits.ATTEMPTS_MAX):
        assert poison in cluster.leased(node)
        cluster.down(node, 1, epoch=epoch, running=poison)
        cluster.up(node, 1, epoch=epoch + 1)
    (frame,) = [f for f in cluster.heard[client] if isinstance(f.message, TaskResults)]
    (outcome,) = frame.message.outcomes
    assert (outcome.index, outcome.attempt, outcome.status) == (2, 3, Status.FAILED)
    assert frame.message.worker == "launcher2-001"
    assert Failure.from_payload(bytes(frame.buffers[0])) == Failure(
        "lost",
        "lost: its worker died 3 times while running it\n"
        "  attempt 0 on launcher2-001: killed by SIGKILL, peak memory 50 MB\n"
        "  attempt 1 on launcher2-001: killed by SIGKILL, peak memory 50 MB\n"
        "  attempt 2 on launcher2-001: killed by SIGKILL, peak memory 50 MB",
    )
    cluster.finish(node, 1, *cluster.leased(node))
    statistics = cluster.scheduler.statistics()
    assert (statistics.tasks_waiting, statistics.tasks_leased, statistics.tasks_done) == (0, 0, 5)
    assert blames(cluster) == {}


def poisoned(cluster: Any, cause: str, last_words: str) -> str:
    """What is said of a task after all deaths were told like this."""
    client, node = busy(cluster, 1)
    for epoch in range(limits.ATTEMPTS_MAX):
        down = WorkerDown(1, epoch, cause, TaskRef("job", 0, 0), 0, last_words)
        cluster.say(node, down)
        cluster.up(node, 1, epoch=epoch + 1)
    (frame,) = [f for f in cluster.heard[client] if isinstance(f.message, TaskResults)]
    return Failure.from_payload(bytes(frame.buffers[0])).message


def test_the_last_words_of_the_last_worker_are_evidence(cluster: Any) -> None:
    message = poisoned(cluster, "killed by SIGABRT: bad", "free(): invalid\nbad")
    assert message.endswith(
        "  attempt 2 on launcher2-001: killed by SIGABRT: bad, peak memory 0 MB\n"
        "last output of launcher2-001:\n  free(): invalid\n  bad"
    )


def test_a_single_last_word_is_not_told_twice(cluster: Any) -> None:
    assert "last output" not in poisoned(cluster, "exit code 1: bad", "bad")


def test_evidence_is_as_long_as_a_failure_may_be(cluster: Any) -> None:
    message = poisoned(cluster, "y" * 8_000, "x\n" * 4_000)
    assert message.count("  x") == 1_000
    assert len(message) < 8_192


def test_a_suspect_whose_node_goes_stays_a_suspect(cluster: Any) -> None:
    _, node = busy(cluster, 1)
    cluster.down(node, 1, running=TaskRef("job", 0, 0))
    cluster.up(node, 1, epoch=1)
    cluster.lose(node)
    assert blames(cluster) == {0: 1}
    other = cluster.node(1)
    assert cluster.leased(other) == [TaskRef("job", 0, 0)]


def test_a_late_result_clears_a_suspect(cluster: Any) -> None:
    client, node = busy(cluster, 1)
    cluster.down(node, 1, running=TaskRef("job", 0, 0))
    cluster.up(node, 5, engines=("5.4",))
    cluster.finish(node, 1, TaskRef("job", 0, 0))
    assert len(cluster.read_only(client, TaskResults)) == 1
    assert cluster.scheduler.statistics().tasks_waiting == 0


def test_who_died_of_what_nobody_has_opened_here_is_no_blame(cluster: Any) -> None:
    stray = TaskRef("old", 0, 0)
    node = cluster.greet(workers_announced=1)
    cluster.up(node, 1, held=[stray])
    cluster.down(node, 1, running=stray)
    client = cluster.client()
    cluster.open(client, "old")
    cluster.submit(client, "old", [0])
    assert not cluster.state.jobs["old"].blames
    cluster.up(node, 1, epoch=1)
    assert cluster.leased(node) == [stray]
