"""Which ends are a call's own doing."""

import signal

import pytest

from midas_mp import limits
from midas_mp.participant.child import ChildExit
from midas_mp.participant.postmortem import Bounds, broke_down, own_failure
from midas_mp.participant.process import ProcessEnd
from midas_mp.participant.status_page import RunningTask
from midas_mp.participant.zygote_messages import WORKER_BROKEN, WORKER_SPOILED
from midas_mp.wire.messages import Failure

RUNNING = RunningTask(1, 0, 7, 0)
LIMIT = 64 * limits.MB


def end(
    *, signum: int | None = None, code: int | None = None, peak_mb: int, overdue: bool = False
) -> ProcessEnd:
    exited = ChildExit("w", 1, code, signum, peak_mb * limits.MB)
    words = "PANIC: unprotected error" if code == 1 else ""
    return ProcessEnd(exited, RUNNING, RUNNING if overdue else None, words)


def verdict(of: ProcessEnd, *, memory_bytes: int = LIMIT) -> Failure | None:
    return own_failure(of, Bounds(2.5, memory_bytes))


def test_a_call_that_overran_its_time_has_failed() -> None:
    assert verdict(end(signum=signal.SIGKILL, peak_mb=20, overdue=True)) == Failure(
        "timeout", "timeout of 2.5 s reached, killed; peak memory 20 MB"
    )


def test_a_bound_that_follows_the_median_says_so() -> None:
    bounds = Bounds(2.34567, LIMIT, median_factor=5)
    failure = own_failure(end(signum=signal.SIGKILL, peak_mb=20, overdue=True), bounds)
    assert failure is not None
    assert failure.message.startswith("timeout of 2.35 s (5x the median task) reached, killed;")


def test_a_crash_at_the_memory_limit_is_the_calls_memory() -> None:
    assert verdict(end(signum=signal.SIGSEGV, peak_mb=70)) == Failure(
        "memory",
        "memory limit of 64 MB reached, and Lua's engine gave up (killed by SIGSEGV); "
        "peak memory 70 MB",
    )
    panic = verdict(end(code=1, peak_mb=64))
    assert panic is not None
    assert "PANIC: unprotected error" in panic.message


@pytest.mark.parametrize(
    "of",
    [
        end(signum=signal.SIGSEGV, peak_mb=20),
        end(signum=signal.SIGKILL, peak_mb=500),
        end(code=70, peak_mb=500),
    ],
)
def test_other_ends_are_for_another_try(of: ProcessEnd) -> None:
    assert verdict(of) is None


def test_without_a_memory_limit_a_crash_is_just_a_crash() -> None:
    assert verdict(end(signum=signal.SIGSEGV, peak_mb=9_999), memory_bytes=0) is None


def test_only_what_a_process_did_itself_is_a_breakdown() -> None:
    assert broke_down(end(code=WORKER_BROKEN, peak_mb=20))
    assert broke_down(end(signum=signal.SIGSEGV, peak_mb=20))
    assert not broke_down(end(code=WORKER_SPOILED, peak_mb=20))
    assert not broke_down(end(signum=signal.SIGKILL, peak_mb=20))
    assert not broke_down(end(code=0, peak_mb=20))
    assert not broke_down(end(peak_mb=20)), "it never started"
