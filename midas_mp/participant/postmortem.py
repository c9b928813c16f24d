"""What the end of a Lua process means for the call that it was in the middle of.

Most ends mean nothing for it: the process was killed from outside, or died of what somebody else
must find out by trying again.  Two are the call's own doing, beyond doubt: it overran its time, or
it took the engine down at its memory limit.  (Near the limit Lua's engine and its Python binding
may crash or panic instead of raising an error; nothing inside the process can prevent that.)
"""

from __future__ import annotations

import signal
from typing import Final, NamedTuple

from midas_mp import limits
from midas_mp.participant.process import ProcessEnd
from midas_mp.participant.zygote_messages import WORKER_SPOILED
from midas_mp.wire.messages import Failure

CRASH_SIGNALS: Final = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS})
PANIC: Final = "PANIC"
"""What the engine says last when it gives up in order."""


def broke_down(end: ProcessEnd) -> bool:
    """Whether the process ended by what it did, and not because somebody wanted it to."""
    if end.exit.signal is not None:
        return end.exit.signal in CRASH_SIGNALS
    return end.exit.exit_code not in (None, 0, WORKER_SPOILED)


class Bounds(NamedTuple):
    """What a call may take; 0 is no bound."""

    deadline_s: float
    memory_bytes: int
    """Of its Lua state."""
    median_factor: float = 0.0
    """Where the deadline is so many times what the job's median task takes."""


def own_failure(end: ProcessEnd, bounds: Bounds) -> Failure | None:
    """Why the call that was running has failed; None if its process is all that is lost."""
    peak = f"peak memory {end.exit.peak_bytes / limits.MB:.0f} MB"
    if end.overdue is not None:
        return Failure("timeout", f"timeout of {_shown_deadline(bounds)} reached, killed; {peak}")
    crashed = end.exit.signal in CRASH_SIGNALS or PANIC in end.last_words
    if crashed and 0 < bounds.memory_bytes <= end.exit.peak_bytes:
        limit = f"memory limit of {bounds.memory_bytes / limits.MB:g} MB reached"
        return Failure("memory", f"{limit}, and Lua's engine gave up ({end.cause}); {peak}")
    return None


def _shown_deadline(bounds: Bounds) -> str:
    if not bounds.median_factor:
        return f"{bounds.deadline_s:g} s"
    return f"{bounds.deadline_s:.3g} s ({bounds.median_factor:g}x the median task)"
