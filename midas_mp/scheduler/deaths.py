"""Workers that died at a task, although the task runs again: work does not fail silently.

A client hears of the first at once.  Of others it hears at most every
``limits.NOTICE_INTERVAL_S``: a sentence then names the last and counts the rest.
"""

from __future__ import annotations

from midas_mp import limits
from midas_mp.scheduler import status
from midas_mp.scheduler.records import Job, Task
from midas_mp.scheduler.state import State


def tell(state: State, job: Job, task: Task, worker: str, cause: str) -> None:
    """A worker died while it was at this task; cause is for people."""
    deaths = job.deaths
    if state.now < deaths.due_at:
        deaths.untold += 1
        return
    sentence = f"worker {worker} died ({cause}) at task {task.index}, which runs again"
    if deaths.untold:
        plural = "" if deaths.untold == 1 else "s"
        sentence += f"; {deaths.untold} other{plural} died since the last such notice"
    deaths.due_at, deaths.untold = state.now + limits.NOTICE_INTERVAL_S, 0
    status.tell(state, job, sentence)
    state.notice(f"job {job.id}: {sentence}")
