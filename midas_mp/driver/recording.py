"""A job and its journal: what is taken from it, what must be as it was, and what goes into it.

The functions of the script that run here are all called again when a run goes on, also
generate_data for finished tasks: what they set is there for interpret_results, and a generate_data
that reads its input line by line gives each task its own.  Only the tasks are not run again.  What
the script says must then be what it said before, so a digest of what each task was given is kept
with its result.

Recorded are results, and with ``on_error="continue"`` errors that the same task would make again.
What was lost, or ended by a limit of time or memory, is tried again by the next run, unless another
round has begun: that builds on what there was, so these errors are recorded before it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from midas_mp.config import JobOptions, TaskCount
from midas_mp.errors import JournalRefused
from midas_mp.journal.digests import payload_digest
from midas_mp.journal.file import RecordedResults
from midas_mp.journal.journal import Journal
from midas_mp.journal.records import FORMAT_VERSION, JobRecord, ResultsRecord
from midas_mp.journal.summary import RoundSummary
from midas_mp.lua.bundle import Bundle
from midas_mp.wire.framing import Buffer, payloads, size_bytes
from midas_mp.wire.messages import Failure, JobSpec, Outcome, Status, TaskResults

REPEATABLE_FAILURES: Final = frozenset({"syntax", "missing_function", "runtime", "unsendable"})

_ADVICE: Final = "say the same as then, or name another file"
_INPUT: Final = (
    "its input has changed, or it depends on the clock, or on the order in which pairs goes "
    "through a table"
)


class Recording:
    """One job's use of its journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._summary = journal.summary
        self._present: RoundRecording | None = None

    def adopt(self, options: JobOptions) -> JobOptions:
        """The options with seed and number of tasks from the journal.

        Raises:
            JournalRefused: somebody said others.
        """
        if self._summary is None:
            return options
        job = self._summary.job
        if options.seed not in (None, job.seed):
            raise self._refused(f"it is of seed {job.seed}, not of {options.seed}")
        if options.tasks is not None and not self._is_count(options.tasks):
            was = job.tasks or "one for each worker"
            raise self._refused(f"it is of --tasks {was}, not of {options.tasks}")
        tasks = TaskCount.parse(job.tasks) if job.tasks else options.tasks
        return dataclasses.replace(options, seed=job.seed, tasks=tasks)

    async def begin(self, bundle: Bundle, spec: JobSpec, tasks: TaskCount | None) -> None:
        """Begins the journal, or sees that it is of this very job.

        Raises:
            JournalRefused: it is of another.
            JournalFailed: it cannot be written.
        """
        job = JobRecord(
            FORMAT_VERSION,
            bundle.main,
            bundle.digest,
            spec.engine,
            spec.seed,
            str(tasks or ""),
            spec.arg[1:],
            spec.named_arg,
            time.time(),
        )
        if self._summary is None:
            await self._journal.create(job)
        else:
            self._check(self._summary.job, job)

    def story(self) -> str:
        """A sentence on how far the job was when this run began; empty where this is its first."""
        if self._summary is None or not self._summary.rounds:
            return ""
        last = self._summary.rounds[-1]
        done = f"{last.done} of {last.count} tasks"
        if last.number:
            plural = "" if last.number == 1 else "s"
            done = f"{last.number} round{plural}, and {done} of the next,"
        return f"{self._journal.path}: {done} are done"

    def round(self, number: int) -> RoundSummary | None:
        """What the journal held of a round when this run began."""
        rounds = self._summary.rounds if self._summary else []
        return rounds[number] if number < len(rounds) else None

    def begin_round(self, number: int, count: int, shared: Sequence[Buffer]) -> RoundRecording:
        """A round begins, with what all its tasks share, if anything.

        Raises:
            JournalRefused: they share something else than before.
        """
        digest = payload_digest(shared) if shared else b""
        recorded = self.round(number)
        if recorded is None:
            if self._present is not None:
                self._present.settle()
            self._journal.begin_round(number, count, digest)
        elif recorded.shared != digest:
            raise JournalRefused(
                f"generate_shared_data gives other data in round {number} than when the journal "
                f"was written: {_INPUT}",
                str(self._journal.path),
            )
        self._present = RoundRecording(self._journal, recorded, count)
        return self._present

    def end(self, rounds_count: int) -> None:
        """The job has had so many rounds, and has no more.

        Raises:
            JournalRefused: it had more before.
        """
        if self.round(rounds_count) is not None:
            raise JournalRefused(
                f"next_round ends the job after round {rounds_count - 1}, but the journal has "
                f"more: {_INPUT}",
                str(self._journal.path),
            )

    def _is_count(self, tasks: TaskCount) -> bool:
        assert self._summary is not None
        if str(tasks) == self._summary.job.tasks:
            return True
        first = self.round(0)
        return first is not None and tasks == TaskCount(first.count)

    def _check(self, was: JobRecord, present: JobRecord) -> None:
        if was.digest != present.digest:
            if was.script != present.script:
                raise self._refused(f"it is of {was.script}, not of {present.script}")
            raise self._refused(f"{was.script}, or a module of it, has been changed since")
        for what, before, now in (
            ("Lua", was.engine, present.engine),
            ("the arguments", was.words or "(none)", present.words or "(none)"),
        ):
            if before != now:
                raise self._refused(f"it is of {what} {before}, not of {now}")

    def _refused(self, reason: str) -> JournalRefused:
        return JournalRefused(f"{reason}: {_ADVICE}", str(self._journal.path))


class RoundRecording:
    """One round's use of the journal.

    Args:
        journal: where to write.
        recorded: what it held of this round when the run began, if anything.
        count: how many tasks the round has.
    """

    def __init__(self, journal: Journal, recorded: RoundSummary | None, count: int) -> None:
        self._journal = journal
        self._recorded = recorded
        self._unrecorded_count = count - self.done
        self._digests: dict[int, bytes] = {}
        """Of tasks that run."""
        self._unsettled: list[tuple[ResultsRecord, list[Buffer]]] = []
        """Errors that the next run may mend, if no other round begins."""

    @property
    def done(self) -> int:
        """How many results the journal held."""
        return self._recorded.done if self._recorded else 0

    async def replay(self, arrive: Callable[[list[RecordedResults]], Awaitable[None]]) -> None:
        """Hands on what is recorded, in the order of its arrival, some megabytes at a time.

        Raises:
            JournalFailed: it is not as it was written.
        """
        sequences = self._recorded.sequences if self._recorded else range(0)
        while sequences:
            batch, sequences = await self._journal.read(sequences)
            await arrive(batch)

    def is_done(self, outcome: Outcome, payload: Sequence[Buffer]) -> bool:
        """Whether the result of a task is recorded, which generate_data gave this.

        Raises:
            JournalRefused: it gave something else then.
        """
        recorded = self._recorded.digest(outcome.index) if self._recorded else None
        is_fine = outcome.status is Status.OK
        digest = payload_digest(payload) if is_fine else b""
        if recorded is None:
            if is_fine:
                if self._recorded is not None and self._recorded.is_over:
                    raise self._refused(outcome.index)
                self._digests[outcome.index] = digest
            else:
                self._unrecorded_count -= 1
            return False
        if recorded != digest:
            raise self._refused(outcome.index)
        return True

    def write(
        self,
        results: TaskResults,
        buffers: Sequence[Buffer],
        written: Callable[[], None],
        *,
        with_failures: bool,
    ) -> None:
        """Records what may be recorded of results that arrived, then calls ``written``.

        Also where nothing of them is recorded, after all that came before.
        """
        final: list[_Result] = []
        for outcome, payload in payloads(results.outcomes, buffers):
            result = _Result(outcome, payload, self._digests.pop(outcome.index))
            if outcome.status is Status.OK or (with_failures and _is_repeatable(payload)):
                final.append(result)
            elif with_failures:
                kept = result._replace(payload=[bytes(buffer) for buffer in payload])
                self._unsettled.append(_record(results.worker, [kept]))
        self._unrecorded_count -= len(results.outcomes)
        record, kept_buffers = _record(results.worker, final)
        self._journal.record(
            record if final else None,
            kept_buffers,
            written,
            is_urgent=not self._unrecorded_count,
        )

    def settle(self) -> None:
        """Another round begins: what it saw of this one stays as it is."""
        for record, buffers in self._unsettled:
            self._journal.record(record, buffers, _nobody_waits, is_urgent=False)

    def _refused(self, index: int) -> JournalRefused:
        return JournalRefused(
            f"generate_data gives task {index} other data than when the journal was written: "
            f"{_INPUT}",
            str(self._journal.path),
        )


class _Result(NamedTuple):
    """Of one task, with the digest of what it was given."""

    outcome: Outcome
    payload: Sequence[Buffer]
    digest: bytes


def _record(worker: str, results: Sequence[_Result]) -> tuple[ResultsRecord, list[Buffer]]:
    outcomes = [result.outcome for result in results]
    digests = b"".join(result.digest for result in results)
    buffers = [buffer for result in results for buffer in result.payload]
    sizes = [size_bytes([buffer]) for buffer in buffers]
    return ResultsRecord(worker, outcomes, digests, sizes, time.time()), buffers


def _nobody_waits() -> None:
    """What follows is written after it."""


def _is_repeatable(payload: Sequence[Buffer]) -> bool:
    return Failure.from_payload(bytes(payload[0])).kind in REPEATABLE_FAILURES
