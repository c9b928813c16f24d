"""Tasks that failed and may be tried again, because their job asks for that: ``JobSpec.retries``.

A failure is the script's, and final, unless the job says otherwise.  Then the task is tried again
as one whose worker died: alone, and elsewhere if there is an elsewhere.
"""

from __future__ import annotations

from midas_mp.scheduler import copies, losses
from midas_mp.scheduler.blame import Blame
from midas_mp.scheduler.records import Task, Worker
from midas_mp.scheduler.state import State


def is_tried_again(state: State, job_id: str, task: Task, worker: Worker | None) -> bool:
    """Whether a failure is not the result of its task; then it waits again, or others are at it.

    What a copy or a lease that was lost comes to does not matter: another run is to come.
    """
    job = state.jobs[job_id]
    if not job.spec.retries:
        return False
    if worker is None or task.worker is not worker:
        if task.worker is not None:
            copies.discredit(job, task)
        return True
    blame = job.blames.setdefault(task, Blame())
    if blame.failure_count >= job.spec.retries:
        return False
    blame.failure_count += 1
    blame.accuse(worker, state.now)
    losses.lose(state, worker, job, task)
    state.retries += 1
    return True
