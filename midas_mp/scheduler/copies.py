"""Second runs of tasks: whichever is first counts, and the others are called off.

One worker has the lease of a task.  Who else is at it has a *copy*: because it was given one, see
``stragglers``, or because it came back with the task when somebody else had the lease already.
In the tables it holds an orphan whose result could count.  When the lease is lost or given back, a
copy becomes the lease.

Of several runs only one is heard: what a copy prints is kept until it counts, as far as there is
room for it.  Scripts are repeatable, so what the lease has printed is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from midas_mp.scheduler import leases
from midas_mp.scheduler.placement import TaskFrames
from midas_mp.scheduler.records import Job, Task, Worker, advance_task
from midas_mp.scheduler.runs import Copy, PrintTally
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import TASK
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import TaskPrinted, TaskProgress, TaskRef, TaskRunning

_HAND_OVER = TASK["hand_over"]


# -- how copies begin and end ------------------------------------------------------------------


def give(state: State, job: Job, tasks: Sequence[Task], worker: Worker) -> None:
    """Have an idle worker run tasks that others have the leases of."""
    frames = TaskFrames(state, job, worker)
    for task in tasks:
        task.attempt += 1
        note(state, job, task, worker, is_whole=True)
        frames.add(task)
    frames.flush()
    state.copying.count += len(tasks)
    state.copying.workers[worker] = None
    worker.story.add(state.now, "copy", len(tasks))
    state.settle(worker)


def note(state: State, job: Job, task: Task, worker: Worker, *, is_whole: bool) -> None:
    """A worker is at a task that another has the lease of; the caller settles it."""
    worker.orphans[_ref(job, task)] = True
    job.copies.setdefault(task, {})[worker] = Copy(state.copying.room, is_whole=is_whole)


def give_up(state: State, worker: Worker) -> None:
    """A worker should be free for something else than copies; the caller settles it."""
    leases.call_off(state, worker, [ref for ref, may_count in worker.orphans.items() if may_count])


def call_off_rest(state: State, job: Job, task: Task) -> None:
    """A task is done: whoever is still at it should stop."""
    for worker in list(job.copies.get(task, ())):
        leases.call_off(state, worker, [_ref(job, task)])
        state.settle(worker)


def hand_over(state: State, job: Job, task: Task) -> bool:
    """A task whose lease was just taken off the books: give it to a copy, if there is one."""
    copies = job.copies.get(task)
    if not copies:
        return False
    worker = next(iter(copies))
    tell_prints(state, job, task, worker)
    leases.let_go(state, worker, _ref(job, task))
    advance_task(task, _HAND_OVER, "hand_over")
    leases.book(state, worker, job, task)
    state.settle(worker)
    return True


def discredit(job: Job, task: Task) -> None:
    """A copy killed its worker: that is enough, until something becomes of the lease."""
    job.copies.setdefault(task, {})


# -- what they print ---------------------------------------------------------------------------


def is_heard(job: Job, worker: Worker, frame: Frame) -> bool:
    """Whether the client should hear now what a worker's task says; prints of copies are kept."""
    message = frame.message
    assert isinstance(message, TaskPrinted | TaskProgress | TaskRunning)
    task = job.task(message.round, message.index)
    if task is None:
        return True
    copy = job.copies.get(task, {}).get(worker)
    if copy is not None:
        if isinstance(message, TaskPrinted):
            copy.keep(frame, _tally(job, task))
        return False
    if isinstance(message, TaskPrinted) and task.worker is worker:
        return _tally(job, task).is_new()
    return True


def tell_prints(state: State, job: Job, task: Task, worker: Worker) -> None:
    """A copy counts from now on: the client hears what is new of what it printed."""
    copy = job.copies[task][worker]
    for frame in copy.take_new(_tally(job, task)):
        state.tell(job, frame.message, frame.buffers)


def _tally(job: Job, task: Task) -> PrintTally:
    return job.prints.setdefault(task, PrintTally())


def _ref(job: Job, task: Task) -> TaskRef:
    return TaskRef(job.id, task.batch.round, task.index)
