"""What records come to, and which cannot follow each other."""

from __future__ import annotations

import msgspec
import pytest

from midas_mp.errors import JournalFailed
from midas_mp.journal.records import PartRecord
from midas_mp.journal.summary import BODY_BYTES_MAX, JournalSummary, row_count


@pytest.fixture
def summed(job):
    """A summary of records, each as it is made to be appended."""

    def add(*records):
        summary = JournalSummary(job)
        for sequence, record in enumerate(records, 2):
            summary.add(sequence, record[0] if isinstance(record, tuple) else record)
        summary.end()
        return summary

    return add


def test_it_knows_what_is_done_and_what_each_task_was_given(summed, begin, results):
    summary = summed(
        begin(0, 2), results({1: b"x"}), results({0: b"y"}), begin(1, 500), results({400: b"z"})
    )
    first, second = summary.rounds
    assert (first.done, first.failed, first.is_over, first.sequences) == (
        *(2, 0, True),
        range(3, 5),
    )
    assert (second.number, second.count, second.done, second.is_over) == (1, 500, 1, False)
    assert second.sequences == range(6, 7)
    assert first.digest(1) == (2).to_bytes(8)
    assert [i for i in range(500) if second.digest(i)] == [400]
    assert summary.last_s == 102.0


def test_failures_are_done_too(summed, begin, results):
    (only,) = summed(begin(0, 2), results({0: b"x", 1: b"y"}, failed=(1,))).rounds
    assert (only.done, only.failed) == (2, 1)


def test_no_records_are_no_rounds(summed):
    assert summed().rounds == []


def test_large_records_take_more_rows(summed, begin, results):
    record, _ = results({0: b"x"})
    for size, rows in ((0, 1), (BODY_BYTES_MAX, 1), (BODY_BYTES_MAX + 1, 2)):
        assert row_count(msgspec.structs.replace(record, sizes=[size])) == rows
    outcomes = [msgspec.structs.replace(record.outcomes[0], buffer_count=2)]
    sizes = [2 * BODY_BYTES_MAX, 1]
    large = msgspec.structs.replace(record, outcomes=outcomes, sizes=sizes)
    (only,) = summed(begin(0, 1), large, PartRecord(), PartRecord()).rounds
    assert only.sequences == range(3, 6)
    for parts in ([], [PartRecord()], [PartRecord()] * 3):
        with pytest.raises(JournalFailed):
            summed(begin(0, 1), large, *parts)


def test_a_round_is_over_when_all_is_done_or_another_has_begun(summed, begin, results):
    assert [each.is_over for each in summed(begin(0, 1)).rounds] == [False]
    assert [each.is_over for each in summed(begin(0, 1), results({0: b"x"})).rounds] == [True]
    assert [each.is_over for each in summed(begin(0, 1), begin(1, 1)).rounds] == [True, False]


def test_what_no_run_writes_is_damage(summed, begin, results, job):
    one = results({0: b"x"})
    short = msgspec.structs.replace(one[0], digests=b"1234567")
    empty = msgspec.structs.replace(one[0], digests=bytes(8))
    fewer = msgspec.structs.replace(one[0], sizes=[])
    for records in (
        [one],
        [begin(1, 1)],
        [begin(0, 1), begin(2, 1)],
        [begin(0, 1), one, one],
        [begin(0, 1), results({1: b"x"})],
        [begin(0, 1), short],
        [begin(0, 1), empty],
        [begin(0, 1), fewer],
        [begin(0, 1), PartRecord()],
        [job],
    ):
        with pytest.raises(JournalFailed, match="damaged"):
            summed(*records)


def test_indices_far_apart_take_no_room_between_them(summed, begin, results):
    (only,) = summed(begin(0, 2**53), results({2**53 - 1: b"x"})).rounds
    assert only.digest(2**53 - 1)
    assert only.digest(0) is None
