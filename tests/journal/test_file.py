"""Journals as files: written, read, refused, damaged, full."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys

import msgspec
import pytest

from midas_mp.errors import JournalFailed, JournalRefused
from midas_mp.journal import file as module
from midas_mp.journal.file import JournalFile
from midas_mp.journal.records import PartRecord, seal
from midas_mp.journal.summary import BODY_BYTES_MAX


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.journal"


@pytest.fixture
def write(path, job):
    """Makes a journal with these records, each a commit, and closes it."""

    def write(*records):
        with JournalFile(path) as file:
            file.create(job)
            for record in records:
                file.append([record])
        return path

    return write


def read_all(file):
    found = []
    for round_ in file.summary.rounds:
        sequences = round_.sequences
        while sequences:
            batch, sequences = file.read(sequences)
            found += batch
    return found


def edit(path, statement, *values):
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute(statement, values)
    database.close()


# -- what was written is there -------------------------------------------------------------------


def test_what_was_written_is_read_in_the_same_order(path, write, job, begin, results):
    written = [results({3: b"three", 1: b""}), results({0: b"zero"})]
    write(begin(0, 10), *written)
    with JournalFile(path) as file:
        assert file.summary.job == job
        assert [tuple(each) for each in read_all(file)] == written
        file.append([results({2: b"two"}), results({4: b"four"})])
    with JournalFile(path, read_only=True) as file:
        (only,) = file.summary.rounds
        assert [i for i in range(10) if only.digest(i)] == [0, 1, 2, 3, 4]
        file.verify()
    assert [each.name for each in path.parent.iterdir()] == ["run.journal"], "one file after exit"


def test_a_new_journal_holds_nothing_and_leaves_nothing(path):
    with JournalFile(path) as file:
        assert file.summary is None
        file.verify()
    assert list(path.parent.iterdir()) == []
    with JournalFile(path):
        path.unlink()
    path.touch()
    with JournalFile(path) as file:
        assert file.summary is None
    assert path.exists(), "it was there before"


def test_what_was_appended_outlives_its_writer(path, job, begin, results, tmp_path):
    """Files as a SIGKILL leaves them, after each commit."""
    with JournalFile(path) as file:
        file.create(job)
        file.append([begin(0, 10)])
        for index in range(10):
            file.append([results({index: b"x" * 50})])
            left = tmp_path / f"left-{index}"
            left.mkdir()
            for each in tmp_path.glob("run.journal*"):
                shutil.copyfile(each, left / each.name)
    for index in range(10):
        with JournalFile(tmp_path / f"left-{index}" / path.name) as file:
            assert file.summary.rounds[0].done == index + 1


def test_others_may_read_while_it_is_written(path, job, begin, results):
    with JournalFile(path) as file:
        file.create(job)
        file.append([begin(0, 2), results({0: b"x"})])
        with JournalFile(path, read_only=True) as reader:
            assert reader.summary.rounds[0].done == 1
            file.append([results({1: b"y"})])
        with JournalFile(path, read_only=True) as reader:
            assert reader.summary.rounds[0].is_over


def test_large_results_are_written_in_rows_and_read_whole(path, write, begin, results):
    large = random.Random(1).randbytes(BODY_BYTES_MAX)
    array = memoryview(bytearray(large)).cast("d")
    written = results({0: array, 1: b"", 2: large[:70], 3: b"z" * BODY_BYTES_MAX})
    even = results({5: large, 6: large})
    write(begin(0, 9), written, results({4: b"next"}), even)
    with JournalFile(path) as file:
        (record, buffers), following, last = read_all(file)
        assert last == even
        assert record == written[0]
        assert buffers == [large, b"", large[:70], b"z" * BODY_BYTES_MAX]
        assert following.buffers == [b"next"]


def test_results_are_read_a_few_at_a_time(path, write, begin, results, monkeypatch):
    write(begin(0, 9), *[results({index: b"12345"}) for index in range(9)])
    for name, value in (("READ_BYTES_TARGET", 10), ("READ_RECORDS_MAX", 2)):
        with monkeypatch.context() as context, JournalFile(path) as file:
            context.setattr(module, name, value)
            sequences = file.summary.rounds[0].sequences
            batch, rest = file.read(sequences)
            assert (len(batch), rest) == (2, sequences[2:])


def test_a_link_is_the_file_that_it_leads_to(path, write, tmp_path):
    write()
    (tmp_path / "link").symlink_to(path)
    with (
        JournalFile(path),
        pytest.raises(JournalFailed, match="link: another run of Midas writes it"),
    ):
        JournalFile(tmp_path / "link")


# -- what is something else ----------------------------------------------------------------------


def test_other_files_are_refused_and_stay_as_they_are(path, tmp_path):
    other = tmp_path / "other"
    edit(other, "CREATE TABLE notes (text)")
    contents = [
        b"x",
        b"#!/bin/sh\n" * 30,
        b"print('hello')\n" * 500,
        os.urandom(5_000),
        other.read_bytes(),
    ]
    for content in contents:
        path.write_bytes(content)
        for read_only in (False, True):
            with pytest.raises(JournalRefused, match="is not a journal of Midas"):
                JournalFile(path, read_only=read_only)
        assert path.read_bytes() == content
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "run.journal"]


def test_what_is_no_file_is_refused(path, tmp_path):
    os.mkfifo(path)
    for place in (path, tmp_path):
        with pytest.raises(JournalRefused, match="is not a journal of Midas"):
            JournalFile(place)
    with pytest.raises(JournalRefused, match="there is no folder"):
        JournalFile(tmp_path / "none" / "j")


def test_another_format_is_said(path, write):
    edit(write(), "PRAGMA user_version = 2")
    with pytest.raises(JournalRefused, match="it has the format 2, this Midas knows 1"):
        JournalFile(path)


def test_an_empty_file_is_an_empty_journal(path, job):
    path.touch()
    with JournalFile(path) as file:
        assert file.summary is None
        file.create(job)
    with JournalFile(path) as file:
        assert file.summary.job == job


# -- what is damaged -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("DELETE FROM records WHERE sequence = 3", ()),
        ("DELETE FROM records WHERE sequence = 1", ()),
        ("DELETE FROM records", ()),
        ("UPDATE records SET sequence = 99 WHERE sequence = 5", ()),
        ("UPDATE records SET header = ? WHERE sequence = 4", (b"x" * 40,)),
        ("UPDATE records SET header = 'text' WHERE sequence = 4", ()),
        ("UPDATE records SET header = (SELECT header FROM records WHERE sequence = 3)", ()),
        ("CREATE INDEX more ON records (header)", ()),
        ("CREATE TABLE more (x)", ()),
        ("ALTER TABLE records ADD COLUMN more", ()),
    ],
)
def test_what_others_changed_is_noticed_when_it_is_opened(
    path, write, begin, results, *, statement, values
):
    edit(write(begin(0, 9), *[results({i: b"x"}) for i in range(3)]), statement, *values)
    for read_only in (False, True):
        with pytest.raises(JournalFailed, match="damaged"):
            JournalFile(path, read_only=read_only)


@pytest.mark.parametrize(
    ("found", "damage"),
    [(b"CREATE TABLE", b"CREATE T\xffBLE"), (b"tablerecords", b"table\xffecords")],
)
def test_a_structure_that_is_no_text_is_damage_too(path, write, begin, found, damage):
    """SQLite quotes it in what it says of it."""
    content = write(begin(0, 9)).read_bytes()
    assert found in content
    path.write_bytes(content.replace(found, damage))
    for read_only in (False, True):
        with pytest.raises(JournalFailed, match="damaged"):
            JournalFile(path, read_only=read_only)


@pytest.mark.parametrize("body", ["'text'", "x'00'", "x'7979'"])
def test_changed_results_are_noticed_when_they_are_read(path, write, begin, results, body):
    edit(
        write(begin(0, 9), results({0: b"x"}), results({1: b"y"})),
        f"UPDATE records SET body = {body} WHERE sequence = 4",
    )
    with JournalFile(path) as file, pytest.raises(JournalFailed, match="record 4 is not as it was"):
        file.verify()


def test_buffers_that_are_not_as_long_as_they_are_said_to_be_are_noticed(
    path, write, begin, results
):
    record, buffers = results({0: b"xx"})
    for size in (1, 3):
        write(begin(0, 1), (msgspec.structs.replace(record, sizes=[size]), buffers))
        with JournalFile(path) as file, pytest.raises(JournalFailed, match="record 3 is not"):
            file.verify()
        path.unlink()


def test_rows_that_go_while_it_is_read_are_noticed(path, write, begin, results):
    write(begin(0, 9), results({0: b"x"}), results({1: b"y"}))
    with JournalFile(path) as file:
        edit(path, "DELETE FROM records WHERE sequence = 4")
        with pytest.raises(JournalFailed, match="record 4"):
            file.verify()


def test_a_first_record_of_another_kind_is_damage(path, write):
    header = seal(module._KEY_OF_JOB, 1, PartRecord(), [b""])
    edit(write(), "UPDATE records SET header = ?", header)
    with pytest.raises(JournalFailed, match="does not say which job"):
        JournalFile(path)


def test_a_page_that_is_said_to_be_free_is_damage(path, write, begin, results):
    edit(write(begin(0, 9), results({0: bytes(50_000)})), "DELETE FROM records WHERE sequence = 3")
    with pytest.raises(JournalFailed, match="another structure"):
        JournalFile(path)


@pytest.fixture
def killed(path, job, begin, results, tmp_path):
    """The files of a run that was killed when two results were in the log."""
    left = tmp_path / "killed"
    left.mkdir()
    with JournalFile(path) as file:
        file.create(job)
        file.append([begin(0, 10), results({0: b"x"}), results({1: b"y"})])
        for each in tmp_path.glob("run.journal*"):
            shutil.copyfile(each, left / each.name)
    path.unlink()
    return left / path.name


def test_a_log_without_its_journal_counts_for_nothing(killed, job):
    killed.unlink()
    with JournalFile(killed) as file:
        assert file.summary is None
        file.create(job)
    with JournalFile(killed) as file:
        assert file.summary.rounds == []


def test_a_log_of_another_journal_is_no_part_of_this_one(killed, path, write, begin, results):
    """Somebody put a journal in the place of one whose run was killed."""
    write(begin(0, 10), *[results({index: os.urandom(3_000)}) for index in range(5)])
    shutil.copyfile(path, killed)
    with pytest.raises(JournalFailed, match="damaged"), JournalFile(killed) as file:
        file.verify()


def test_a_journal_without_its_log_has_lost_its_end(killed):
    killed.with_name(killed.name + "-wal").unlink()
    with JournalFile(killed) as file:
        assert file.summary.rounds == []


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_what_was_cut_short_is_noticed(path, write, begin, results, share):
    write(begin(0, 99), *[results({index: os.urandom(900)}) for index in range(50)])
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(JournalFailed, match="damaged"), JournalFile(path) as file:
        file.verify()


@pytest.mark.parametrize("is_read_first", [True, False])
def test_a_making_that_was_broken_off_is_taken_back(path, job, is_read_first):
    """Killed before the first commit: what is there is SQLite's own journal, to be rolled back."""
    killed = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('PRAGMA cache_size = 1')\n"
        "database.execute('BEGIN')\n"
        "database.execute('CREATE TABLE t (x)')\n"
        "for _ in range(50): database.execute('INSERT INTO t VALUES (zeroblob(5000))')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", killed, path], check=False).returncode == -9
    assert path.stat().st_size > 0
    if is_read_first:
        with JournalFile(path, read_only=True) as file:
            assert file.summary is None
    with JournalFile(path) as file:
        assert file.summary is None
        file.create(job)
    with JournalFile(path) as file:
        assert file.summary.job == job


# -- what the world does -------------------------------------------------------------------------


def test_one_run_at_a_time_writes_it(path, write):
    write()
    with JournalFile(path), pytest.raises(JournalFailed, match="another run of Midas writes it"):
        JournalFile(path)


def test_another_program_that_has_it_locked_is_said(path, write, monkeypatch):
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.01)
    with sqlite3.connect(write(), isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalFailed, match="another process has it locked"):
            JournalFile(path)
    other.close()


def test_a_full_disk_is_said_and_what_was_written_before_is_there(path, job, begin, results):
    written = []

    def fill(file):
        for index in range(1_000):
            file.append([results({index: bytes(3_000)})])
            written.append(index)

    with JournalFile(path) as file:
        file.create(job)
        file.append([begin(0, 1_000)])
        file._database.execute("PRAGMA max_page_count = 20")
        with pytest.raises(JournalFailed, match="there is no room left on its disk"):
            fill(file)
    assert written
    with JournalFile(path) as file:
        assert file.summary.rounds[0].done == len(written)
        file.append([results({len(written): bytes(3_000)})])
        file.verify()


def test_an_append_is_whole_or_not_there(path, job, begin, results):
    with JournalFile(path) as file:
        file.create(job)
        file._database.execute("PRAGMA max_page_count = 20")
        many = [results({index: bytes(3_000)}) for index in range(100)]
        with pytest.raises(JournalFailed):
            file.append([begin(0, 1000), *many])
    with JournalFile(path) as file:
        assert file.summary.rounds == []


def test_a_file_system_without_logs_is_said(path, write, monkeypatch):
    """Such as one that cannot share memory: SQLite then stays in the mode that it was in."""
    pragma = JournalFile._pragma

    def without_log(file, name):
        return b"delete" if name.startswith("journal_mode") else pragma(file, name)

    write()
    monkeypatch.setattr(JournalFile, "_pragma", without_log)
    with pytest.raises(JournalFailed, match="cannot keep a write-ahead log"):
        JournalFile(path)


def test_a_folder_where_nothing_can_be_written_is_said():
    with pytest.raises(JournalFailed, match="the journal /proc/j: cannot write in /proc"):
        JournalFile(module.Path("/proc/j"))


def test_what_cannot_be_looked_at_is_said(tmp_path):
    place = tmp_path / ("x" * 300)
    with pytest.raises(JournalFailed, match="File name too long"):
        JournalFile(place)


def test_only_reading_makes_no_file_and_changes_none(path, write, begin):
    with pytest.raises(JournalFailed, match="cannot be opened"):
        JournalFile(path, read_only=True)
    assert not path.exists()
    before = write().read_bytes()
    with JournalFile(path, read_only=True) as file, pytest.raises(JournalFailed, match="cannot be"):
        file.append([begin(0, 1)])
    assert path.read_bytes() == before
