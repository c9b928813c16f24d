"""One map on the loop's side: cuts items into tasks, submits them, hands on what comes back.

    items ─▶ Feed ── tasks ──▶ engine          within the engine's credit
                  ◀─ results ──
               └─▶ arrived(list of Arrival)    whoever puts them in order: a ``Collector``

A task is known by the index of its first item.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from midas_mp import limits
from midas_mp.client.values import Packer, Payload, array_length
from midas_mp.errors import MidasError, ScriptError, UnsendableValue
from midas_mp.executor.calls import FunctionCalls, located, task_error
from midas_mp.executor.function import LuaFunction
from midas_mp.executor.pace import Pace
from midas_mp.wire.framing import Buffer, payloads, size_bytes
from midas_mp.wire.messages import Call, CallForm, Outcome, Status, TaskResults

TASKS_AHEAD: Final = 4
"""Tasks of automatic size that each worker has in hand or on the way: enough work for the time
that Python needs to take notice."""


_SINGLE: Final = (1, 0)
"""An open task of one item; nobody wants its size."""


class Failed(NamedTuple):
    """A task that failed: the error, and the results of the items before it."""

    error: Exception
    payload: Payload | None


Arrival = tuple[int, Buffer | Payload | Failed]
"""First item, and what came of the task: one buffer stands for a payload of no more."""

Arrived = Callable[[list[Arrival] | Exception], None]
"""Told what came; or why nothing more will come."""


class MapPlan(NamedTuple):
    """What is mapped, and how.

    Attributes:
        function: called for each item.
        arity: arguments of an item.
        chunksize: items in a task; None is as many as take a few milliseconds.
        size_max: of a task, where items come in small lots; 0 is any.
    """

    function: LuaFunction
    arity: int
    chunksize: int | None = None
    size_max: int = 0


class Feed:
    """One map under way.  Lives in the event loop.

    Args:
        calls: where its tasks run.
        plan: what is mapped.
        arrived: told what came; or why nothing more will come.
        hold_s: what comes so soon after the last telling is told together, where telling costs
            much: it wakes a thread.
    """

    def __init__(
        self, calls: FunctionCalls, plan: MapPlan, arrived: Arrived, *, hold_s: float = 0.0
    ) -> None:
        self._calls = calls
        self._plan = plan
        self._arrived = arrived
        self._hold_s = hold_s
        self._held: list[Arrival] = []
        self._tell_at_s = 0.0
        """Nothing is told before, unless it is the last."""
        self._teller: asyncio.TimerHandle | None = None
        self._packer = Packer()
        self._pace = Pace()
        self._values: Sequence[Any] = ()
        """Arguments of the items that have not been sent, one after the other …"""
        self._position = 0
        """… from here on."""
        self._next = 0
        """Index of the item there."""
        self._not_plain_before = 0
        """Up to there items are looked at one by one."""
        self._base = 0
        """Index of the first of the items."""
        self._is_last = False
        self._open: dict[int, tuple[int, int]] = {}
        """Items, and bytes, of the tasks that have no result so far."""
        self._changed = asyncio.Event()
        self._is_over = False
        try:
            self._round = calls.begin_round(self)
        except MidasError as error:
            self._is_over = True
            arrived(error)
            return
        self._pumping = asyncio.get_running_loop().create_task(self._pump())

    def add(self, values: Sequence[Any], *, is_last: bool) -> None:
        """More items: the arguments of all of them, one after the other."""
        if self._is_over:
            return
        if self._position < len(self._values):
            self._values = [*self._values[self._position :], *values]
        else:
            self._values = values
        self._position = 0
        self._base = self._next
        self._is_last = is_last
        self._changed.set()

    def stop(self) -> None:
        """Stops what is under way; nothing is told any more.  Idempotent."""
        if not self._is_over:
            self._end()
            self._calls.end_round(self._round, self._open)

    # -- sending -----------------------------------------------------------------------------------

    async def _pump(self) -> None:
        try:
            while not self._is_over:
                self._changed.clear()
                while self._may_send():
                    await self._send()
                self._look_done()
                await self._changed.wait()
        except Exception as error:  # noqa: BLE001 - whatever an item's own class raises, or a
            # warning where the user made it an error: who reads the map would wait for ever
            self.fail(error)

    def _left(self) -> int:
        return (len(self._values) - self._position) // self._plan.arity

    def _may_send(self) -> bool:
        if self._position >= len(self._values) or self._is_over:
            return False
        ahead = TASKS_AHEAD * max(1, self._calls.workers)
        return self._plan.chunksize is not None or len(self._open) < ahead

    async def _send(self) -> None:
        """One task of automatic size, or as many as a frame should hold."""
        plan = self._plan
        form = CallForm.ARGUMENTS if plan.chunksize == 1 else CallForm.BATCH
        if form is CallForm.ARGUMENTS:
            singles = self._cut_singles()
            if singles:
                await self._submit(form, *singles)
                return
        count_max = limits.TASKS_PER_FRAME_MAX if plan.chunksize is not None else 1
        calls: list[Call] = []
        buffers: list[Buffer] = []
        total = 0
        while self._position < len(self._values) and len(calls) < count_max:
            start = self._next
            try:
                items, payload = self._cut(form)
            except UnsendableValue as error:
                self._refuse(error)
                break
            size = size_bytes(payload)
            self._open[start] = (items, size)
            calls.append(Call(start, 0, len(payload)))
            buffers += payload
            total += size
            if total >= limits.FRAME_BYTES_TARGET or len(buffers) >= limits.FRAME_BUFFERS_MAX:
                break
        if calls:
            await self._submit(form, calls, buffers)

    async def _submit(self, form: CallForm, calls: list[Call], buffers: Sequence[Buffer]) -> None:
        count = self._next + self._left() if self._is_last else 0
        function = self._plan.function
        await self._calls.submit(self._round, function, form, calls, buffers, count=count)

    def _cut_singles(self) -> tuple[list[Call], list[bytes]] | None:
        """The next tasks of one item each, as many as a frame should hold, all at once.

        None where they have arrays, are large, or one of them cannot be sent.
        """
        arity, start = self._plan.arity, self._next
        if start < self._not_plain_before:
            return None
        items = min(self._left(), limits.TASKS_PER_FRAME_MAX)
        values = self._values[self._position : self._position + items * arity]
        rows = zip(*[iter(values)] * arity, strict=True)
        payloads = self._packer.plain_arguments(rows, limits.FRAME_BYTES_TARGET)
        if payloads is None:
            self._not_plain_before = start + items
            return None
        self._position += items * arity
        self._next += items
        indices = range(start, self._next)
        self._open.update(dict.fromkeys(indices, _SINGLE))
        return list(map(Call, indices)), payloads

    def _cut(self, form: CallForm) -> tuple[int, list[Buffer]]:
        """The next task: its items, and its payload.

        Raises:
            UnsendableValue: the very next item cannot be sent.
        """
        arity, left = self._plan.arity, self._left()
        items = min(left, self._plan.chunksize or self._automatic_size(left))
        position = self._position
        while True:
            values = self._values[position : position + items * arity]
            try:
                if form is CallForm.ARGUMENTS:
                    payload = self._packer.arguments(values)
                else:
                    payload = self._packer.batch(arity, self._next, values)
                break
            except UnsendableValue:
                if items == 1:
                    raise
                items = items // 2  # down to the one that is the matter
        self._position += items * arity
        self._next += items
        return items, payload

    def _automatic_size(self, left: int) -> int:
        size = self._pace.size(left, self._calls.workers)
        return min(size, self._plan.size_max) if self._plan.size_max else size

    def _refuse(self, error: UnsendableValue) -> None:
        """The next item cannot be sent: what is behind it does not matter any more."""
        arity = self._plan.arity
        try:
            self._packer.arguments(self._values[self._position : self._position + arity])
        except UnsendableValue as explained:
            error = explained
        told = UnsendableValue(f"item {self._next}, {error}")
        start = self._next
        self._forget_unsent()
        self._hand_on([(start, Failed(told, None))])

    def _forget_unsent(self) -> None:
        self._values = ()
        self._position = 0

    # -- what comes back ---------------------------------------------------------------------------

    def results_arrived(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        outcomes = results.outcomes
        starts = [outcome.index for outcome in outcomes]
        tasks = [*map(self._open.pop, starts)]
        is_plain = len(buffers) == len(outcomes) and self._plan.chunksize == 1
        if is_plain and not any([outcome.status for outcome in outcomes]):  # noqa: C419 - twice as fast
            arrivals: list[Arrival] = list(zip(starts, buffers, strict=True))
        else:
            came = zip(payloads(outcomes, buffers), tasks, strict=True)
            arrivals = [self._judged(*pair, items, results.worker) for pair, (items, _) in came]
        if self._plan.chunksize is None:
            for outcome, (items, size) in zip(outcomes, tasks, strict=True):
                mean = size_bytes(buffers) // len(outcomes)
                self._pace.learn(items, outcome.duration_us, max(size, mean))
        self._hand_on(arrivals)
        self._look_done()
        self._changed.set()

    def fail(self, error: Exception) -> None:
        if not self._is_over:
            self._tell()
            self.stop()
            self._arrived(error)

    def _hand_on(self, arrivals: list[Arrival]) -> None:
        """At once, or soon and together with what comes until then."""
        self._held += arrivals
        loop = asyncio.get_running_loop()
        if self._is_done() or loop.time() >= self._tell_at_s:
            self._tell()
        elif self._teller is None:
            self._teller = loop.call_at(self._tell_at_s, self._tell)

    def _tell(self) -> None:
        held, self._held = self._held, []
        self._stop_teller()
        self._tell_at_s = asyncio.get_running_loop().time() + self._hold_s
        if held:
            self._arrived(held)

    def _stop_teller(self) -> None:
        if self._teller is not None:
            self._teller.cancel()
            self._teller = None

    def _judged(self, outcome: Outcome, payload: Payload, items: int, worker: str) -> Arrival:
        """A task of several items has as many results, or as many as came before one that failed:
        else whoever reads them would wait for ever.
        """
        if outcome.status is Status.OK:
            if self._plan.chunksize == 1 or array_length(payload) == items:
                return outcome.index, payload
            return outcome.index, Failed(_miscounted(outcome, items, payload, worker), None)
        error = self._plan.function.explained(task_error(outcome, payload, worker=worker))
        results, index = None, outcome.index
        item = error.item if isinstance(error, ScriptError) else None
        if isinstance(error, ScriptError) and item is not None:
            results = payload[1:]
            if item >= items or array_length(results) != item:
                return outcome.index, Failed(_miscounted(outcome, item, results, worker), None)
            error.index = index = outcome.index + item
        error = located(error, lambda: self._arguments(index))
        self._forget_unsent()
        return outcome.index, Failed(error, results)

    def _arguments(self, index: int) -> Sequence[Any]:
        """Of an item, if they are still here."""
        start = (index - self._base) * self._plan.arity
        return self._values[start : start + self._plan.arity] if start >= 0 else ()

    def _is_done(self) -> bool:
        return self._is_last and not self._open and not self._left()

    def _look_done(self) -> None:
        if self._is_done():
            self.stop()

    def _end(self) -> None:
        self._is_over = True
        self._stop_teller()
        self._forget_unsent()
        self._changed.set()


def _miscounted(outcome: Outcome, items: int, payload: Payload, worker: str) -> ScriptError:
    found = array_length(payload)
    said = f"{found} results" if found >= 0 else "no results"
    message = f"its worker gave {said} for {items} items"
    return ScriptError("lost", message, index=outcome.index, worker=worker)
