"""Calls that wait for credit: some of them may be cancelled before they ever go."""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence

import msgspec

from midas_mp.wire.framing import Buffer, payloads
from midas_mp.wire.messages import RunTasks


class Submission:
    """One order.

    Attributes:
        order: with the calls that are left.
        buffers: of those.
    """

    def __init__(self, order: RunTasks, buffers: Sequence[Buffer]) -> None:
        self.order = order
        self.buffers = buffers

    @property
    def count(self) -> int:
        return len(self.order.calls)

    def cancel(self, round_: int, indices: Container[int]) -> None:
        """Drops these; unknown ones are none."""
        order = self.order
        if order.round != round_ or not any(call.index in indices for call in order.calls):
            return
        left = [
            (call, payload)
            for call, payload in payloads(order.calls, self.buffers)
            if call.index not in indices
        ]
        self.order = msgspec.structs.replace(order, calls=[call for call, _ in left])
        self.buffers = list(itertools.chain.from_iterable(payload for _, payload in left))
