"""A job as its node knows it, and as one of the node's processes does.

What the host says of a job is kept as it came and passed on to each process that is to run its
tasks, once, before the first of them.
"""

from __future__ import annotations

import dataclasses

from midas_mp.participant.shared import SharedCopy
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import BeginJob, JobSpec, OfferShared, RunTasks


@dataclasses.dataclass(slots=True)
class KnownJob:
    """What one process has been told of a job."""

    digests: set[str] = dataclasses.field(default_factory=set)
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
        self.shared: SharedCopy | None = None
        self._begin = begin

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

    def introduction(self, known: dict[str, KnownJob], order: RunTasks) -> list[Frame]:
        """What a process must be told before these tasks; it is noted as known."""
        frames: list[Frame] = []
        if order.job not in known:
            known[order.job] = KnownJob()
            frames.append(self._begin)
        told = known[order.job]
        if order.digest not in told.digests:
            told.digests.add(order.digest)
            frames.append(self.bundles[order.digest])
        shared = self._shared_of(order)
        if shared is not None and told.shared_round != shared.round:
            told.shared_round = shared.round
            frames.append(shared.frame())
        return frames

    def _shared_of(self, order: RunTasks) -> SharedCopy | None:
        shared = self.shared
        return shared if shared is not None and shared.round == order.round else None
