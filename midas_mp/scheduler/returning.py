"""Work that outlives a connection: nodes that come back with tasks in their workers' hands.

A worker that comes back names the tasks that its process is still at.  Each of them is one of:

- waiting here: the worker has the lease at once, and nothing is sent (it *adopts* the task);
- leased elsewhere: an orphan of the worker, and whichever result is first counts;
- done: an orphan without worth, which is called off;
- of a job that ended here: an orphan without worth, and the node is told of the end;
- missing here although the job is open: it is done and acknowledged, or was cancelled, and is
  called off, unless it may be a task of the host before this one, as below;
- of a job that nobody opened here: this host is younger than the job.  Its client may come back
  and submit the very task; then it is adopted, or, if its result came meanwhile, done at once.
  When the client says that the job is over, or after ``State.patience_s`` without it, the node is
  told that the job has ended.

What is known of such tasks is a *stray* of the job.  It stays beside the job when its client has
opened it, because the tasks come within the client's credit, not at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.scheduler import briefing, copies, delivery, failures, leases
from midas_mp.scheduler.records import Job, Node, Task, Worker
from midas_mp.scheduler.state import State
from midas_mp.scheduler.strays import EarlyResult, StrayJob
from midas_mp.scheduler.tables import WORKER, TaskState, advance
from midas_mp.wire.framing import CONTROL_CHANNEL, Buffer, Frame
from midas_mp.wire.messages import EndJob, Status, TaskPrinted, TaskRef

# -- nodes -----------------------------------------------------------------------------------


def take_back(state: State, worker: Worker, held: Sequence[TaskRef]) -> None:
    """Sort out what a worker that has just registered is still at.

    Raises:
        ProtocolError: it cannot be at that.
    """
    _check_engines(state, worker, held)
    unwanted: list[TaskRef] = []
    for ref in held:
        job = state.jobs.get(ref.job)
        if job is None:
            _take_back_foreign(state, worker, ref)
            continue
        briefing.begin(state, worker.node, job)
        task = job.task(ref.round, ref.index)
        if task is None:
            if _may_be_older(state, worker.node, ref.job):
                _hold(state, worker, ref)
            else:
                unwanted.append(ref)
        elif task.state is TaskState.WAITING:
            leases.adopt(state, worker, job, task)
        elif task.state is TaskState.DONE:
            unwanted.append(ref)
        elif task.worker is not worker:
            copies.note(state, job, task, worker, is_whole=False)
    leases.call_off(state, worker, unwanted)
    if worker.lease_count:
        trigger = "isolate" if worker.has_suspect else "lease"
        advance(worker, WORKER, trigger, state.now, f"adopted {worker.lease_count}")
    state.settle(worker)


def _check_engines(state: State, worker: Worker, held: Sequence[TaskRef]) -> None:
    for ref in held:
        job = state.jobs.get(ref.job)
        if job is not None and job.spec.engine not in worker.engines:
            raise ProtocolError(
                f"{worker.name} has a task of job {job.id} in hand, but no {job.spec.engine}"
            )


def _take_back_foreign(state: State, worker: Worker, ref: TaskRef) -> None:
    """A task of a job that is not open here: it has ended, or nobody has opened it yet."""
    if ref.job not in state.ended:
        _hold(state, worker, ref)
        return
    node = worker.node
    is_told = any(other.job == ref.job for mate in node.workers.values() for other in mate.orphans)
    worker.orphans[ref] = False
    if not is_told:
        state.send(node.peer, EndJob(ref.job, "the job ended while this node was away"))


def _hold(state: State, worker: Worker, ref: TaskRef) -> None:
    stray = _stray_of(state, ref.job)
    stray.nodes[worker.node] = None
    stray.held.setdefault((ref.round, ref.index), worker)
    worker.orphans[ref] = True


def keep_early(state: State, node: Node, ref: TaskRef, result: EarlyResult) -> bool:
    """Keep the result of a task that nobody has submitted here; False if it is of no use."""
    if ref.job in state.ended or not _may_be_older(state, node, ref.job):
        return False
    if state.early_bytes + result.size_bytes > limits.EARLY_BYTES_MAX:
        return False
    stray = _stray_of(state, ref.job)
    key = (ref.round, ref.index)
    if key in stray.early:
        return False
    stray.nodes[node] = None
    stray.early[key] = result
    state.early_bytes += result.size_bytes
    return True


def keep_print(state: State, message: TaskPrinted, buffers: Sequence[Buffer]) -> None:
    """Keep what a task of a job that nobody has opened here printed; it comes before its result."""
    if message.job not in state.ended:
        stray = _stray_of(state, message.job)
        stray.printed.keep(Frame(CONTROL_CHANNEL, message, buffers))


# -- clients ---------------------------------------------------------------------------------


def welcome_job(state: State, job: Job) -> None:
    """A client has opened a job, of which there may be work under way."""
    state.ended.pop(job.id, None)
    stray = state.strays.get(job.id)
    if stray is not None:
        stray.until = state.now + state.patience_s
        for node in stray.nodes:
            briefing.begin(state, node, job)
        for frame in stray.printed.take():
            state.tell(job, frame.message, frame.buffers)


def claim(state: State, job: Job, tasks: Sequence[Task]) -> None:
    """Of tasks that were just submitted, take those that are done or in a worker's hands."""
    stray = state.strays.get(job.id)
    if stray is None:
        return
    done: list[Task] = []
    for task in tasks:
        key = (task.batch.round, task.index)
        early = stray.early.pop(key, None)
        if early is not None:
            state.early_bytes -= early.size_bytes
            stray.held.pop(key, None)
            has_failed = early.outcome.status is Status.FAILED
            if has_failed and failures.is_tried_again(state, job.id, task, None):
                continue
            leases.take_off_queue(job, task)
            leases.finish(job, task, early.outcome, early.doer, early.buffers)
            job.estimate.observe(1, early.outcome.duration_us, early.outcome.duration_us)
            done.append(task)
        elif key in stray.held:
            worker = stray.held[key]
            ref = TaskRef(job.id, *key)
            if job.spec.engine not in worker.engines:
                leases.call_off(state, worker, [ref])  # it cannot be at this task
                continue
            leases.let_go(state, worker, ref)
            leases.adopt(state, worker, job, task)
            state.settle(worker)
    delivery.deliver(state, job, done)


# -- patience --------------------------------------------------------------------------------


def lose_patience(state: State) -> None:
    """Give up on clients that did not come for work that is under way."""
    for stray in [stray for stray in state.strays.values() if _is_over(stray, state.now)]:
        if stray.id in state.jobs:
            _drop_early(state, stray)
            stray.until = None  # what workers hold can be claimed as long as they hold it
        else:
            end_unopened(state, stray.id, f"no client came for it within {state.patience_s:g} s")


def end_unopened(state: State, job_id: str, reason: str) -> None:
    """A job that nobody has opened here is over: who works on it is told, now or when it comes."""
    state.remember_end(job_id)
    stray = state.strays.get(job_id)
    if stray is not None:
        forget_stray(state, job_id)
        for node in stray.nodes:
            state.send(node.peer, EndJob(job_id, reason))
        state.notice(f"job {job_id}, of an earlier host, ended: {reason}")


def forget_stray(state: State, job_id: str) -> None:
    """Nothing of the job can count any more."""
    stray = state.strays.pop(job_id, None)
    if stray is None:
        return
    _drop_early(state, stray)
    stray.printed.forget()
    for (round_, index), worker in stray.held.items():
        worker.orphans[TaskRef(job_id, round_, index)] = False


def patience_ends(state: State) -> float | None:
    """When ``lose_patience`` has something to do next."""
    ends = [stray.until for stray in state.strays.values() if stray.until is not None]
    return min(ends, default=None)


def _is_over(stray: StrayJob, now: float) -> bool:
    return stray.until is not None and now >= stray.until


def _drop_early(state: State, stray: StrayJob) -> None:
    state.early_bytes -= sum(early.size_bytes for early in stray.early.values())
    state.duplicates += len(stray.early)
    stray.early.clear()


def _may_be_older(state: State, node: Node, job_id: str) -> bool:
    """Whether a task that is not here may be of the host before this one.

    A node says on its first connection to this host what it still has of that one; a job of which
    none has said anything was first opened here, and what is missing of it has been acknowledged.
    """
    return job_id not in state.jobs or job_id in state.strays or not node.epoch


def _stray_of(state: State, job_id: str) -> StrayJob:
    stray = state.strays.get(job_id)
    if stray is None:
        _make_room(state)
        stray = state.strays[job_id] = StrayJob(job_id, state.backlogs)
        stray.until = state.now + state.patience_s
    elif job_id in state.jobs:
        stray.until = state.now + state.patience_s
    return stray


def _make_room(state: State) -> None:
    """For one more job: of those that nobody has opened here, the one known longest may end."""
    if len(state.strays) < limits.STRAY_JOBS_MAX:
        return
    oldest = next((job_id for job_id in state.strays if job_id not in state.jobs), None)
    if oldest is not None:
        reason = f"more than {limits.STRAY_JOBS_MAX} jobs of an earlier host wait for their clients"
        end_unopened(state, oldest, reason)
