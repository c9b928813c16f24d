"""What the kernel tells of a process' life: whether it stands still, and what it has computed."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

STOPPED: Final = frozenset("Tt")
"""By a signal, or by a debugger."""

RUNNABLE: Final = "R"
"""It computes, or would if a processor were free."""

_STATE, _USER_TICKS, _SYSTEM_TICKS = 0, 11, 12
"""Among the fields of ``/proc/PID/stat`` that follow the command, see proc(5)."""


class VitalSigns(NamedTuple):
    """At one moment."""

    state: str
    """One letter, as ``ps`` shows it."""
    cpu_ticks: int
    """Processor time so far, in units of the kernel's."""


def read(pid: int) -> VitalSigns | None:
    """Of a process; None where the kernel does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # a command may hold anything, brackets too
    ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
    return VitalSigns(fields[_STATE].decode(), ticks)
