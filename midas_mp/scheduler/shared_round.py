"""The data that the tasks of a round share, as the host has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midas_mp import limits
from midas_mp.wire.framing import Buffer

if TYPE_CHECKING:
    from midas_mp.scheduler.records import Node


class SharedRound:
    """The data that the tasks of a job's present round share."""

    __slots__ = (
        "holders",
        "moved_at",
        "offered",
        "parts",
        "received_bytes",
        "round",
        "sizes",
        "total_bytes",
    )

    def __init__(self, round_: int, sizes: list[int], now: float) -> None:
        self.round = round_
        self.sizes = sizes
        self.total_bytes = sum(sizes)
        self.received_bytes = 0
        self.parts: list[Buffer] = []
        """What has come, in order; small ones are joined, so that there are not too many."""
        self.moved_at = now
        """When some of it last came, here or to a node, or a node was told of it."""
        self.offered: dict[Node, int] = {}
        """Nodes that were told of it, and how much each has."""
        self.holders: dict[Node, None] = {}
        """Nodes that have all of it."""

    @property
    def is_complete(self) -> bool:
        return self.received_bytes == self.total_bytes

    def add(self, part: Buffer) -> None:
        """Append what follows; a view must be of bytes."""
        last = self.parts[-1] if self.parts else None
        if last is not None and len(last) + len(part) <= limits.SHARED_PART_BYTES:
            if not isinstance(last, bytearray):
                last = self.parts[-1] = bytearray(last)
            last += part
        else:
            self.parts.append(part)
        self.received_bytes += len(part)
