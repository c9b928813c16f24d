"""When jobs start, and what their clients are told about the cluster."""

from __future__ import annotations

from midas_mp import limits
from midas_mp.scheduler import stalls
from midas_mp.scheduler.records import Job
from midas_mp.scheduler.stalls import Stall
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import JOB, advance
from midas_mp.wire.messages import JobStarted, JobStatus


def start_jobs(state: State) -> None:
    """Start every queued job whose time has come.

    That is when all announced workers are registered, or ``limits.JOB_START_GRACE_S`` after the
    first suitable one (or after the job was opened, if that was later); in both cases the job's
    own minimum must be there.
    """
    for job in state.queued():
        count = state.suitable_count(job)
        if count < job.workers_min:
            job.start_at = None
            continue
        first = max(job.opened_at, state.engine_since[job.spec.engine])
        job.start_at = first + limits.JOB_START_GRACE_S
        if not state.awaited or state.now >= job.start_at:
            _start(state, job, count)


def report(state: State) -> None:
    """Tell clients when the number of workers changed, or that a job cannot go on."""
    for job in state.jobs.values():
        count = state.suitable_count(job)
        sentence = _complaint(state, job, count)
        if sentence or count != job.workers_reported:
            tell(state, job, sentence)
        if sentence:
            state.notice(f"job {job.id}: {sentence}")


def tell(state: State, job: Job, sentence: str = "") -> None:
    """Tell the client of a job how many workers there are, and whatever else there is to say."""
    job.workers_reported = state.suitable_count(job)
    credit = state.credit_tasks(job)
    state.tell(job, JobStatus(job.id, job.workers_reported, credit, sentence))


def wake_at(state: State) -> float | None:
    """The next time at which a job starts or complains."""
    times = [job.notice_at for job in state.jobs.values() if job.notice_at is not None]
    times += [job.start_at for job in state.queued() if job.start_at is not None]
    return min(times, default=None)


def _start(state: State, job: Job, count: int) -> None:
    advance(job, JOB, "start", state.now, count)
    state.started[job.id] = job
    job.start_at = None
    job.workers_reported = count
    state.tell(job, JobStarted(job.id, count))
    state.notice(f"job {job.id} started on {count} worker{'' if count == 1 else 's'}")


def _complaint(state: State, job: Job, count: int) -> str:
    """What keeps the job from going on, when it is time to say so; else empty."""
    stall = stalls.find(state, job, count)
    if stall is None:
        job.notice_at = None
        return ""
    if job.notice_at is None:
        job.notice_at = state.now + limits.NOTICE_INTERVAL_S
    if stall is Stall.SHARED_DATA and job.shared is not None:
        job.notice_at = max(job.notice_at, job.shared.moved_at + limits.NOTICE_INTERVAL_S)
    if state.now < job.notice_at:
        return ""
    job.notice_at = state.now + limits.NOTICE_INTERVAL_S
    return stalls.explain(state, job, stall, count)
