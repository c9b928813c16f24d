"""What a process was sent and has not answered, and what became of it before it did.

Processes begin calls in the order in which they were sent them, count them from 1, and answer in
that order.  While a call runs for long, what was finished before it is taken off the status page
(``take_early``), and what has not begun is asked back:

    ask_back      the page says so from then on; the process may still be about to begin one
    take_back     a moment later: it is at the same call still, so it will begin none of them
    returned      once it could look at the page, it says what it did not begin, taken back or not

Until all of that is answered the process is not to be sent anything: nobody knows how long that
call takes.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence

from midas_mp.errors import ProtocolError
from midas_mp.participant.status_page import RunningTask
from midas_mp.participant.unsent_results import UnsentResult
from midas_mp.wire.messages import Call, Outcome, RunTasks, TaskRef, TaskResults, TasksReturned


@dataclasses.dataclass(slots=True)
class _SentFrame:
    """What is left of it."""

    order: RunTasks
    """Its ``calls`` are not looked at."""
    calls: list[Call]
    serial: int
    """Of the first of them."""

    def refs(self, start: int = 0) -> list[TaskRef]:
        order = self.order
        return [TaskRef(order.job, order.round, call.index) for call in self.calls[start:]]

    def drop_first(self) -> None:
        del self.calls[0]
        self.serial += 1


class Hand:
    """Of one process, from its start to its end."""

    def __init__(self) -> None:
        self._frames: deque[_SentFrame] = deque()
        self._sent_count = 0
        self._known_early: deque[TaskRef] = deque()
        """Finished as far as anybody else knows; the process will say so yet."""
        self._asked_to = 0
        """Up to which of its calls the process shall begin none any more."""
        self._taken_back: deque[TaskRef] = deque()
        """Somebody else's by now; the process will return them yet."""

    # -- asking ----------------------------------------------------------------------------------

    @property
    def frame_count(self) -> int:
        return len(self._frames)

    @property
    def job(self) -> str:
        """Whose calls come first; empty where there are none."""
        return self._frames[0].order.job if self._frames else ""

    @property
    def has_several(self) -> bool:
        """Whether there is more than the one call that it may be at."""
        return len(self._frames) > 1 or (bool(self._frames) and len(self._frames[0].calls) > 1)

    @property
    def is_asked_back(self) -> bool:
        """Whether the process is at a call behind which something was asked back."""
        return bool(self._frames) and self._frames[0].serial <= self._asked_to

    def has_of(self, job: str) -> bool:
        return any(frame.order.job == job for frame in self._frames)

    def refs(self) -> list[TaskRef]:
        return [ref for frame in self._frames for ref in frame.refs()]

    def first(self) -> TaskRef | None:
        return self._frames[0].refs()[0] if self._frames else None

    def find(self, running: RunningTask) -> tuple[RunTasks, Call] | None:
        """Which call the page means; it is written by the process, so what does not fit is none."""
        for frame in self._frames:
            position = running.serial - frame.serial
            if 0 <= position < len(frame.calls):
                call = frame.calls[position]
                return (frame.order, call) if call.index == running.index else None
        return None

    # -- sent and answered -----------------------------------------------------------------------

    def add(self, order: RunTasks, calls: Sequence[Call]) -> None:
        """They are being sent."""
        self._frames.append(_SentFrame(order, list(calls), self._sent_count + 1))
        self._sent_count += len(calls)

    def finish(self, results: TaskResults) -> int:
        """Notes what the process says it finished.

        Returns:
            How many of the outcomes, the first ones, had been taken early.

        Raises:
            ProtocolError: it answers what it was not asked.
        """
        known_count = self._skip_known(results) if self._known_early else 0
        for outcome in results.outcomes[known_count:]:
            frame = self._frames[0] if self._frames else None
            if (
                frame is None
                or frame.order.job != results.job
                or frame.order.round != results.round
                or frame.calls[0].index != outcome.index
            ):
                raise ProtocolError(f"a result of task {outcome.index}, which was not its next")
            self._drop_first(frame)
        return known_count

    def _skip_known(self, results: TaskResults) -> int:
        count = min(len(self._known_early), len(results.outcomes))
        for outcome in results.outcomes[:count]:
            ref = TaskRef(results.job, results.round, outcome.index)
            if self._known_early.popleft() != ref:
                raise ProtocolError(f"a result of task {outcome.index}, not of those before it")
        return count

    def _drop_first(self, frame: _SentFrame) -> None:
        frame.drop_first()
        if not frame.calls:
            self._frames.popleft()

    # -- while a call runs for long --------------------------------------------------------------

    @property
    def first_serial(self) -> int:
        """Of the first call that is not answered."""
        return self._frames[0].serial if self._frames else self._sent_count + 1

    def take_early(self, unsent: Sequence[UnsentResult], worker: str) -> TaskResults:
        """Notes as finished what the process has not sent: the results of its first calls, all of
        one frame, since a process sends what it has at the end of each.

        Args:
            unsent: at least one.
            worker: whose results they are.
        """
        frame = self._frames[0]
        order = frame.order
        outcomes = []
        for call, (status, duration_us, payload) in zip(frame.calls, unsent, strict=False):
            outcomes.append(Outcome(call.index, call.attempt, status, duration_us, len(payload)))
            self._known_early.append(TaskRef(order.job, order.round, call.index))
        for _ in outcomes:
            self._drop_first(frame)
        return TaskResults(order.job, order.round, worker, outcomes)

    def ask_back(self, running: RunningTask) -> int:
        """Wants all behind that call back.

        Returns:
            What the page is to say: the last of the calls that the process shall not begin; 0 if
            there is none.
        """
        if self._sent_count <= max(running.serial, self._asked_to):
            return 0
        self._asked_to = self._sent_count
        return self._asked_to

    def take_back(self, running: RunningTask) -> list[TaskRef]:
        """What of that which was asked back a moment ago the process will not begin, by what it is
        at now.
        """
        taken: list[TaskRef] = []
        if running.serial >= self._asked_to:
            return taken
        while self._frames and self._frames[-1].serial > running.serial:
            taken[:0] = self._frames.pop().refs()
        if self._frames:
            last = self._frames[-1]
            keep = running.serial + 1 - last.serial
            taken[:0] = last.refs(keep)
            del last.calls[keep:]
        self._taken_back += taken
        return taken

    def returned(self, message: TasksReturned) -> list[TaskRef]:
        """Notes what the process says it did not begin.

        Returns:
            Those that had not been taken back.

        Raises:
            ProtocolError: it was not asked for one of them.
        """
        rest: list[TaskRef] = []
        for ref in message.tasks:
            if self._taken_back and self._taken_back[0] == ref:
                self._taken_back.popleft()
                continue
            if self.first() != ref or self.first_serial > self._asked_to:
                raise ProtocolError(f"task {ref.index} is returned, which nobody asked back")
            self._drop_first(self._frames[0])
            rest.append(ref)
        return rest
