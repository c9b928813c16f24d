"""The host's own absence, which is nobody else's fault.

While it waits for somebody, the host looks at the clock every few seconds.  If it comes to that
much too late, it was stopped, suspended or overloaded, and could not have heard anybody meanwhile:
so all who have a deadline get the time back.
"""

from __future__ import annotations

from midas_mp import limits
from midas_mp.scheduler.state import State


def forgive(state: State) -> None:
    """At the beginning of a step: was there a gap before it?"""
    if state.look_at is None:
        return
    gap_s = state.now - state.look_at
    if gap_s <= limits.LOOK_INTERVAL_S:
        return
    for job in state.jobs.values():
        if job.away_until is not None:
            job.away_until += gap_s
    for stray in state.strays.values():
        if stray.until is not None:
            stray.until += gap_s
    state.notice(f"this host stood still for {gap_s:.0f} s: who is awaited has as much longer")


def look_at(state: State) -> float | None:
    """At the end of a step: when to look at the clock next; None where nobody is awaited."""
    is_awaiting = any(job.away_until is not None for job in state.jobs.values()) or any(
        stray.until is not None for stray in state.strays.values()
    )
    state.look_at = state.now + limits.LOOK_INTERVAL_S if is_awaiting else None
    return state.look_at
