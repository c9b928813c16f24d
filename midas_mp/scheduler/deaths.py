"""Workers that died at a task, and nodes that were lost with tasks, although all of it runs again:
work does not fail silently.

A client hears of the first at once.  Of others it hears at most every
``limits.NOTICE_INTERVAL_S``: a sentence then names the last and counts the rest.
"""

from __future__ import annotations

from midas_mp import limits
from midas_mp.scheduler import status
from midas_mp.scheduler.records import Job, Node, Task, jobs_at
from midas_mp.scheduler.state import State


def tell_worker(state: State, job: Job, task: Task, worker: str, cause: str) -> None:
    """A worker died while it was at this task; cause is for people."""
    sentence = f"worker {worker} died ({cause}) at task {task.index}, which runs again"
    told = _tell(state, job, sentence)
    if told:
        state.notice(f"job {job.id}: {told}")


def tell_node(state: State, node: Node, reason: str) -> None:
    """A node is lost, which the host's log says by itself; its workers still have their tasks."""
    sentence = f"{node.label} was lost ({reason}); others take over what it was at"
    for job in jobs_at(node.workers.values()):
        _tell(state, job, sentence)


def _tell(state: State, job: Job, sentence: str) -> str:
    """What was told; empty if it is too early for more."""
    deaths = job.deaths
    if state.now < deaths.due_at:
        deaths.untold += 1
        return ""
    if deaths.untold:
        plural = "" if deaths.untold == 1 else "es"
        sentence += f"; {deaths.untold} more such loss{plural} since the last notice"
    deaths.due_at, deaths.untold = state.now + limits.NOTICE_INTERVAL_S, 0
    status.tell(state, job, sentence)
    return sentence
