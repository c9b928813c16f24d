"""A journal as a file: an SQLite database with one table, to which records are added.

A run of Midas writes it, alone (``lock``); others may read it meanwhile.  What ``append`` returned
from is on the disk (write-ahead log, ``synchronous=FULL``): it outlives a SIGKILL and a power cut.
Nothing here knows the event loop; one thread at a time may use a file.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from midas_mp import limits
from midas_mp.errors import JournalFailed, JournalRefused
from midas_mp.journal.lock import JournalLock
from midas_mp.journal.records import (
    FORMAT_VERSION,
    JobRecord,
    PartRecord,
    Record,
    ResultsRecord,
    body_seal,
    damaged,
    journal_key,
    seal,
    unseal,
)
from midas_mp.journal.summary import BODY_BYTES_MAX, JournalSummary, row_count
from midas_mp.wire.framing import Buffer, size_bytes

APPLICATION_ID: Final = 0x4D696A6C
"""How SQLite and ``file`` know a journal of Midas: "Mijl"."""

READ_BYTES_TARGET: Final = 8 * limits.MB
"""Of results that are read at a time."""

READ_RECORDS_MAX: Final = 256

BUSY_TIMEOUT_S: Final = 5.0
"""For somebody who reads it, and is done in a moment."""

_KEY_OF_JOB: Final = b"midas"
"""Seals the first record, which makes the key for the others."""

_TABLE: Final = (
    "CREATE TABLE records (sequence INTEGER PRIMARY KEY, header BLOB NOT NULL, body BLOB NOT NULL)"
)
_SCHEMA: Final = [(b"table", b"records", b"records", _TABLE.encode())]

_NOT_OURS: Final = "it is not a journal of Midas"

_REASONS: Final = {
    sqlite3.SQLITE_BUSY: "another process has it locked",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_FULL: "there is no room left on its disk; make some, then go on",
    sqlite3.SQLITE_READONLY: "it cannot be written",
    sqlite3.SQLITE_TOOBIG: "damaged",
}
"""In place of SQLite's own words, by primary error code."""


class RecordedResults(NamedTuple):
    """One record of results with its buffers."""

    record: ResultsRecord
    buffers: list[Buffer]


class JournalFile:
    """An open journal.  Every method raises JournalFailed when the file lets it down; then it can
    only be closed, and what had been appended is in it.

    Attributes:
        summary: what was in it when it was opened; None if nothing was.

    Raises:
        JournalRefused: it is something else, which stays as it is.
        JournalFailed: it is damaged, another run writes it, or it cannot be read or written.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.summary: JournalSummary | None = None
        self._key = b""
        self._last = 0
        with _told(path), contextlib.ExitStack() as opened:
            place = path.resolve()
            _check_place(place)
            if not read_only:
                opened.callback(JournalLock(place).release)
                if not place.exists():
                    opened.callback(_take_back, place)
            self._database = opened.enter_context(contextlib.closing(_connect(place, read_only)))
            if self._is_begun(place):
                self._check_kind()
                if not read_only:
                    self._make_durable()
                self._read_summary()
            self._opened = opened.pop_all()
        self._is_read_only = read_only

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves one file; none where it was to be a new one and was never begun.  Idempotent."""
        with self._opened:
            if not self._is_read_only and self._key:
                # so that it can be read where nothing can be written beside it
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("PRAGMA journal_mode = DELETE")
                self._is_read_only = True

    def create(self, job: JobRecord) -> None:
        """Writes the first record of a file that is empty."""
        with _told(self.path):
            self._database.execute("BEGIN EXCLUSIVE")
            self._database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            self._database.execute(_TABLE)
            self._key = _KEY_OF_JOB
            self._insert(job)
            self._database.execute("COMMIT")
            # only now: with the log not even begun, an empty file is an empty journal
            self._make_durable()
        self._key = journal_key(job)
        self.summary = JournalSummary(job)

    def append(self, records: Sequence[tuple[Record, Sequence[Buffer]]]) -> None:
        """Adds records at the end, all or none of them; they are safe when this returns."""
        with _told(self.path):
            self._database.execute("BEGIN IMMEDIATE")
            for record, buffers in records:
                self._insert(record, buffers)
            self._database.execute("COMMIT")

    def read(self, sequences: range) -> tuple[list[RecordedResults], range]:
        """The first results of these, some megabytes of them, and the sequences of the rest."""
        found: list[RecordedResults] = []
        total = 0
        with _told(self.path), contextlib.closing(self._select("header, body", sequences)) as rows:
            while sequences and total < READ_BYTES_TARGET and len(found) < READ_RECORDS_MAX:
                results = self._read_results(rows, sequences.start)
                found.append(results)
                total += sum(results.record.sizes)
                sequences = sequences[row_count(results.record) :]
        return found, sequences

    def verify(self) -> None:
        """Reads all results, as a run that goes on would."""
        for round_ in self.summary.rounds if self.summary else ():
            sequences = round_.sequences
            while sequences:
                _, sequences = self.read(sequences)

    # -- opening -----------------------------------------------------------------------------------

    def _is_begun(self, place: Path) -> bool:
        """Not so where its making was broken off, which SQLite takes back now."""
        try:
            if self._pragma("page_count"):
                return True
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
                raise
        if place.stat().st_size:  # a few bytes are nothing to SQLite, but somebody's all the same
            raise JournalRefused(_NOT_OURS)
        return False

    def _check_kind(self) -> None:
        if self._pragma("application_id") != APPLICATION_ID:
            raise JournalRefused(_NOT_OURS)
        version = self._pragma("user_version")
        if version != FORMAT_VERSION:
            raise JournalRefused(f"it has the format {version}, this Midas knows {FORMAT_VERSION}")
        schema = self._database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
        # rows are never deleted, so no page is ever free: one that is said to be free may be in use
        if schema.fetchall() != _SCHEMA or self._pragma("freelist_count") != 0:
            raise JournalFailed("damaged: it has another structure than it was given")

    def _make_durable(self) -> None:
        self._database.execute("PRAGMA synchronous = FULL")
        if self._pragma("journal_mode = WAL") != b"wal":
            raise JournalFailed("SQLite cannot keep a write-ahead log there")

    def _read_summary(self) -> None:
        with contextlib.closing(self._select("header", range(1, 2**62))) as rows:
            self._key = _KEY_OF_JOB
            for sequence, header in rows:
                if sequence != self._last + 1:
                    raise damaged(self._last + 1)
                record, _ = unseal(self._key, sequence, header)
                self._last = sequence
                if self.summary is not None:
                    self.summary.add(sequence, record)
                elif isinstance(record, JobRecord):
                    self.summary = JournalSummary(record)
                    self._key = journal_key(record)
                else:
                    break
        if self.summary is None:
            raise JournalFailed("damaged: it does not say which job it is of")
        self.summary.end()

    # -- rows --------------------------------------------------------------------------------------

    def _pragma(self, name: str) -> Any:
        return self._database.execute(f"PRAGMA {name}").fetchone()[0]

    def _select(self, columns: str, sequences: range) -> sqlite3.Cursor:
        return self._database.execute(
            f"SELECT sequence, {columns} FROM records "  # noqa: S608 - names of ours
            "WHERE sequence >= ? AND sequence < ? ORDER BY sequence",
            (sequences.start, sequences.stop),
        )

    def _read_results(self, rows: sqlite3.Cursor, first: int) -> RecordedResults:
        record, body = self._read_row(rows, first)
        assert isinstance(record, ResultsRecord)
        rest = range(first + 1, first + row_count(record))
        bodies = [body, *(self._read_row(rows, sequence)[1] for sequence in rest)]
        if sum(map(len, bodies)) != sum(record.sizes):
            raise damaged(first)
        return RecordedResults(record, _cut(bodies, record.sizes))

    def _read_row(self, rows: sqlite3.Cursor, sequence: int) -> tuple[Record, bytes]:
        found, header, body = rows.fetchone() or (0, None, None)
        if found != sequence:
            raise damaged(sequence)
        record, wanted = unseal(self._key, sequence, header)
        if not isinstance(body, bytes) or body_seal(self._key, [body]) != wanted:
            raise damaged(sequence)
        return record, body

    def _insert(self, record: Record, buffers: Sequence[Buffer] = ()) -> None:
        for part, body in _parts(record, buffers):
            self._last += 1
            header = seal(self._key, self._last, part, [body])
            self._database.execute(
                "INSERT INTO records VALUES (?, ?, ?)", (self._last, header, body)
            )


def _check_place(path: Path) -> None:
    if not path.parent.is_dir():
        raise JournalRefused(f"there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise JournalRefused(_NOT_OURS)


def _take_back(path: Path) -> None:
    """Leaves nothing of a new journal that was never begun."""
    if path.exists() and not path.stat().st_size:
        path.unlink()


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:  # noqa: FBT001 - told by name above
    database = sqlite3.connect(
        # also who only reads must be able to take back what a killed run left half done
        f"{path.as_uri()}?mode={'rw' if read_only else 'rwc'}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    database.text_factory = bytes
    # what a damaged file may make SQLite do
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * BODY_BYTES_MAX)
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute(f"PRAGMA query_only = {read_only:d}")
    database.execute("PRAGMA cell_size_check = ON")
    return database


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors say which journal, and what is wrong with it in a person's words."""
    try:
        yield
    except (JournalFailed, JournalRefused) as error:
        error.path = str(path)
        raise
    except sqlite3.Error as error:
        # an integrity error is two rows in one place: what SQLite read is not what was written
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        raise JournalFailed(_REASONS.get(code, str(error)), str(path)) from None
    except UnicodeDecodeError:  # SQLite quotes what it does not understand, and it is no text
        raise JournalFailed(_REASONS[sqlite3.SQLITE_CORRUPT], str(path)) from None
    except OSError as error:
        raise JournalFailed(error.strerror or str(error), str(path)) from None


def _parts(record: Record, buffers: Sequence[Buffer]) -> Iterator[tuple[Record, bytes]]:
    """The rows that a record takes: itself with the first of its bytes, then the rest of them."""
    if size_bytes(buffers) <= BODY_BYTES_MAX:
        yield record, b"".join(buffers)
        return
    piece = bytearray()
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        while view:
            room = BODY_BYTES_MAX - len(piece)
            piece += view[:room]
            view = view[room:]
            if len(piece) == BODY_BYTES_MAX:
                yield record, bytes(piece)
                record = PartRecord()
                piece.clear()
    if piece:
        yield record, bytes(piece)


def _cut(bodies: list[bytes], sizes: Iterable[int]) -> list[Buffer]:
    """The buffers that were written one after the other."""
    joined = bodies[0] if len(bodies) == 1 else b"".join(bodies)
    ends = list(itertools.accumulate(sizes))
    return [joined[start:end] for start, end in itertools.pairwise([0, *ends])]
