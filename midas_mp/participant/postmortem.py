"""What the end of a Lua process means for the call that it was in the middle of.

Most ends mean nothing for it: the process was killed from outside, or died of what somebody else
must find out by trying again.  Two are the call's own doing, beyond doubt: it overran its time, or
it took the engine down at its memory limit.  (Near the limit Lua's engine and its Python binding
may crash or panic instead of raising an error; nothing inside the process can prevent that.)
"""

from __future__ import annotations

import signal
from typing import Final

from midas_mp import limits
from midas_mp.participant.process import ProcessEnd
from midas_mp.participant.zygote import WORKER_SPOILED
from midas_mp.wire.messages import Failure

CRASH_SIGNALS: Final = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS})
PANIC: Final = "PANIC"
"""What the engine says last when it gives up in order."""


def broke_down(end: ProcessEnd) -> bool:
    """Whether the process ended by what it did, and not because somebody wanted it to."""
    if end.exit.signal is not None:
        return end.exit.signal in CRASH_SIGNALS
    return end.exit.exit_code not in (None, 0, WORKER_SPOILED)


def own_failure(end: ProcessEnd, *, deadline_s: float, memory_bytes: int) -> Failure | None:
    """Why the call that was running has failed; None if its process is all that is lost.

    Args:
        end: how the process ended.
        deadline_s: the bound of each call, 0 is none.
        memory_bytes: the bound of its Lua state, 0 is none.
    """
    peak = f"peak memory {end.exit.peak_bytes / limits.MB:.0f} MB"
    if end.overdue is not None:
        return Failure("timeout", f"timeout of {deadline_s:g} s reached, killed; {peak}")
    crashed = end.exit.signal in CRASH_SIGNALS or PANIC in end.last_words
    if crashed and 0 < memory_bytes <= end.exit.peak_bytes:
        limit = f"memory limit of {memory_bytes / limits.MB:g} MB reached"
        return Failure("memory", f"{limit}, and Lua's engine gave up ({end.cause}); {peak}")
    return None
