"""One job as a Lua process has it: its state, the bundles that did not load, and the shared data.

Shared data is one Lua value for all tasks of a round, and nothing keeps a task from writing into
it: see ``lua/library/shared.lua``.  Looking for writes takes a fixed part of the time that tasks
run, and some microseconds at the end of each frame, while its last result can still be a failure.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from midas_mp.errors import ScriptError
from midas_mp.lua.runtime import Runtime
from midas_mp.wire.messages import Failure

CHECK_SHARE: Final = 64
"""One part in so many of the tasks' time goes into looking for writes."""

CHECK_ENTRIES: Final = 250
"""Compared at a time: some 3 us by LuaJIT, 15 us by the other engines."""


@dataclass(eq=False)
class OpenedJob:
    """One Lua state and what is known of it.

    Attributes:
        memory_bytes: what the state may take; 0 is no bound.
        longest_ns: of its tasks so far.
        broken: why a bundle did not load, by digest.
        shared_round: whose shared data it has; None has none.
        shared_failure: why it does not have that data after all.
    """

    runtime: Runtime
    memory_bytes: int
    longest_ns: int = 0
    broken: dict[str, Failure] = field(default_factory=dict)
    shared_round: int | None = None
    shared_failure: Failure | None = None
    _owed_ns: int = 0
    _check_ns: int = 0

    def why_not(self, digest: str, round_: int) -> Failure | None:
        """What fails every task of this bundle and round, None if nothing does."""
        failure = self.broken.get(digest)
        if failure is None and round_ == self.shared_round:
            failure = self.shared_failure
        return failure

    def share(self, round_: int, payload: bytes | None) -> None:
        """Makes the round's shared data; without success its tasks fail, each by itself.

        Args:
            round_: the round; data of earlier ones is freed.
            payload: None was too large to be received.
        """
        self.shared_round, self.shared_failure = round_, None
        self._owed_ns = self._check_ns = 0
        try:
            if payload is None:
                self.runtime.unshare()
                raise ScriptError("memory", "not enough memory to receive the shared data")
            self.runtime.share(round_, payload)
        except ScriptError as error:
            self.shared_failure = to_failure(error)

    def inspect(self, ran_ns: int, *, is_last: bool) -> None:
        """Looks for writes into the shared data, in proportion to how long the task ran.

        Args:
            ran_ns: how long that was.
            is_last: of its frame; then it looks at some in any case.

        Raises:
            ScriptError: a task wrote into it.
        """
        self._owed_ns += ran_ns // CHECK_SHARE
        while is_last or self._owed_ns > self._check_ns:
            is_last = False
            began_ns = time.monotonic_ns()
            is_pass_done = self.runtime.check_shared(CHECK_ENTRIES)
            self._check_ns = time.monotonic_ns() - began_ns
            self._owed_ns = max(self._owed_ns - self._check_ns, 0)
            if is_pass_done:
                self._owed_ns = 0


def to_failure(error: ScriptError) -> Failure:
    return Failure(error.kind, error.message, error.traceback)
