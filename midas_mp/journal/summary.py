"""What the records of a journal come to: how far the job is, and what must not be run again."""

from __future__ import annotations

from typing import Final

from midas_mp.errors import JournalFailed
from midas_mp.journal.records import (
    DIGEST_BYTES,
    JobRecord,
    PartRecord,
    Record,
    ResultsRecord,
    RoundRecord,
)
from midas_mp.wire.messages import Outcome, Status

BODY_BYTES_MAX: Final = 8 * 2**20
"""Of one row; more is cut into rows of this size, so that no copy of it is larger.  A number of the
file format: it says how many rows a record has."""


_BLOCK_TASKS: Final = 64


def row_count(record: ResultsRecord) -> int:
    return max(1, -(-sum(record.sizes) // BODY_BYTES_MAX))


class RoundSummary:
    """What is recorded of one round.

    Attributes:
        sequences: of its results in the journal.
        failed: how many of the results are errors.
        is_followed: whether another round has begun after it.
    """

    def __init__(self, record: RoundRecord, sequence: int) -> None:
        self.number = record.round
        self.count = record.count
        self.shared = record.shared
        self.began_s = record.recorded_s
        self.sequences = range(sequence + 1, sequence + 1)
        self.done = 0
        self.failed = 0
        self.is_followed = False
        self._digests: dict[int, bytearray] = {}
        """Of tasks next to each other; only where there are any, whatever indices a record says."""

    @property
    def is_over(self) -> bool:
        """Nothing more comes to it: its tasks are done, but for those that generate_data failed
        at.
        """
        return self.is_followed or self.done == self.count

    def digest(self, index: int) -> bytes | None:
        """Of what the task was given; None where its result is not recorded."""
        block = self._digests.get(index // _BLOCK_TASKS)
        if block is None:
            return None
        start = index % _BLOCK_TASKS * DIGEST_BYTES
        found = bytes(block[start : start + DIGEST_BYTES])
        return found if any(found) else None

    def add(self, record: ResultsRecord) -> None:
        """Raises JournalFailed: no run of Midas writes such a thing."""
        if len(record.digests) != DIGEST_BYTES * len(record.outcomes):
            raise JournalFailed("damaged: digests are missing")
        if sum(outcome.buffer_count for outcome in record.outcomes) != len(record.sizes):
            raise JournalFailed("damaged: buffers are missing")
        for position, outcome in enumerate(record.outcomes):
            start = position * DIGEST_BYTES
            self._add(outcome, record.digests[start : start + DIGEST_BYTES])
        self.done += len(record.outcomes)

    def _add(self, outcome: Outcome, digest: bytes) -> None:
        index = outcome.index
        if index >= self.count or self.digest(index) or not any(digest):
            raise JournalFailed(f"damaged: task {index} is out of place")
        number, place = divmod(index, _BLOCK_TASKS)
        block = self._digests.get(number)
        if block is None:
            block = self._digests[number] = bytearray(_BLOCK_TASKS * DIGEST_BYTES)
        block[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES] = digest
        self.failed += outcome.status is not Status.OK


class JournalSummary:
    """All that a journal holds but the results themselves.

    Attributes:
        rounds: by their number.
        last_s: when the last record was written, in seconds since 1970.
    """

    def __init__(self, job: JobRecord) -> None:
        self.job = job
        self.rounds: list[RoundSummary] = []
        self.last_s = job.recorded_s
        self._parts_missing = 0

    def add(self, sequence: int, record: Record) -> None:
        """The next record.

        Raises:
            JournalFailed: it cannot stand there.
        """
        if isinstance(record, PartRecord) is not bool(self._parts_missing):
            raise JournalFailed(f"damaged: record {sequence} is out of place")
        match record:
            case PartRecord():
                self._parts_missing -= 1
            case RoundRecord(round=number) if number == len(self.rounds):
                if self.rounds:
                    self.rounds[-1].is_followed = True
                self.rounds.append(RoundSummary(record, sequence))
                self.last_s = record.recorded_s
            case ResultsRecord() if self.rounds:
                self.rounds[-1].add(record)
                self._parts_missing = row_count(record) - 1
                self.last_s = record.recorded_s
            case _:
                raise JournalFailed(f"damaged: record {sequence} is out of place")
        present = self.rounds[-1]
        present.sequences = range(present.sequences.start, sequence + 1)

    def end(self) -> None:
        """There are no more.

        Raises:
            JournalFailed: there must be.
        """
        if self._parts_missing:
            raise JournalFailed("damaged: its last record is not whole")
