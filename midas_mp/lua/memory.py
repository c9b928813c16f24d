"""What a Lua state may take of memory: a limit that holds while one call into it is under way.

Between two calls there is none: near its limit the engine, and its Python binding even more, may
end the process instead of raising an error, and outside a call nobody would be there to tell.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any, Final

from midas_mp import limits

NO_LIMIT: Final = 2**62
"""Given to a state at its creation: only then does lupa count memory at all."""

_HEADROOM_BYTES: Final = limits.MB
"""Left free, besides half of what is used, when the window opens: lupa converts a call's arguments
outside any protection, and an allocation that fails there ends the process.  The largest is the
engine's table of strings, which doubles: 16 bytes for each string of 32 bytes or more."""


class LuaMemory:
    """Of one state.

    Args:
        lua: the state, made with ``NO_LIMIT``.
        limit_bytes: 0 is no bound.
        forget: has the library let go of what it keeps between two calls.
    """

    __slots__ = ("_collected_bytes", "_forget", "_limit_bytes", "_lua")

    def __init__(self, lua: Any, limit_bytes: int, forget: Callable[[], object]) -> None:
        self._lua: Any = lua
        self._limit_bytes = limit_bytes
        self._forget: Any = forget
        self._collected_bytes = 0

    @property
    def used_bytes(self) -> int:
        """What Lua's allocator has given out, garbage included."""
        used: int = self._lua.get_memory_used(total=True)
        return used if used < NO_LIMIT else 0

    def open_window(self, input_bytes: int) -> bool:
        """From here to ``set_max_memory(0)`` the limit holds; only one call into Lua fits in.

        LuaJIT does not collect garbage before it refuses an allocation, so what earlier calls
        left is collected here once it fills half the room.

        Returns:
            False where not even the inputs fit.
        """
        used = self.used_bytes
        is_tight = used + input_bytes > self._limit_bytes
        is_half_full = used > max(self._limit_bytes // 2, self._collected_bytes * 5 // 4)
        if is_tight or is_half_full:
            used = self.collect()
        if used + input_bytes > self._limit_bytes:
            return False
        floor = used + used // 2 + input_bytes + _HEADROOM_BYTES
        self._lua.set_max_memory(max(self._limit_bytes, floor), total=True)
        return True

    def collect(self) -> int:
        """Collects all garbage; what is used then."""
        self._forget()
        self._lua.gccollect()
        self._collected_bytes = self.used_bytes
        return self._collected_bytes

    def close(self) -> None:
        """Lets go of the state."""
        self._lua = self._forget = None

    def exhausted(self) -> str:
        """What to tell of a call that got no more.

        The peak is the process's, from the kernel, which counts what Lua's allocator does not
        see; the allocator's figure is the larger one where pages were never touched.
        """
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * limits.KB
        peak = round(max(resident, self.used_bytes) / limits.MB)
        if not self._limit_bytes:
            return f"out of memory, peak {peak} MB"
        limit = round(self._limit_bytes / limits.MB)
        return f"memory limit of {limit} MB reached, peak {peak} MB"
