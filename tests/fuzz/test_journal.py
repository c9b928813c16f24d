"""Hostile journals: what they say is true, or they are refused; nobody sees a traceback."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import unicodedata
from pathlib import Path

import pytest

from midas_mp.cli.commands import run_command
from midas_mp.errors import JournalFailed, JournalRefused
from midas_mp.journal.file import JournalFile
from midas_mp.journal.records import (
    FORMAT_VERSION,
    JobRecord,
    PartRecord,
    ResultsRecord,
    RoundRecord,
    journal_key,
)
from midas_mp.testing.disk import NAME
from midas_mp.testing.journal_faults import judge, make_specimen
from midas_mp.testing.mutation import FLOATS, INTERESTING, TEXTS, noise, tamper
from midas_mp.wire.messages import Outcome, Status

MEMORY = Path("/dev/shm")
SPECIMENS = 12
PAGE_BYTES = 4_096

END_INSIDE_A_COMMIT = "it holds a part of a commit"
"""A page that says it has fewer rows than it has loses the last ones, of which each stands for
itself: what they said is computed again.  Without such damage SQLite loses whole commits only."""


@pytest.fixture(scope="module")
def folder():
    """In memory where there is room for it: a disk would be waited for hundreds of times."""
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="midas-fuzz-", dir=where) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def specimens(folder):
    return [make_specimen(folder / str(seed), seed) for seed in range(SPECIMENS)]


def spoil_pages(rng, content):
    """Heads of pages and cells are where SQLite believes what it reads."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        start = rng.randrange(0, max(1, len(content)), PAGE_BYTES)
        size = rng.choice((16, 100, 100, PAGE_BYTES))
        changed = tamper(rng, content[start : start + size])
        content = content[:start] + changed.ljust(size, b"\0")[:size] + content[start + size :]
    return content if rng.happens(0.8) else tamper(rng, content)


def test_journals_with_spoilt_pages_say_the_truth_or_nothing(fuzz, folder, specimens):
    def case(rng):
        specimen = rng.choice(specimens)
        spoilt = folder / "spoilt"
        spoilt.mkdir()
        try:
            for path in specimen.folder.iterdir():
                if path.is_file() and not path.name.endswith("-lock"):
                    shutil.copyfile(path, spoilt / path.name)
            victim = rng.choice(sorted(p for p in spoilt.iterdir() if p.stat().st_size))
            victim.write_bytes(spoil_pages(rng, victim.read_bytes()))
            assert judge(spoilt / NAME, specimen).problem in ("", END_INSIDE_A_COMMIT)
        finally:
            shutil.rmtree(spoilt)

    fuzz.run(case, 250)


# -- by somebody who knows how to seal -----------------------------------------------------------


def count(rng):
    return max(0, rng.choice((0, 1, 2, 3, *INTERESTING)))


def hostile_record(rng):
    match rng.randrange(6):
        case 0 | 1:
            number = rng.choice((0, 0, 1, count(rng)))
            return RoundRecord(number, rng.choice((3, count(rng))), b"", moment(rng))
        case 5:
            return PartRecord()
        case _:
            size = rng.choice((0, 1, 1, 2, 5))
            indices = [rng.choice((0, 1, 2, count(rng))) for _ in range(size)]
            outcomes = [
                Outcome(
                    index, 0, rng.choice(list(Status)), count(rng), rng.choice((0, 1, 1, 2**53))
                )
                for index in indices
            ]
            digests = rng.randbytes(8 * rng.choice((size, size, size, 0, 9)))
            if rng.happens(0.2):
                digests = bytes(len(digests))
            sizes = [rng.choice((0, 1, 5, count(rng))) for _ in range(rng.choice((size, size, 7)))]
            return ResultsRecord(rng.choice(TEXTS), outcomes, digests, sizes, moment(rng))


def moment(rng):
    return rng.choice((1.0, 1e9, 1e9, *FLOATS, -1.0, 1e15))


def hostile_job(rng):
    version = rng.choice((FORMAT_VERSION, FORMAT_VERSION, *INTERESTING))
    texts = [rng.choice(("a.lua", rng.choice(TEXTS))) for _ in range(4)]
    script, digest, engine, tasks = texts
    arg = [rng.choice(TEXTS) for _ in range(rng.choice((0, 2)))]
    seed = rng.choice((0, *INTERESTING))
    return JobRecord(version, script, digest, engine, seed, tasks, arg, {}, moment(rng))


def write_sealed(rng, path):
    """A journal that no run would write, but for its seals."""
    job = hostile_job(rng)
    with JournalFile(path) as file:
        file.create(job)
        file._key = journal_key(job)
        file._database.execute("BEGIN")
        for _ in range(rng.randint(0, 5)):
            record = hostile_record(rng)
            body = [rng.choice((b"", b"x", b"12345", rng.randbytes(9)))]
            with contextlib.suppress(OverflowError):  # no number of msgpack's
                file._insert(record, body)
        file._database.execute("COMMIT")


STATEMENTS = (
    "UPDATE records SET header = 'text' WHERE sequence = {0}",
    "UPDATE records SET body = 'text'",
    "UPDATE records SET header = zeroblob(20000000) WHERE sequence = {0}",
    "UPDATE records SET body = randomblob(17) WHERE sequence = {0}",
    "UPDATE records SET sequence = sequence + {1}",
    "UPDATE records SET sequence = -sequence",
    "DELETE FROM records WHERE sequence = {0}",
    "DELETE FROM records",
    "INSERT INTO records VALUES ({1}, 1.5, 2)",
    "INSERT INTO records SELECT sequence + 100, header, body FROM records",
    "DROP TABLE records",
    "ALTER TABLE records ADD COLUMN more TEXT",
    "ALTER TABLE records RENAME TO others; CREATE VIEW records AS SELECT * FROM others",
    "CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END",
    "CREATE INDEX i ON records(body)",
    "CREATE TABLE more (x); INSERT INTO more VALUES (1); DROP TABLE more",
    "PRAGMA user_version = {1}",
    "PRAGMA application_id = 7",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA encoding = 'UTF-16'; VACUUM",
    "PRAGMA page_size = 512; VACUUM",
    "PRAGMA auto_vacuum = 1; VACUUM",
    "PRAGMA writable_schema = 1; UPDATE sqlite_master SET rootpage = {0}",
    "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = 'CREATE TABLE records (a, b, c)'",
    "PRAGMA writable_schema = 1; INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 1, 'hm')",
)


def change_rows(rng, path):
    said = rng.choice(STATEMENTS).format(rng.randint(1, 4), rng.choice(INTERESTING))
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database,
        contextlib.suppress(sqlite3.Error),  # SQLite knows better
    ):
        database.executescript(said)


def check_sums(file):
    """Whatever it says fits together: a run that goes on relies on it."""
    for round_ in file.summary.rounds if file.summary else ():
        seen = set()
        sequences = round_.sequences
        while sequences:
            found, sequences = file.read(sequences)
            for record, buffers in found:
                assert [len(buffer) for buffer in buffers] == record.sizes
                assert sum(outcome.buffer_count for outcome in record.outcomes) == len(buffers)
                indices = [outcome.index for outcome in record.outcomes]
                assert seen.isdisjoint(indices)
                seen.update(indices)
        assert len(seen) == round_.done <= round_.count
        assert all(round_.digest(index) for index in seen)


def test_journals_that_were_written_on_purpose_are_sound_or_refused(fuzz, folder, capsys):
    path = folder / "on-purpose.journal"

    def case(rng):
        write_sealed(rng, path)
        try:
            if rng.happens(0.5):
                change_rows(rng, path)
            if rng.happens(0.1):
                path.write_bytes(noise(rng))
            with contextlib.suppress(JournalFailed, JournalRefused), JournalFile(path) as file:
                check_sums(file)
            for options in ([], ["--json"]):
                assert run_command(["journal", "show", str(path), *options]) in (0, 2, 4)
            shown = capsys.readouterr()
            for line in (*shown.out.split("\n"), *shown.err.split("\n")):
                assert not any(unicodedata.category(each) == "Cc" for each in line)
                assert "all is well" not in line[:20]
        finally:
            for each in path.parent.glob(path.name + "*"):
                each.unlink()

    fuzz.run(case, 250)
