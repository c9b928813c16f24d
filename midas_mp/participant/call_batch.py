"""Calls that wait for a process, as a seat cuts them into frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence

import msgspec

from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.messages import Call, Failure, Outcome, RunTasks, Status, TaskRef, TaskResults


@dataclasses.dataclass(slots=True)
class CallBatch:
    """Calls of one job and round, with their buffers; only ever shrinks."""

    order: RunTasks
    """Its ``calls`` are not looked at: ``calls`` here are what is left."""
    calls: list[Call]
    buffers: list[Buffer]

    @classmethod
    def of(cls, frame: Frame) -> CallBatch:
        order = frame.message
        assert isinstance(order, RunTasks)
        return cls(order, list(order.calls), list(frame.buffers))

    def take_first(self, count: int) -> CallBatch:
        calls = self.calls[:count]
        buffer_count = sum(call.buffer_count for call in calls)
        taken = CallBatch(self.order, calls, self.buffers[:buffer_count])
        del self.calls[:count]
        del self.buffers[:buffer_count]
        return taken

    def drop_last(self, count: int) -> list[TaskRef]:
        calls = self.calls[len(self.calls) - count :]
        buffer_count = sum(call.buffer_count for call in calls)
        del self.calls[len(self.calls) - count :]
        del self.buffers[len(self.buffers) - buffer_count :]
        return self._refs(calls)

    def drop(self, indices: Container[int]) -> list[TaskRef]:
        dropped: list[Call] = []
        calls: list[Call] = []
        buffers: list[Buffer] = []
        start = 0
        for call in self.calls:
            end = start + call.buffer_count
            if call.index in indices:
                dropped.append(call)
            else:
                calls.append(call)
                buffers += self.buffers[start:end]
            start = end
        self.calls, self.buffers = calls, buffers
        return self._refs(dropped)

    def refs(self) -> list[TaskRef]:
        return self._refs(self.calls)

    def frame(self) -> Frame:
        return Frame(0, msgspec.structs.replace(self.order, calls=self.calls), self.buffers)

    def failed(self, failure: Failure, channel: int, worker: str, duration_us: int = 0) -> Frame:
        """The results of all of them, if this is what became of each."""
        order = self.order
        outcomes = [
            Outcome(call.index, call.attempt, Status.FAILED, duration_us) for call in self.calls
        ]
        results = TaskResults(order.job, order.round, worker, outcomes)
        return Frame(channel, results, [failure.to_payload()] * len(outcomes))

    def _refs(self, calls: Sequence[Call]) -> list[TaskRef]:
        return [TaskRef(self.order.job, self.order.round, call.index) for call in calls]
