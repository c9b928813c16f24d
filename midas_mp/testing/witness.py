"""Sees what is said on each connection, and objects to what nobody should say.

What a client hears twice it counts once: so a host that says a result twice would go unnoticed
behind a client that is careful, and a careless client behind a host that is.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from midas_mp.testing.connection import SimulatedLink
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Role, RunTasks, TaskResults

_Name = tuple[str, int, int]


class Witness:
    """Of one network.

    Args:
        object_to: told what should not have been said.
    """

    def __init__(self, object_to: Callable[[str], None]) -> None:
        self._object_to = object_to
        self._results: WeakKeyDictionary[SimulatedLink, set[_Name]] = WeakKeyDictionary()
        self._calls: WeakKeyDictionary[SimulatedLink, set[_Name]] = WeakKeyDictionary()

    def __call__(self, link: SimulatedLink, frames: list[Frame]) -> None:
        """These have arrived at one end."""
        if link.site.is_glitched:
            return
        for frame in frames:
            message = frame.message
            if isinstance(message, TaskResults) and link.conversation.local is Role.CLIENT:
                indices = [outcome.index for outcome in message.outcomes]
                self._once(self._results, link, message, indices)
            elif isinstance(message, RunTasks) and link.conversation.local is Role.HOST:
                indices = [call.index for call in message.calls]
                self._once(self._calls, link, message, indices)

    def _once(
        self,
        seen: WeakKeyDictionary[SimulatedLink, set[_Name]],
        link: SimulatedLink,
        message: TaskResults | RunTasks,
        indices: list[int],
    ) -> None:
        """On one connection each task is submitted once, and each result said once."""
        names = {(message.job, message.round, index) for index in indices}
        known = seen.setdefault(link, set())
        if len(names) < len(indices) or names & known:
            kind = type(message).__name__
            self._object_to(f"{link.site.name} heard {kind} twice: {sorted(names & known)}")
        known |= names
