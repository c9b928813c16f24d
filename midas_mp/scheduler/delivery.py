"""Brings results that are kept in their tasks to the client, who did not hear of them yet."""

from __future__ import annotations

from collections.abc import Iterable

from midas_mp import limits
from midas_mp.scheduler.records import Job, Task
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import TaskState
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import Outcome, TaskResults


def deliver_all(state: State, job: Job) -> None:
    """Say every result again that is not acknowledged."""
    for tasks in job.rounds.values():
        deliver(state, job, (task for task in tasks.values() if task.state is TaskState.DONE))


def deliver(state: State, job: Job, tasks: Iterable[Task]) -> None:
    """Say the results of these tasks, which are done and of one round."""
    by_doer: dict[str, list[Task]] = {}
    for task in tasks:
        by_doer.setdefault(task.doer, []).append(task)
    for done in by_doer.values():
        _say_all(state, job, done)


def _say_all(state: State, job: Job, tasks: list[Task]) -> None:
    """Say the results of one worker, in frames of a good size."""
    batch: list[Task] = []
    size_bytes = buffer_count = 0
    for task in tasks:
        size_bytes += task.size_bytes
        buffer_count += len(task.buffers)
        if batch and (
            len(batch) >= limits.TASKS_PER_FRAME_MAX
            or size_bytes > limits.FRAME_BYTES_TARGET
            or buffer_count > limits.FRAME_BUFFERS_MAX
        ):
            _say(state, job, batch)
            batch = []
            size_bytes, buffer_count = task.size_bytes, len(task.buffers)
        batch.append(task)
    _say(state, job, batch)


def _say(state: State, job: Job, batch: list[Task]) -> None:
    outcomes: list[Outcome] = []
    buffers: list[Buffer] = []
    for task in batch:
        assert task.outcome is not None
        outcomes.append(task.outcome)
        buffers.extend(task.buffers)
    state.tell(job, TaskResults(job.id, batch[0].batch.round, batch[0].doer, outcomes), buffers)
