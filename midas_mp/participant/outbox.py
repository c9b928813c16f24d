"""What a node has to say while no host listens: kept until one does, in the order of its making.

Results are always kept: there are no more of them than tasks in the workers' hands.  What tasks
print is kept up to a bound; where it was dropped, a line that says so stands in its place.
Progress is not kept: by then there is newer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence
from typing import Final

from midas_mp import limits
from midas_mp.wire.framing import Frame, size_bytes
from midas_mp.wire.messages import TaskPrinted, TaskProgress, TaskResults

_FRAME_BYTES: Final = 512
"""What a kept frame weighs beside its text, so that many empty lines count too."""


@dataclasses.dataclass(slots=True)
class _Gap:
    """Prints of one job and channel that were dropped, here and after."""

    channel: int
    message: TaskPrinted
    dropped_bytes: int = 0

    def frame(self) -> Frame:
        text = b"... %d bytes of output were dropped: no host was there" % self.dropped_bytes
        return Frame(self.channel, self.message, [text])


class Outbox:
    """Of one node; knows nothing of connections."""

    def __init__(self) -> None:
        self._kept: list[Frame | _Gap] = []
        self._printed_bytes = 0
        self._gaps: dict[tuple[int, str], _Gap] = {}

    @property
    def result_count(self) -> int:
        """Tasks whose results are kept."""
        messages = [kept.message for kept in self._kept]
        return sum(len(m.outcomes) for m in messages if isinstance(m, TaskResults))

    def keep(self, frames: Sequence[Frame]) -> None:
        """Results, prints and progress of workers, on their channels."""
        for frame in frames:
            if isinstance(frame.message, TaskPrinted):
                self._keep_print(frame, frame.message)
            elif not isinstance(frame.message, TaskProgress):
                self._kept.append(frame)

    def take(self, channels: Container[int]) -> list[Frame]:
        """All that is kept for these channels; it is somebody else's to deliver now."""
        if not self._kept:
            return []
        taken = [kept for kept in self._kept if kept.channel in channels]
        self._replace([kept for kept in self._kept if kept.channel not in channels])
        return [kept.frame() if isinstance(kept, _Gap) else kept for kept in taken]

    def drop_job(self, job: str) -> None:
        """Nobody wants to hear of this job any more."""
        self._replace([kept for kept in self._kept if _job_of(kept) != job])

    def _keep_print(self, frame: Frame, message: TaskPrinted) -> None:
        weight = _weight(frame)
        gap = self._gaps.get((frame.channel, message.job))
        if gap is None:
            if self._printed_bytes + weight <= limits.OUTPUT_BACKLOG_BYTES_MAX:
                self._printed_bytes += weight
                self._kept.append(frame)
                return
            gap = self._gaps[frame.channel, message.job] = _Gap(frame.channel, message)
            self._kept.append(gap)
        gap.dropped_bytes += size_bytes(frame.buffers)

    def _replace(self, kept: list[Frame | _Gap]) -> None:
        self._kept = kept
        self._gaps = {(k.channel, k.message.job): k for k in kept if isinstance(k, _Gap)}
        self._printed_bytes = sum(
            _weight(k) for k in kept if isinstance(k, Frame) and isinstance(k.message, TaskPrinted)
        )


def _weight(frame: Frame) -> int:
    return _FRAME_BYTES + size_bytes(frame.buffers)


def _job_of(kept: Frame | _Gap) -> str:
    message = kept.message
    assert isinstance(message, TaskPrinted | TaskResults)
    return message.job
