"""One job of a simulated client: submits what its plan says, and judges what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from midas_mp import limits
from midas_mp.client.client import Client
from midas_mp.client.engine import EngineJob
from midas_mp.errors import JobKilled, MidasError
from midas_mp.testing import orders as tasks
from midas_mp.testing.connection import Site
from midas_mp.testing.diary import Diary
from midas_mp.testing.orders import POISON, Orders
from midas_mp.testing.processes import Blamed
from midas_mp.testing.scenario import SPEED_MAX, SPEED_MIN, JobPlan
from midas_mp.testing.trace import Trace
from midas_mp.wire.framing import Buffer, payloads
from midas_mp.wire.messages import Call, Failure, JobSpec, Outcome, RunTasks, Status, TaskResults


class ScriptedJob:
    """Also the ``JobObserver`` of its job at the host.

    Args:
        must_hear_prints: nothing on the way loses what tasks print.
        diary: its journal, where results are before they count.
    """

    def __init__(
        self,
        plan: JobPlan,
        site: Site,
        trace: Trace,
        blamed: Blamed,
        object_to: Callable[[str], None],
        *,
        must_hear_prints: bool = False,
        diary: Diary | None = None,
    ) -> None:
        self.plan = plan
        self._site = site
        self._trace = trace
        self._blamed = blamed
        self._object_to = object_to
        self._diary = diary
        self._job: EngineJob | None = None
        self._is_over = False
        self._is_to_be_killed = False
        self._has_changed_mind = False
        self._work: asyncio.Task[None] | None = None
        self._shared = ""
        self._must_hear_prints = must_hear_prints
        self._printed: dict[int, list[bytes]] = {}
        self._arrived: dict[tuple[int, int], Outcome] = {}
        self._missing: dict[tuple[int, int], Orders] = {}
        self._cancelled: set[tuple[int, int]] = set()
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self, client: Client) -> None:
        """From the opening to the end."""
        plan = self.plan
        spec = _spec(plan)
        if self._diary is not None:
            await self._diary.open(spec)
        self._trace.note(self._site.name, "opens", plan.title)
        job = self._job = client.open_job(plan.title, spec, tasks.bundle(0), self)
        self._trace.alias(job.id, plan.title)
        self._work = asyncio.current_task()
        if plan.abandoned_at_s is not None:
            self._site.soon(plan.abandoned_at_s, self._close_early)
        try:
            await job.wait_started()
            if plan.is_at_once:
                await asyncio.gather(*(self._run_round(job, r) for r in range(len(plan.rounds))))
                return
            for round_ in range(len(plan.rounds)):
                await self._run_round(job, round_)
                if self._is_over:
                    break
        except asyncio.CancelledError:
            if not self._has_changed_mind:
                raise
        except MidasError as error:
            if not self._is_over:
                self._object_to(f"{plan.title}: {error!r}, and nobody was told")
        finally:
            self._trace.note(self._site.name, "ends", plan.title)
            self.abandon()
            job.close("done")
            await self._close_diary()

    async def _close_diary(self) -> None:
        if self._diary is not None:
            await self._diary.close()

    def abandon(self) -> None:
        """Nothing more is wanted of it."""
        self._is_over = True
        self._changed.set()

    def is_killed(self, name: str) -> None:
        """Somebody wants what is called so to end: perhaps this job."""
        if self._job is not None and self._job.id == name:
            self._is_to_be_killed = True

    def _close_early(self) -> None:
        """Somebody else ends the job, and ``run`` finds out wherever it is."""
        if not self._is_over and self._job is not None:
            self.abandon()
            self._job.close("the user has changed their mind")

    def _change_mind(self) -> None:
        """It is enough, wherever ``run`` is."""
        if not self._is_over and self._work is not None:
            self._has_changed_mind = True
            self.abandon()
            self._work.cancel()

    def story(self) -> str:
        """How far it is."""
        missing = list(self._missing)
        return f"{self.plan.title}: {len(self._arrived)} in, not {missing}"

    async def _run_round(self, job: EngineJob, round_: int) -> None:
        plan = self.plan
        everything = plan.rounds[round_]
        self._missing |= {(round_, orders.index): orders for orders in everything}
        self._shared = ""
        self._printed.clear()
        shared: list[bytes] = []
        if plan.shared_bytes:
            shared = tasks.shared_payload(plan.title, round_, plan.shared_bytes)
            self._shared = tasks.fingerprint(shared)
            job.share(round_, shared)
        if self._diary is not None:
            everything = await self._go_on(self._diary, round_, everything, shared)
        batch_max = min(plan.batch_max, limits.TASKS_PER_FRAME_MAX, limits.CREDIT_TASKS)
        for first in range(0, len(everything), batch_max):
            if self._is_over:
                return
            await asyncio.sleep(plan.pause_s)
            some = everything[first : first + batch_max]
            for number in sorted({orders.bundle for orders in some}):
                mates = [orders for orders in some if orders.bundle == number]
                await self._submit(job, mates, count=len(plan.rounds[round_]))
                self._cancel_later(job, round_, mates)
        while not self._is_over and any(known == round_ for known, _ in self._missing):
            self._changed.clear()
            await self._changed.wait()

    async def _go_on(
        self, diary: Diary, round_: int, everything: list[Orders], shared: list[bytes]
    ) -> list[Orders]:
        """Takes what is recorded of a round, and returns what is to be done."""
        for outcome, payload in await diary.begin_round(round_, len(everything), shared):
            self._trace.count("results in journals")
            self._take(round_, outcome, payload)
            del self._missing[round_, outcome.index]
        return [orders for orders in everything if not diary.is_done(orders)]

    @staticmethod
    async def _submit(job: EngineJob, mates: Sequence[Orders], *, count: int) -> None:
        """Tasks of one round and one bundle."""
        bundle = tasks.bundle(mates[0].bundle)
        calls = [Call(orders.index) for orders in mates]
        order = RunTasks(job.id, mates[0].round, count, bundle.digest, "execute_code", calls)
        await job.submit(order, [tasks.encode(orders) for orders in mates], bundle)

    def _cancel_later(self, job: EngineJob, round_: int, submitted: Sequence[Orders]) -> None:
        """Those that are to be cancelled after the same time are cancelled together."""
        by_delay: dict[float, list[int]] = {}
        for orders in submitted:
            delay_s = self.plan.cancels.get((round_, orders.index))
            if delay_s is not None:
                by_delay.setdefault(delay_s, []).append(orders.index)
        for delay_s, indices in by_delay.items():
            self._site.soon(delay_s, partial(self._cancel, job, round_, indices))

    def _cancel(self, job: EngineJob, round_: int, indices: list[int]) -> None:
        if self._is_over:
            return
        self._trace.note(self._site.name, "cancels", self.plan.title, round_, indices)
        job.cancel(round_, indices)
        for index in indices:
            if (round_, index) not in self._arrived:
                self._trace.count("tasks cancelled")
                self._cancelled.add((round_, index))
                del self._missing[round_, index]
        self._changed.set()

    def _acknowledge(self, round_: int, indices: list[int]) -> None:
        if self._job is not None and not self._is_over:
            self._job.acknowledge(round_, indices)

    # -- as a JobObserver ------------------------------------------------------------------------

    def results_arrived(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        if self._is_over:
            return
        for outcome, payload in payloads(results.outcomes, buffers):
            self._trace.count("results")
            self._take(results.round, outcome, payload)
        indices = [outcome.index for outcome in results.outcomes]
        self._trace.note(self._site.name, "got", self.plan.title, results.round, indices)
        if self._diary is not None:
            self._diary.write(results, buffers, partial(self._settle, results))
        else:
            self._settle(results)

    def _settle(self, results: TaskResults) -> None:
        """They are safe: nobody else need keep them."""
        if self._is_over:
            return
        indices = [outcome.index for outcome in results.outcomes]
        for index in indices:
            self._missing.pop((results.round, index), None)
        if self.plan.acknowledge_s:
            self._site.soon(
                self.plan.acknowledge_s, lambda: self._acknowledge(results.round, indices)
            )
        else:
            self._acknowledge(results.round, indices)
        enough = self.plan.abandoned_after
        if enough is not None and len(self._arrived) > enough:
            self._change_mind()
        self._changed.set()

    def task_printed(self, index: int, _worker: str, text: bytes) -> None:
        self._trace.count("prints")
        self._printed.setdefault(index, []).append(text)

    def task_running(self, index: int, worker: str, elapsed_s: float) -> None:
        self._trace.note(self._site.name, self.plan.title, index, "runs", elapsed_s, "s on", worker)

    def task_progressed(self, index: int, _fraction: float) -> None:
        self._object_to(f"{self.plan.title}: progress of task {index} that nobody reported")

    def workers_changed(self, workers: int) -> None:
        self._trace.note(self._site.name, self.plan.title, "has", workers, "workers")

    def noticed(self, text: str) -> None:
        self._trace.note(self._site.name, "hears:", text)

    def shared_progressed(self, node: str, received_bytes: int, total_bytes: int) -> None:
        if received_bytes > total_bytes or total_bytes != self.plan.shared_bytes:
            self._object_to(f"{self.plan.title}: {node} has {received_bytes} of {total_bytes}")

    def job_lost(self, error: MidasError) -> None:
        self._trace.note(self._site.name, self.plan.title, "is lost:", error)
        was_killed = isinstance(error, JobKilled) and self._is_to_be_killed
        self._trace.count("jobs killed" if was_killed else "jobs lost")
        if not (was_killed or self._site.is_glitched):
            self._object_to(f"{self.plan.title} was lost: {error!r}")
        self.abandon()

    # -- judging ---------------------------------------------------------------------------------

    def _take(self, round_: int, outcome: Outcome, payload: Sequence[Buffer]) -> None:
        complaint = self._complaint(round_, outcome, payload)
        if complaint:
            name = f"{self.plan.title} round {round_} task {outcome.index}"
            self._object_to(f"{name}: {complaint}")
        self._arrived[round_, outcome.index] = outcome

    def _complaint(self, round_: int, outcome: Outcome, payload: Sequence[Buffer]) -> str:
        """What is wrong with a result; empty if it is as it must be."""
        if (round_, outcome.index) in self._arrived:
            return "a result for the second time"
        if (round_, outcome.index) in self._cancelled:
            return "a result of a cancelled task"
        orders = self._missing.get((round_, outcome.index))
        if orders is None:
            return "a result that nobody waits for"
        data = b"".join(payload)
        if outcome.status is Status.OK:
            if orders.fails or orders.crashes >= POISON:
                return "a result that cannot be"
            # where the word of the shared data got lost, nobody can know of them
            is_right = data == tasks.answer(orders, self._shared) or self._site.is_glitched
            return self._print_complaint(orders) if is_right else "a wrong result"
        return self._objection(orders, Failure.from_payload(data))

    def _print_complaint(self, orders: Orders) -> str:
        """What a task prints comes in order and before its result, unless it got lost."""
        printed = self._printed.get(orders.index, [])
        last = printed[len(printed) - orders.prints :]  # it may have been tried before
        if not self._must_hear_prints or orders.crashes or last == orders.printed():
            return ""
        return f"a result before all that was printed: {printed}"

    def _objection(self, orders: Orders, failure: Failure) -> str:
        """Why the task cannot have failed so; empty if it can."""
        self._trace.count(f"failed: {failure.kind}")
        match failure.kind:
            case "runtime":
                possible = orders.fails
            case "timeout":
                possible = 0 < self._timeout_s_min(orders) < orders.seconds / SPEED_MIN
            case "lost":
                possible = self._blamed.get(orders.name, 0) >= limits.ATTEMPTS_MAX
            case _:
                possible = False
        return "" if possible else f"it cannot have failed so: {failure.message}"

    def _timeout_s_min(self, orders: Orders) -> float:
        """What a task like that may take at least; 0 where it has no bound."""
        factor = self.plan.timeout_factor
        if not factor:
            return self.plan.timeout_s
        quickest_s = min(mate.seconds for mate in self.plan.rounds[orders.round]) / SPEED_MAX
        return max(limits.MEDIAN_TIMEOUT_S_MIN, factor * quickest_s)


def _spec(plan: JobPlan) -> JobSpec:
    return JobSpec(
        engine=plan.engine,
        timeout_s=plan.timeout_s,
        retries=plan.retries,
        timeout_factor=plan.timeout_factor,
    )
