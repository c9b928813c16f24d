"""Who gets what, and how many: called at the end of every step.

Jobs are served in the order in which they started: the next one gets what the one before leaves
free.  A worker holds about ``limits.QUEUE_TIME_TARGET_S`` of work, by the job's estimate, so
that short tasks never leave it idle between two frames; of long tasks it holds two, one that
runs and one that ``recall`` can fetch back.  Nobody gets more than its fair share of what is left
of a job, so that the last tasks are not all behind one worker while others have none.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from midas_mp import limits
from midas_mp.scheduler import briefing
from midas_mp.scheduler.estimate import DEPTH_LONG, QUEUE_TIME_TARGET_US
from midas_mp.scheduler.records import Batch, Job, Task, Worker, advance_task
from midas_mp.scheduler.state import State
from midas_mp.scheduler.suspects import place_suspects
from midas_mp.scheduler.tables import TASK, WORKER, WorkerState, advance
from midas_mp.wire.messages import Call, RunTasks

_LEASE = TASK["lease"]


class _Candidate(NamedTuple):
    worker: Worker
    limit: int


def place(state: State) -> None:
    """Lease waiting tasks to workers that have room."""
    reserved: set[Worker] = set()
    for job in state.started.values():
        if not (state.idle or state.hungry):
            return
        if job.is_paused:
            continue
        if not (job.waiting_count and job.lease_allowance and state.suitable_count(job)):
            continue
        if job.suspects:
            place_suspects(state, job, reserved, lease_alone)
        if job.fresh or job.returned:
            _fill(state, job, reserved)


def lease_alone(state: State, job: Job, task: Task, worker: Worker) -> None:
    """Give an idle worker a suspect, and nothing else until that has ended."""
    del job.suspects[task]
    advance(worker, WORKER, "isolate", state.now, task.label)
    job.returned[task] = None
    job.returned.move_to_end(task, last=False)
    _lease(state, job, worker, 1)


def room(job: Job, worker: Worker) -> int:
    """How many more tasks of the job a busy worker should hold; 0 unless it is worth a frame."""
    estimate = job.estimate_on(worker.node)
    depth, held = estimate.depth, worker.lease_count
    if estimate.task_us is None:
        return 0
    if len(worker.leases) == 1 and job in worker.leases:
        free = depth - held
    else:
        held_us = sum(
            other.estimate_on(worker.node).assumed_us * len(tasks)
            for other, tasks in worker.leases.items()
        )
        free = int((QUEUE_TIME_TARGET_US - held_us) / estimate.task_us)
        free = min(free, limits.QUEUE_TASKS_MAX - held)
    if held < DEPTH_LONG:
        return max(free, DEPTH_LONG - held)
    return free if free * 4 >= depth else 0


def _fill(state: State, job: Job, reserved: Collection[Worker]) -> None:
    """Spread what waits over the workers with room, idle ones first."""
    waiting = min(len(job.fresh) + len(job.returned), job.lease_allowance)
    candidates = _candidates(state, job, reserved, waiting)
    for position, (worker, limit) in enumerate(candidates):
        share = -(-waiting // (len(candidates) - position))
        waiting -= _lease(state, job, worker, min(limit, share))
        if waiting <= 0:
            return


def _candidates(
    state: State, job: Job, reserved: Collection[Worker], waiting: int
) -> list[_Candidate]:
    fair = -(-(job.waiting_count + job.leased_count) // state.suitable_count(job))
    candidates = []
    for worker in state.idle:
        if job.suits(worker) and worker not in reserved:
            depth = min(job.estimate_on(worker.node).depth, fair)
            candidates.append(_Candidate(worker, depth))
            if len(candidates) >= waiting:
                return candidates
    for worker in sorted(state.hungry, key=_lease_count):
        if not job.suits(worker) or worker in reserved:
            continue
        free = room(job, worker)
        if free <= 0:
            del state.hungry[worker]
            continue
        free = min(free, fair - len(worker.leases.get(job, ())))
        if free > 0:
            candidates.append(_Candidate(worker, free))
    return candidates


def _lease_count(worker: Worker) -> int:
    return worker.lease_count


def _lease(state: State, job: Job, worker: Worker, count: int) -> int:
    """Lease up to ``count`` tasks, returned ones first; how many it became.

    Payload bytes bound the queue too, but never stop the only task of a worker.
    """
    leases = worker.leases.setdefault(job, {})
    fresh, returned = job.fresh, job.returned
    frame = TaskFrames(state, job, worker)
    taken = 0
    while taken < count:
        task = next(iter(returned)) if returned else fresh[0]
        size = task.size_bytes
        if worker.lease_count + taken and worker.lease_bytes + size > limits.QUEUE_BYTES_MAX:
            break
        if returned:
            del returned[task]
        else:
            fresh.popleft()
        advance_task(task, _LEASE, "lease")
        task.worker = worker
        leases[task] = None
        worker.lease_bytes += size
        taken += 1
        frame.add(task)
    frame.flush()
    if not leases:
        del worker.leases[job]
    if taken:
        if not worker.lease_count:
            worker.heard_at = state.now
        worker.lease_count += taken
        job.leased_count += taken
        worker.is_recall_barred = False
        if worker.state is not WorkerState.ALONE:
            advance(worker, WORKER, "lease", state.now, taken)
        state.settle(worker)
    return taken


class TaskFrames:
    """Turns tasks into RunTasks frames, preceded by what the node must know first."""

    __slots__ = ("_batch", "_buffers", "_calls", "_job", "_size_bytes", "_state", "_worker")

    def __init__(self, state: State, job: Job, worker: Worker) -> None:
        self._state = state
        self._job = job
        self._worker = worker
        self._batch: Batch | None = None
        self._reset()

    def add(self, task: Task) -> None:
        if self._calls and (
            task.batch is not self._batch
            or len(self._calls) >= limits.TASKS_PER_FRAME_MAX
            or self._size_bytes + task.size_bytes > limits.FRAME_BYTES_TARGET
            or len(self._buffers) + len(task.buffers) > limits.FRAME_BUFFERS_MAX
        ):
            self.flush()
        self._batch = task.batch
        self._calls.append(Call(task.index, task.attempt, len(task.buffers)))
        self._buffers.extend(task.buffers)
        self._size_bytes += task.size_bytes

    def flush(self) -> None:
        batch = self._batch
        if batch is None or not self._calls:
            return
        briefing.prepare(self._state, self._worker.node, self._job, batch.digest)
        message = RunTasks(
            self._job.id,
            batch.round,
            batch.count,
            batch.digest,
            batch.entry,
            self._calls,
            batch.form,
            self._worker.epoch,
        )
        self._state.send(
            self._worker.node.peer, message, self._buffers, channel=self._worker.channel
        )
        self._reset()

    def _reset(self) -> None:
        self._calls: list[Call] = []
        self._buffers: list[bytes | bytearray | memoryview] = []
        self._size_bytes = 0
