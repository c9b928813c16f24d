"""Three-function scripts over the same workers as calls.  All of it lives in one event loop.

Each script is a job of its own beside that of the calls, with a process for its own functions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from midas_mp.client.printable import printable_line
from midas_mp.config import JobOptions
from midas_mp.driver.job import Answer
from midas_mp.driver.session import open_script_job
from midas_mp.errors import InternalError, MidasError, ProcessLost, ScriptError
from midas_mp.executor.broken import as_broken
from midas_mp.executor.calls import Printed
from midas_mp.executor.workplace import Workplace, WorkplaceSpec
from midas_mp.participant.cpus import default_memory_bytes

FAILURES_TOLD_MAX: Final = 10
"""Of one script; how many more there were is said at its end."""

_log = logging.getLogger("midas_mp")


class ScriptPlan(NamedTuple):
    """Which script is run, and how.

    Attributes:
        path: of the script.
        options: as the caller wants it; what is not said is up to the script.
        working_directory: of the script's own functions, which may write below it.
        journal: where results are recorded, and taken from; None is nowhere.
    """

    path: Path
    options: JobOptions
    working_directory: str
    journal: Path | None = None


ScriptNews = tuple[int, int] | Answer | MidasError
"""Tasks done of how many; and in the end its answer, or why there is none."""

TellScript = Callable[[ScriptNews], object]


class Scripts:
    """Those under way at one workplace.

    Args:
        workplace: whose workers run their tasks.
        site: what was asked for as that.
        printed: told what they print.
    """

    def __init__(self, workplace: Workplace, site: WorkplaceSpec, printed: Printed) -> None:
        self._workplace = workplace
        self._site = site
        self._printed = printed
        self._running: dict[asyncio.Task[None], _RunningScript] = {}
        self._error: MidasError | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self, plan: ScriptPlan, tell: TellScript) -> asyncio.Task[None]:
        """Runs a script; cancelling the task stops it.

        Args:
            plan: which, and how.
            tell: called with what happens; the last of it is the end, unless it was cancelled.
        """
        script = _RunningScript(self._workplace, self._site, self._printed, plan, tell)
        if self._error is not None:
            script.lose(self._error)
        task = asyncio.get_running_loop().create_task(script.run())
        self._running[task] = script
        self._idle.clear()
        task.add_done_callback(self._ended)
        return task

    async def wait_idle(self) -> None:
        """Until every script has ended."""
        await self._idle.wait()

    def lose(self, error: MidasError) -> None:
        """Nothing can run here any more: ends all with the error, and what comes later."""
        self._error = self._error or as_broken(error)
        for script in self._running.values():
            script.lose(self._error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if not self._running:
            self._idle.set()


class _RunningScript:
    """One of them; also the view of its job."""

    def __init__(
        self,
        workplace: Workplace,
        site: WorkplaceSpec,
        printed: Printed,
        plan: ScriptPlan,
        tell: TellScript,
    ) -> None:
        self._workplace = workplace
        self._site = site
        self.printed = printed
        self._plan = plan
        self._tell = tell
        self._loss: MidasError | None = None
        self._task: asyncio.Task[None] | None = None
        """None before it has begun."""
        self._count = 0
        self._failed = 0

    async def run(self) -> None:
        self._task = asyncio.current_task()
        try:
            if self._loss is not None:
                raise self._loss
            self._tell(await self._answer())
        except asyncio.CancelledError:
            if self._loss is None:
                raise
            self._tell(self._loss)
        except ProcessLost as error:  # of the script alone, unless the workers went with it
            self._tell(self._loss or error)
        except MidasError as error:
            self._tell(as_broken(error))
        except Exception as error:  # noqa: BLE001 - somebody waits for what is told here
            bug = InternalError(f"{type(error).__name__}: {error}")
            bug.__cause__ = error
            self._tell(bug)

    def lose(self, error: MidasError) -> None:
        """Ends it with the error, whatever it does."""
        self._loss = error
        if self._task is not None:
            self._task.cancel()

    async def _answer(self) -> Answer:
        plan, site = self._plan, self._site
        async with open_script_job(
            plan.path,
            plan.options,
            self,
            self._workplace.supervisor(),
            memory_default_bytes=default_memory_bytes(site.workers_expected or 1),
            sandbox_level_max=site.sandbox_level_max,
            sandbox_level_min=site.sandbox_level_min,
            working_directory=plan.working_directory,
            journal=plan.journal,
        ) as job:
            await job.load()
            answer = await job.run(self._workplace.client)
        if self._failed > FAILURES_TOLD_MAX:
            _log.warning("%d tasks of %s failed", self._failed, plan.path.name)
        return answer

    # -- as the view of its job --------------------------------------------------------------------

    def started(self, _round: int, count: int, _workers: int) -> None:
        self._count = count

    def advanced(self, done: int, _failed: int, _ended: Sequence[int]) -> None:
        self._tell((done, self._count))

    def noticed(self, text: str) -> None:
        _log.warning("%s", printable_line(text))

    def task_failed(self, error: ScriptError) -> None:
        self._failed += 1
        if self._failed <= FAILURES_TOLD_MAX:
            _log.warning("%s", printable_line(str(error)))

    def shared_progressed(self, node: str, received_bytes: int, total_bytes: int) -> None:
        """Whoever waits for an answer has nowhere to show it."""

    def progressed(self, index: int, fraction: float) -> None:
        """As above."""

    def running(self, index: int, worker: str, elapsed_s: float) -> None:
        """As above."""

    def workers_changed(self, workers: int) -> None:
        """As above."""


def answer_value(answer: Answer, *, raw: bool) -> str | bytes | float | None:
    """The answer as a program wants it: raw gives text as bytes."""
    value = answer.value
    return value.encode() if raw and isinstance(value, str) else value
