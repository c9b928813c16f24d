"""One job as a Lua process has it: its state, the bundles that did not load, and the shared data.

Shared data is one Lua value for all tasks of a round, and nothing keeps a task from writing into
it: see ``lua/library/shared.lua``.  All of it is compared with what it was before any result
leaves, so whatever has left rests on data that nobody had changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from midas_mp.errors import ScriptError
from midas_mp.lua.runtime import Runtime
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import Failure

_WRITTEN: Final = (
    "{} wrote into shared_data{}: all tasks of a worker share it, so copy what is to be changed"
)
_ONE: Final = "this task"
_ONE_OF_SEVERAL: Final = "this task, or one that ran shortly before or after it on the same worker,"


@dataclass(eq=False)
class OpenedJob:
    """One Lua state and what is known of it.

    Attributes:
        memory_bytes: what the state may take; 0 is no bound.
        has_long_tasks: whether one of its tasks took long.
        broken: why a bundle did not load, by digest.
        shared_round: whose shared data it has; None has none.
        shared_failure: why it does not have that data after all.
    """

    runtime: Runtime
    memory_bytes: int
    has_long_tasks: bool = False
    broken: dict[str, Failure] = field(default_factory=dict)
    shared_round: int | None = None
    shared_failure: Failure | None = None

    def why_not(self, digest: str, round_: int) -> Failure | None:
        """What fails every task of this bundle and round, None if nothing does."""
        failure = self.broken.get(digest)
        if failure is None and round_ == self.shared_round:
            failure = self.shared_failure
        return failure

    def share(self, round_: int, buffers: Sequence[Buffer | None]) -> None:
        """Makes the round's shared data; without success its tasks fail, each by itself.

        Args:
            round_: the round; data of earlier ones is freed.
            buffers: of the payload; one that is None was too large to be received.
        """
        self.shared_round, self.shared_failure = round_, None
        try:
            payload = [buffer for buffer in buffers if buffer is not None]
            if len(payload) < len(buffers):
                self.runtime.unshare()
                raise ScriptError("memory", "not enough memory to receive the shared data")
            self.runtime.share(round_, payload)
        except ScriptError as error:
            self.shared_failure = to_failure(error)

    def find_write(self, task_count: int) -> Failure | None:
        """Looks for writes into the shared data; the state is spoiled if there is one.

        Args:
            task_count: how many tasks ran since it was last asked.

        Returns:
            How each of these tasks failed; None if nobody wrote.
        """
        where = None if self.shared_round is None else self.runtime.check_shared()
        if where is None:
            return None
        culprit = _ONE if task_count == 1 else _ONE_OF_SEVERAL
        return Failure("runtime", _WRITTEN.format(culprit, where))


def to_failure(error: ScriptError) -> Failure:
    return Failure(error.kind, error.message, error.traceback, error.item)
