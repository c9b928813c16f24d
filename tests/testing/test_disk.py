from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from midas_mp.errors import JournalRefused
from midas_mp.journal.file import JournalFile
from midas_mp.journal.journal import Journal
from midas_mp.journal.records import DIGEST_BYTES, JobRecord, ResultsRecord
from midas_mp.testing.chance import Chance
from midas_mp.testing.disk import LATENCY_S_MAX, SimulatedDisk
from midas_mp.wire.messages import Outcome, Status

JOB = JobRecord(1, "job.lua", "digest", "luajit", 0, "", [], {}, 1.0)
COMMITS = 12


def write(journal, index, written):
    record = ResultsRecord("w", [Outcome(index, 0, Status.OK, 1)], b"1" * DIGEST_BYTES, [900], 1.0)
    journal.record(record, [bytes([index]) * 900], written, is_urgent=True)


async def crash_while_writing(folder, seed):
    """What had been called safe when the power was cut, and what is found afterwards."""
    rng = Chance(f"disk {seed}")
    disk = SimulatedDisk(folder / f"{seed}", rng)
    journal = await Journal.open(disk.path, disk)
    await journal.create(JOB)
    journal.begin_round(0, COMMITS, b"")
    safe = []

    async def work():
        for index in range(COMMITS):
            done = asyncio.Event()
            write(journal, index, done.set)
            await done.wait()
            safe.append(index)

    working = asyncio.ensure_future(work())
    await asyncio.sleep(rng.uniform(0, rng.choice([0.01, COMMITS * LATENCY_S_MAX])))
    working.cancel()
    disk = disk.crash(folder / f"{seed} again")
    with JournalFile(disk.path) as file:
        (round_,) = file.summary.rounds or [None]
        found = [] if round_ is None else [i for i in range(COMMITS) if round_.digest(i)]
    return safe, found


def test_what_was_safe_outlives_a_crash_and_the_write_under_way_is_there_or_not(play, tmp_path):
    kinds = Counter()
    for seed in range(150):
        safe, found = play(crash_while_writing(tmp_path, seed))
        assert found in (safe, [*safe, len(safe)])
        kinds["one more" if len(found) > len(safe) else "no more"] += 1
        kinds["all"] += len(safe) == COMMITS
    assert min(kinds["one more"], kinds["no more"], kinds["all"]) > 10


def test_a_dead_disk_answers_nobody(play, tmp_path):
    async def crash_first():
        disk = SimulatedDisk(tmp_path / "one", Chance("dead"))
        disk.crash(tmp_path / "two")
        return disk.submit(JournalFile, disk.path)

    assert not play(crash_first()).done()


def test_what_cannot_be_opened_is_said(play, tmp_path):
    async def open_rubbish():
        contents = {"run.journal": b"rubbish"}
        disk = SimulatedDisk(tmp_path / "one", Chance("rubbish"), contents)
        await Journal.open(disk.path, disk)

    with pytest.raises(JournalRefused, match="not a journal"):
        play(open_rubbish())
