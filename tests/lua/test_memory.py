"""The limit of a Lua state holds in a window around one call, and garbage does not count."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from midas_mp import limits
from midas_mp.lua.engines import engine
from midas_mp.lua.memory import NO_LIMIT, LuaMemory

LIMIT = 32 * limits.MB

MAKE = b"""
return function(count)
  local made = {}
  for i = 1, count do made[i] = ("x"):rep(2^20) .. i end
  return made
end
"""


class State:
    """A bare Lua state, and how often its library was asked to let go."""

    def __init__(self, limit_bytes: int = LIMIT) -> None:
        self.lua: Any = engine("luajit").LuaRuntime(encoding=None, max_memory=NO_LIMIT)
        self.lua.set_max_memory(0)
        self.forgotten = 0
        self.memory = LuaMemory(self.lua, limit_bytes, self._forget)

    def _forget(self) -> None:
        self.forgotten += 1

    def make(self, megabytes: int) -> None:
        """Strings that are garbage at once."""
        self.lua.execute(MAKE)(megabytes)

    def keep(self, megabytes: int) -> None:
        """Strings that stay."""
        self.lua.globals()[b"kept"] = self.lua.execute(MAKE)(megabytes)


@pytest.fixture
def state() -> State:
    return State()


def test_no_more_than_the_limit_is_given_until_the_window_is_closed(state: State) -> None:
    assert state.memory.open_window(0)
    with pytest.raises(MemoryError):
        state.make(64)
    state.lua.set_max_memory(0)
    state.make(64)


def test_what_earlier_calls_left_is_collected_where_it_fills_half_the_room(state: State) -> None:
    state.lua.execute(b"collectgarbage('stop')")
    state.make(20)
    assert state.memory.used_bytes > 20 * limits.MB
    assert state.memory.open_window(0)
    assert state.forgotten == 1
    assert state.memory.used_bytes < 2 * limits.MB
    assert state.memory.open_window(0)
    assert state.forgotten == 1, "nothing has been left since"


def test_what_is_kept_is_not_collected_again_and_again(state: State) -> None:
    state.keep(20)
    for _ in range(3):
        assert state.memory.open_window(0)
    assert state.forgotten == 1


def test_inputs_that_do_not_fit_open_no_window(state: State) -> None:
    assert not state.memory.open_window(LIMIT)
    state.make(64)


def test_room_is_left_for_what_may_not_fail(state: State) -> None:
    """The engine itself dies where the copy of an argument gets no memory."""
    state.keep(24)
    assert state.memory.open_window(0)
    state.make(8)


def test_who_gets_no_more_is_told_the_limit_and_the_peak(state: State) -> None:
    text, peak = state.memory.exhausted().rsplit(", peak ", 1)
    assert text == "memory limit of 32 MB reached"
    assert int(peak.removesuffix(" MB")) > 1
    assert State(0).memory.exhausted().startswith("out of memory, peak ")


def test_a_closed_one_holds_nothing_of_the_state() -> None:
    state = State()
    memory, gone = state.memory, weakref.ref(state)
    memory.close()
    del state
    gc.collect()
    assert gone() is None
