"""How a running job looks: a progress bar on a terminal, rare plain lines elsewhere.

Everything here goes to stderr; stdout is for the answer.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from midas_mp import limits
from midas_mp.cli.report import describe, write_line
from midas_mp.client.printable import printable, printable_line
from midas_mp.errors import ScriptError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

BAR_DELAY_S: Final = 0.4
"""A job that is over sooner shows no bar, and does not pay for rich's import."""

TICK_S: Final = 0.25
WRITE_INTERVAL_S: Final = 0.1
LINE_INTERVAL_S: Final = 10.0
FAILURES_SHOWN_MAX: Final = 10

LONG_TASK_UNTOLD_S_MAX: Final = 3 * limits.RUNNING_NOTICE_S
"""A long task of which nothing was heard for so long runs no more: its worker is gone."""


class LongTask(NamedTuple):
    """A task that was said to run long: since when, said when, and where."""

    began_s: float
    told_s: float
    worker: str


class Display:
    """What both kinds share: counts, and lines of text.  Also the driver's ``View``."""

    def __init__(self) -> None:
        self.round = 0
        self.count = 0
        self.done = 0
        self.resumed_count = 0
        """Of the round's tasks, done by an earlier run."""
        self.failed = 0
        self.workers = 0
        self.fractions: dict[int, float] = {}
        self.long_tasks: dict[int, LongTask] = {}
        self.received_bytes: dict[str, int] = {}
        """Of the round's shared data, by node."""
        self.shared_bytes = 0
        self.began_s = self.round_began_s = time.monotonic()
        self._failures_seen = 0
        self._ticker: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        self.finish()
        hidden = self._failures_seen - FAILURES_SHOWN_MAX
        if hidden > 0:
            self.write(f"midas: {hidden} more failed tasks are not shown")

    # -- what kinds differ in ----------------------------------------------------------------------

    def write(self, line: str) -> None:
        """One line or block of text, above whatever is drawn."""
        write_line(line)

    def refresh(self) -> None:
        """Called every ``TICK_S`` while the job runs."""

    def finish(self) -> None:
        """Nothing more will be drawn."""

    # -- View --------------------------------------------------------------------------------------

    def started(self, round_: int, count: int, workers: int) -> None:
        self.round, self.count, self.done, self.resumed_count = round_, count, 0, 0
        self.workers = workers
        self.fractions.clear()
        self.long_tasks.clear()
        self.received_bytes.clear()
        self.round_began_s = time.monotonic()
        if self._ticker is None:
            self.began_s = self.round_began_s
            self._tick()

    def shared_progressed(self, node: str, received_bytes: int, total_bytes: int) -> None:
        self.shared_bytes = total_bytes
        if received_bytes:
            self.received_bytes[node] = received_bytes
        else:
            self.received_bytes.pop(node, None)

    def advanced(self, done: int, failed: int, ended: Sequence[int]) -> None:
        self.done, self.failed = done, failed
        if not ended:
            self.resumed_count = done
        if self.fractions or self.long_tasks:
            for index in ended:
                self.fractions.pop(index, None)
                self.long_tasks.pop(index, None)

    def printed(self, index: int, worker: str, text: bytes) -> None:
        tag = f"[{index} {worker}] " if worker else ""
        for line in printable(text).split("\n"):
            self.write(tag + line)

    def progressed(self, index: int, fraction: float) -> None:
        self.fractions[index] = fraction

    def running(self, index: int, worker: str, elapsed_s: float) -> None:
        now_s = time.monotonic()
        self.long_tasks[index] = LongTask(now_s - elapsed_s, now_s, worker)

    def workers_changed(self, workers: int) -> None:
        self.workers = workers

    def noticed(self, text: str) -> None:
        self.write(f"midas: {printable_line(text)}")

    def task_failed(self, error: ScriptError) -> None:
        self._failures_seen += 1
        if self._failures_seen <= FAILURES_SHOWN_MAX:
            self.write(describe(error))

    # -- figures --------------------------------------------------------------------------------

    @property
    def done_with_parts(self) -> float:
        """Tasks done, with the parts that running tasks say they have done."""
        return min(self.done + sum(self.fractions.values()), self.count)

    def figures(self) -> str:
        """``12.5/s, about 40 s left, 2 workers``."""
        elapsed_s = time.monotonic() - self.round_began_s
        done = self.done_with_parts
        parts = [f"round {self.round}"] if self.round else []
        parts += self._sharing()
        fresh = done - self.resumed_count
        if fresh > 0 and elapsed_s:
            rate = fresh / elapsed_s
            parts.append(f"{rate:.3g} tasks/s")
            # when all that is left runs already, the rate says nothing about its end
            if 0 < self.workers < self.count - self.done:
                parts.append(f"about {_duration((self.count - done) / rate)} left")
        parts.append(f"{self.workers} worker{'' if self.workers == 1 else 's'}")
        if self.failed:
            parts.append(f"{self.failed} failed")
        inside = [f"task {i} at {f:.0%}" for i, f in sorted(self.fractions.items())[:2]]
        return ", ".join(parts + self._longest() + inside)

    def _longest(self) -> list[str]:
        """``task 7 for 2 min 05 s on lab-003``: the one that runs longest, if any is long."""
        now_s = time.monotonic()
        heard = [
            (task.began_s, index, task.worker)
            for index, task in self.long_tasks.items()
            if now_s - task.told_s < LONG_TASK_UNTOLD_S_MAX
        ]
        if not heard:
            return []
        began_s, index, worker = min(heard)
        return [f"task {index} for {_duration(now_s - began_s)} on {worker}"]

    def _sharing(self) -> list[str]:
        """``sharing 45 MB: 2 of 3 nodes, 61 %``, while a node waits for it."""
        received = self.received_bytes.values()
        complete = sum(size == self.shared_bytes for size in received)
        if complete == len(received):
            return []
        share = sum(received) / (len(received) * self.shared_bytes)
        size = f"{self.shared_bytes / limits.MB:.3g} MB"
        return [f"sharing {size}: {complete} of {len(received)} nodes, {share:.0%}"]

    def _tick(self) -> None:
        self.refresh()
        self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)


class PlainDisplay(Display):
    """Rare lines, for logs and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self._line_s = time.monotonic()

    def refresh(self) -> None:
        now_s = time.monotonic()
        if now_s - self._line_s >= LINE_INTERVAL_S:
            self._line_s = now_s
            share = self.done / self.count if self.count else 1.0
            self.write(f"midas: {self.done}/{self.count} tasks ({share:.0%}), {self.figures()}")


class BarDisplay(Display):
    """A progress bar, for people.

    Lines that come while it is drawn are written together, a few times a second: taking the bar
    away and drawing it again costs more than a thousand lines.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._lines: list[str] = []
        self._writer: asyncio.TimerHandle | None = None

    def write(self, line: str) -> None:
        if self._bar is None:
            super().write(line)
            return
        self._lines.append(line)
        if self._writer is None:
            loop = asyncio.get_running_loop()
            self._writer = loop.call_later(WRITE_INTERVAL_S, self._write_lines)

    def _write_lines(self) -> None:
        self._writer = None
        if self._bar is not None:
            self._bar.stop()
            self._flush()
            self._bar.start()

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            super().write("\n".join(lines))

    def refresh(self) -> None:
        if self._bar is None:
            if time.monotonic() - self.began_s < BAR_DELAY_S:
                return
            self._bar = self._make_bar()
            self._task = self._bar.add_task("", total=self.count, figures="")
            self._bar.start()
        assert self._task is not None
        self._bar.update(
            self._task,
            total=self.count,
            completed=self.done_with_parts,
            description=f"{self.done}/{self.count}",
            figures=self.figures(),
            refresh=True,
        )

    def finish(self) -> None:
        if self._bar is not None:
            self.refresh()
            self._bar.stop()
            self._bar = None
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None
        self._flush()

    @staticmethod
    def _make_bar() -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[figures]}", markup=False),
            console=Console(stderr=True, emoji=False),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,  # what stands in the place of a stream knows no encoding
            redirect_stderr=False,
        )


def make_display(*, wants_progress: bool) -> Display:
    """The kind that fits where stderr goes."""
    if not wants_progress:
        return Display()
    return BarDisplay() if sys.stderr.isatty() else PlainDisplay()


def _duration(seconds: float) -> str:
    """``40 s``, ``3 min 05 s``, ``2 h 10 min``."""
    minutes, rest_s = divmod(round(seconds), 60)
    hours, rest_min = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest_min:02d} min"
    return f"{minutes} min {rest_s:02d} s" if minutes else f"{rest_s} s"
