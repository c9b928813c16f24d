"""The journal of a running job: order, group commits, failure, closing."""

from __future__ import annotations

import asyncio

import pytest

from midas_mp.errors import JournalFailed, JournalRefused
from midas_mp.journal import journal as module
from midas_mp.journal.file import JournalFile
from midas_mp.journal.journal import Journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.journal"


@pytest.fixture
def commits(monkeypatch):
    """How many records each commit had."""
    sizes = []
    append = JournalFile.append

    def count(file, records):
        sizes.append(len(records))
        append(file, records)

    monkeypatch.setattr(JournalFile, "append", count)
    return sizes


def test_results_are_told_to_be_safe_in_order_when_they_are(run, path, job, results):
    told = []

    async def main():
        journal = await Journal.open(path)
        assert journal.summary is None
        await journal.create(job)
        assert (journal.path, journal.summary.job) == (path, job)
        journal.begin_round(0, 100, b"12345678")
        all_told = asyncio.Event()

        def tell(index):
            with JournalFile(path, read_only=True) as reader:
                assert reader.summary.rounds[0].digest(index)
            told.append(index)
            if len(told) == 100:
                all_told.set()

        for index in range(100):
            journal.record(
                *results({index: b"x"}), lambda index=index: tell(index), is_urgent=index == 99
            )
            assert told == []
        await all_told.wait()
        assert told == list(range(100))
        await journal.close()

        journal = await Journal.open(path)
        (only,) = journal.summary.rounds
        assert (only.done, only.shared) == (100, b"12345678")
        found, rest = await journal.read(only.sequences)
        assert [record.outcomes[0].index for record, _ in found] == told
        assert not rest
        await journal.close()

    run(main())


def test_what_comes_while_it_writes_is_written_together(run, path, job, results, commits):
    async def main():
        journal = await Journal.open(path)
        await journal.create(job)
        journal.begin_round(0, 1000, b"")
        for index in range(999):
            journal.record(*results({index: b"x"}), lambda: None, is_urgent=False)
        done = asyncio.Event()
        journal.record(*results({999: b"x"}), done.set, is_urgent=True)
        await done.wait()
        await journal.close()

    run(main())
    assert commits == [2, 999], "the first at once, the others as soon as that was done"


def test_a_stream_waits_for_its_interval(run, path, job, results, commits):
    async def main():
        journal = await Journal.open(path)
        await journal.create(job)
        journal.begin_round(0, 10, b"")
        first, last = asyncio.Event(), asyncio.Event()
        journal.record(*results({0: b"x"}), first.set, is_urgent=False)
        await first.wait()
        journal.record(*results({1: b"x"}), lambda: None, is_urgent=False)
        journal.record(*results({2: b"x"}), last.set, is_urgent=False)
        await last.wait()
        await journal.close()

    run(main())
    assert sum(commits) == 4


def test_what_is_urgent_takes_along_what_waits(run, path, job, results, commits, monkeypatch):  # noqa: PLR0917 - all fixtures
    monkeypatch.setattr(module, "COMMIT_INTERVAL_S", 1_000)

    async def main():
        journal = await Journal.open(path)
        await journal.create(job)
        journal.begin_round(0, 10, b"")
        first, last = asyncio.Event(), asyncio.Event()
        journal.record(*results({0: b"x"}), first.set, is_urgent=False)
        await first.wait()
        for index in (1, 2):
            journal.record(*results({index: b"x"}), lambda: None, is_urgent=False)
        journal.record(*results({3: b"x"}), last.set, is_urgent=True)
        await last.wait()
        await journal.close()

    run(main())
    assert commits == [2, 3]


def test_what_is_not_to_be_recorded_waits_for_what_was_before_it(run, path, job, results, commits):
    async def main():
        journal = await Journal.open(path)
        await journal.create(job)
        journal.begin_round(0, 10, b"")
        told = []
        done = asyncio.Event()
        journal.record(*results({0: b"x"}), lambda: told.append(0), is_urgent=False)
        journal.record(None, (), lambda: (told.append(1), done.set()), is_urgent=True)
        await done.wait()
        assert told == [0, 1]
        await journal.close()

    run(main())
    assert sum(commits) == 2


def test_what_waits_is_written_when_it_is_closed_and_nobody_is_told(run, path, job, results):
    async def main():
        journal = await Journal.open(path)
        await journal.create(job)
        journal.begin_round(0, 10, b"")
        for index in range(3):
            journal.record(*results({index: b"x"}), pytest.fail, is_urgent=False)
        await journal.close()
        with JournalFile(path) as file:
            assert file.summary.rounds[0].done == 3

    run(main())


def test_what_waits_for_its_interval_is_written_when_it_is_closed(
    run, path, job, results, monkeypatch
):
    monkeypatch.setattr(module, "COMMIT_INTERVAL_S", 1_000)

    async def main():
        journal = await Journal.open(path)
        await journal.create(job)
        journal.begin_round(0, 10, b"")
        first = asyncio.Event()
        journal.record(*results({0: b"x"}), first.set, is_urgent=False)
        await first.wait()
        journal.record(*results({1: b"x"}), pytest.fail, is_urgent=False)
        await journal.close()
        with JournalFile(path) as file:
            assert file.summary.rounds[0].done == 2

    run(main())


def test_a_journal_that_cannot_be_written_says_so_once(run, path, job, results):
    async def main():
        journal = await Journal.open(path)
        await journal.create(job)
        journal._file._database.execute("PRAGMA max_page_count = 3")
        journal.begin_round(0, 10, b"")
        journal.record(*results({0: bytes(9_000)}), pytest.fail, is_urgent=True)
        journal.record(*results({1: b"x"}), pytest.fail, is_urgent=True)
        with pytest.raises(JournalFailed, match="no room left"):
            await journal.failed
        journal.record(*results({2: b"x"}), pytest.fail, is_urgent=True)
        await journal.close()
        with JournalFile(path) as file:
            assert file.summary.rounds == []

    run(main())


def test_what_cannot_be_opened_leaves_no_thread(run, path):
    path.write_bytes(b"something else")

    async def main():
        with pytest.raises(JournalRefused):
            await Journal.open(path)

    run(main())
