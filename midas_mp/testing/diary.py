"""The journal of one simulated job, through all the lives of its client.

What a client was told is safe must be there in its next life, whatever was cut off in the middle of
a write; and what is there must be what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from midas_mp.driver.recording import Recording, RoundRecording
from midas_mp.errors import JournalFailed, JournalRefused
from midas_mp.journal.file import JournalFile, RecordedResults
from midas_mp.journal.journal import Journal
from midas_mp.testing import orders as tasks
from midas_mp.testing.chance import Chance
from midas_mp.testing.disk import SimulatedDisk
from midas_mp.wire.framing import Buffer, payloads
from midas_mp.wire.messages import JobSpec, Outcome, Status, TaskResults

Found = list[tuple[Outcome, Sequence[Buffer]]]

_JOURNAL_ERRORS: Final = (JournalFailed, JournalRefused)


class Diary:
    """Opened in each life, by the same job.

    Args:
        folder: of its own; it is made.
        rng: of what its disk is like.
        object_to: takes a sentence about what must never happen.
    """

    def __init__(self, folder: Path, rng: Chance, object_to: Callable[[str], None]) -> None:
        folder.mkdir()
        self._folder = folder
        self._object_to = object_to
        self._lives = 0
        self._disk = SimulatedDisk(folder / "0", rng)
        self._journal: Journal | None = None
        self._recording: Recording
        self._round: RoundRecording
        self._safe: set[tuple[int, int]] = set()
        """Rounds and indices of results of which the journal has said so."""

    async def open(self, spec: JobSpec) -> None:
        """A life begins."""
        try:
            journal = self._journal = await Journal.open(self._disk.path, self._disk)
            self._recording = Recording(journal)
            await self._recording.begin(tasks.bundle(0), spec, None)
        except _JOURNAL_ERRORS as error:
            self._object_to(f"a journal cannot be gone on with: {error}")

    async def begin_round(self, number: int, count: int, shared: Sequence[Buffer]) -> Found:
        """Returns what is recorded of it."""
        found: Found = []

        async def arrive(batch: list[RecordedResults]) -> None:
            for record, buffers in batch:
                found.extend(payloads(record.outcomes, buffers))

        try:
            self._round = self._recording.begin_round(number, count, shared)
            await self._round.replay(arrive)
        except _JOURNAL_ERRORS as error:
            self._object_to(f"a journal cannot be read: {error}")
        present = {(number, outcome.index) for outcome, _ in found}
        missing = {name for name in self._safe if name[0] == number} - present
        if missing:
            self._object_to(f"a journal has lost results that were safe: {sorted(missing)}")
        return found

    def is_done(self, orders: tasks.Orders) -> bool:
        """Whether the task need not run."""
        outcome = Outcome(orders.index, 0, Status.OK, 0)
        try:
            return self._round.is_done(outcome, [tasks.encode(orders)])
        except _JOURNAL_ERRORS as error:
            self._object_to(f"a journal is of something else: {error}")
            return False

    def write(
        self, results: TaskResults, buffers: Sequence[Buffer], written: Callable[[], None]
    ) -> None:
        """Records results of the round, and says when they are safe."""
        told = partial(self._tell, results, written)
        self._round.write(results, buffers, told, with_failures=True)

    def crash(self) -> None:
        """A life ends, in the middle of whatever it was at."""
        self._lives += 1
        self._journal = None
        self._disk = self._disk.crash(self._folder / str(self._lives))

    async def close(self) -> None:
        """The last life ends; nothing happens if none has begun, or it is over."""
        journal, self._journal = self._journal, None
        if journal is None:
            return
        await journal.close()
        with JournalFile(self._disk.path, read_only=True) as file:
            rounds = file.summary.rounds if file.summary is not None else []
            lost = {
                (number, index)
                for number, index in self._safe
                if number >= len(rounds) or rounds[number].digest(index) is None
            }
        if lost:
            self._object_to(f"a journal has lost results in the end: {sorted(lost)}")

    def _tell(self, results: TaskResults, written: Callable[[], None]) -> None:
        self._safe |= {
            (results.round, outcome.index)
            for outcome in results.outcomes
            if outcome.status is Status.OK
        }
        written()
