"""A job as its node knows it, and as one of the node's processes does.

What the host says of a job is kept as it came and passed on to each process that is to run its
tasks, once, before the first of them.  A process has room for so many bundles; it is told to drop
those that it has not run for longest, and told them again before the next task of theirs.
"""

from __future__ import annotations

import dataclasses

from midas_mp import limits
from midas_mp.participant.shared import SharedCopy
from midas_mp.scheduler.shelf import Shelf, portions
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame, size_bytes
from midas_mp.wire.messages import (
    BeginJob,
    DropBundles,
    JobSpec,
    LimitTasks,
    OfferShared,
    RunTasks,
)


@dataclasses.dataclass(slots=True)
class KnownJob:
    """What one process has been told of a job."""

    bundles: Shelf = dataclasses.field(default_factory=Shelf)
    shared_round: int | None = None
    """Whose shared data it has."""


class NodeJob:
    """Of one host's job: its spec, its bundles, the shared data of its round.

    Attributes:
        bundles: the frame that brought it, by digest.
        shared: as far as it has come; None where nothing was offered.
    """

    def __init__(self, begin: Frame) -> None:
        assert isinstance(begin.message, BeginJob)
        self.spec: JobSpec = begin.message.spec
        self.bundles: dict[str, Frame] = {}
        self._limited_round = -1
        self._limit_s = 0.0
        self.shared: SharedCopy | None = None
        self._begin = begin

    def limit(self, message: LimitTasks) -> None:
        """Tasks of a round may take so long from now on."""
        self._limited_round, self._limit_s = message.round, message.timeout_s

    def timeout_s(self, round_: int) -> float:
        """What each task of a round may take; 0 is as long as it likes."""
        if self.spec.timeout_factor:
            return self._limit_s if round_ == self._limited_round else 0.0
        return self.spec.timeout_s

    def memory_bytes(self, most: int) -> int:
        """What a Lua state of the job may take on a node that grants so much."""
        return min(self.spec.memory_bytes or most, most)

    def copy_for(self, offer: OfferShared) -> SharedCopy:
        """What there is of the data offered; those of another round are dropped."""
        if self.shared is None or not self.shared.is_of(offer):
            self.shared = SharedCopy(offer)
        return self.shared

    def objection(self, order: RunTasks) -> str:
        """Why tasks cannot be run here, though they were sent; empty if they can."""
        if order.digest not in self.bundles:
            return "whose bundle never came"
        shared = self._shared_of(order)
        if shared is not None and not shared.is_complete:
            return f"whose shared data of round {order.round} is not here"
        return ""

    def introduction(
        self, known: dict[str, KnownJob], order: RunTasks, *, memory_bytes: int = 0
    ) -> list[Frame]:
        """What a process must be told before these tasks; it is noted as known.

        Args:
            known: what it has been told.
            order: the tasks.
            memory_bytes: what its Lua state may take; 0 is no bound.
        """
        frames: list[Frame] = []
        if order.job not in known:
            known[order.job] = KnownJob()
            frames.append(self._begin)
        told = known[order.job]
        if not told.bundles.use(order.digest):
            bundle = self.bundles[order.digest]
            told.bundles.put(order.digest, size_bytes(bundle.buffers))
            gone = told.bundles.trim(_bundles_bytes_max(memory_bytes), lambda: (order.digest,))
            frames += [_dropping(order.job, some) for some in portions(gone)]
            frames.append(bundle)
        shared = self._shared_of(order)
        if shared is not None and told.shared_round != shared.round:
            told.shared_round = shared.round
            frames.append(shared.frame())
        return frames

    def _shared_of(self, order: RunTasks) -> SharedCopy | None:
        shared = self.shared
        return shared if shared is not None and shared.round == order.round else None


def _dropping(job: str, digests: list[str]) -> Frame:
    return Frame(CONTROL_CHANNEL, DropBundles(job, digests))


def _bundles_bytes_max(memory_bytes: int) -> int:
    """How much source a Lua state of so much memory may have compiled at a time."""
    most = limits.BUNDLES_BYTES_MAX_PROCESS
    return min(most, memory_bytes // limits.BUNDLES_MEMORY_SHARE_INVERSE) if memory_bytes else most
