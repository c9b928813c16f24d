from __future__ import annotations

import asyncio

import pytest

from midas_mp.testing import orders as tasks
from midas_mp.testing.chance import Chance
from midas_mp.testing.diary import Diary
from midas_mp.testing.disk import LATENCY_S_MAX
from midas_mp.testing.orders import Orders
from midas_mp.wire.messages import JobSpec, Outcome, Status, TaskResults

COUNT = 4
EVERYTHING = [Orders("job", 0, index, 1.0) for index in range(COUNT)]


@pytest.fixture
def objections():
    return []


class Life:
    """A job and its diary; use ``begin`` in each life."""

    def __init__(self, folder, objections):
        self.diary = Diary(folder / "job", Chance("diary"), objections.append)
        self.safe = []

    async def begin(self, everything=EVERYTHING):
        """What is recorded, and what is to be done."""
        await self.diary.open(JobSpec())
        found = await self.diary.begin_round(0, COUNT, [])
        to_do = [orders.index for orders in everything if not self.diary.is_done(orders)]
        return [(outcome.index, b"".join(payload)) for outcome, payload in found], to_do

    def answer(self, index, status=Status.OK, payload=b"an answer"):
        results = TaskResults("job", 0, "w", [Outcome(index, 0, status, 1)])
        self.diary.write(results, [payload], lambda: self.safe.append(index))


def test_a_life_goes_on_where_the_one_before_was(play, tmp_path, objections):
    async def live():
        life = Life(tmp_path, objections)
        assert await life.begin() == ([], [0, 1, 2, 3])
        life.answer(2)
        life.answer(0)
        await life.diary.close()
        assert await life.begin() == ([(2, b"an answer"), (0, b"an answer")], [1, 3])
        life.diary.crash()
        found, to_do = await life.begin()
        assert (len(found), to_do) == (2, [1, 3])
        life.answer(1)
        life.answer(3)
        await life.diary.close()
        assert (await life.begin())[1] == []
        await life.diary.close()

    play(live())
    assert objections == []


def test_a_result_that_was_safe_and_is_gone_is_objected_to(play, tmp_path, objections):
    async def live():
        life = Life(tmp_path, objections)
        await life.begin()
        life.answer(2)
        await asyncio.sleep(2 * LATENCY_S_MAX)
        assert life.safe == [2]
        await life.diary.close()
        for path in (tmp_path / "job").glob("*/*"):
            path.unlink()
        assert await life.begin() == ([], [0, 1, 2, 3])
        await life.diary.close()

    play(live())
    assert objections == [
        "a journal has lost results that were safe: [(0, 2)]",
        "a journal has lost results in the end: [(0, 2)]",
    ]


def test_other_orders_than_before_are_objected_to(play, tmp_path, objections):
    async def live():
        life = Life(tmp_path, objections)
        await life.begin()
        life.answer(0)
        await life.diary.close()
        await life.begin([Orders("another", 0, 0, 1.0)])
        await life.diary.close()

    play(live())
    (objection,) = objections
    assert objection.startswith("a journal is of something else: ")


def test_a_journal_that_is_rubbish_is_objected_to(play, tmp_path, objections):
    async def live():
        life = Life(tmp_path, objections)
        (tmp_path / "job" / "0" / "run.journal").write_bytes(b"rubbish")
        await life.diary.open(JobSpec())

    play(live())
    (objection,) = objections
    assert objection.startswith("a journal cannot be gone on with: ")


def test_orders_tell_themselves_apart(tmp_path):
    """Or a journal of another round would do."""
    assert len({tasks.encode(orders) for orders in EVERYTHING}) == COUNT
