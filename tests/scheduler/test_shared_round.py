"""Shared data as they come in: in order, and in few pieces."""

from __future__ import annotations

from midas_mp import limits
from midas_mp.scheduler.shared_round import SharedRound


def test_small_parts_are_joined_and_large_ones_stay_as_they_are() -> None:
    most = limits.SHARED_PART_BYTES
    sizes = [most // 2, most // 2, most, 1, 2]
    shared = SharedRound(3, sizes, 7.0)
    parts = [bytes([number]) * size for number, size in enumerate(sizes)]
    for part in parts:
        assert not shared.is_complete
        shared.add(part)
    assert shared.is_complete
    assert [len(part) for part in shared.parts] == [most, most, 3]
    assert b"".join(shared.parts) == b"".join(parts)
    assert parts[0] == bytes(most // 2), "the sender's own is left alone"


def test_of_no_data_all_is_there() -> None:
    assert SharedRound(0, [0], 0.0).is_complete
