from __future__ import annotations

import random
from collections import Counter

import pytest

from midas_mp.testing.chance import Chance
from midas_mp.testing.spoiling import Spoil, Spoiler

STREAM = random.Random(1).randbytes(50_000)


def spoiled(spoil, *, seed="seed", pieces=1):
    counts: Counter[str] = Counter()
    spoiler = Spoiler(spoil, Chance(seed), counts)
    size = len(STREAM) // pieces
    parts = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    return b"".join(spoiler.spoil(part) for part in parts), counts


def test_what_is_not_to_be_spoiled_stays_as_it_is():
    assert spoiled(Spoil(), pieces=10) == (STREAM, Counter())


def test_bits_are_flipped_as_often_as_was_said():
    data, counts = spoiled(Spoil(flip_every_bytes=1000))
    flipped = sum((a ^ b).bit_count() for a, b in zip(data, STREAM, strict=True))
    assert flipped == counts["flipped bits"]
    assert 25 < flipped < 100


def test_some_bytes_come_twice():
    data, counts = spoiled(Spoil(duplicate_every_bytes=5000))
    assert counts["doubled stretches"] > 2
    assert len(STREAM) < len(data) <= len(STREAM) + 64 * counts["doubled stretches"]


def test_some_bytes_come_late_and_none_is_lost():
    data, counts = spoiled(Spoil(reorder_every_bytes=5000))
    assert counts["stretches out of order"] > 2
    assert data != STREAM
    assert sorted(data) == sorted(STREAM)


def test_a_seed_spoils_the_same_bits_however_the_stream_is_cut():
    often = Spoil(flip_every_bytes=100)
    assert spoiled(often) == spoiled(often, pieces=50)
    assert spoiled(often) != spoiled(often, seed="another")


@pytest.mark.parametrize("pieces", [1, 10_000])
def test_all_of_it_at_once(pieces):
    data, counts = spoiled(Spoil(50, 50, 50), pieces=pieces)
    assert data != STREAM
    assert min(counts.values()) > 500
