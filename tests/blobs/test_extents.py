from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midas_mp.blobs.extents import Extents

SIZE = 64


def test_the_lowest_place_that_is_large_enough_is_taken():
    extents = Extents(SIZE)
    assert [extents.take(size) for size in (4, 8, 4)] == [0, 4, 12]
    extents.give_back(0, 4)
    extents.give_back(4, 8)
    assert extents.take(9) == 0, "what is free side by side is one"
    assert extents.take(4) == 16
    assert extents.take(3) == 9


def test_what_does_not_fit_is_refused_and_costs_nothing():
    extents = Extents(SIZE)
    assert extents.take(SIZE + 1) is None
    assert extents.take(SIZE) == 0
    assert extents.take(1) is None
    assert extents.used == SIZE
    extents.give_back(0, SIZE)
    assert (extents.used, extents.end) == (0, 0)


@given(st.lists(st.integers(1, 20), max_size=40), st.randoms())
def test_in_any_order_nothing_overlaps_and_nothing_is_lost(sizes, chance):
    extents = Extents(SIZE)
    taken: dict[int, int] = {}
    for size in sizes:
        if taken and chance.random() < 0.4:
            start = chance.choice(list(taken))
            extents.give_back(start, taken.pop(start))
        start = extents.take(size)
        held = {unit for begin, length in taken.items() for unit in range(begin, begin + length)}
        if start is None:
            free = "".join("#" if unit in held else "." for unit in range(SIZE))
            assert "." * size not in free
        else:
            assert held.isdisjoint(range(start, start + size))
            taken[start] = size
        assert extents.used == sum(taken.values())
        assert extents.end == max((begin + length for begin, length in taken.items()), default=0)
    for start, size in taken.items():
        extents.give_back(start, size)
    assert extents.take(SIZE) == 0


def test_the_high_water_is_what_was_taken_since_it_was_set():
    extents = Extents(SIZE)
    extents.take(8)
    extents.take(8)
    extents.give_back(0, 8)
    assert extents.high_water == 16
    extents.high_water = 0
    extents.take(4)
    assert extents.high_water == 4


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=12), st.data())
def test_what_is_free_between_two_places_is_all_that_is_free_there(blocks, data):
    extents = Extents(SIZE)
    taken = [(extents.take(size), size, is_kept) for size, is_kept in blocks]
    used = set()
    for start, size, is_kept in taken:
        if start is None:
            continue
        if is_kept:
            used |= set(range(start, start + size))
        else:
            extents.give_back(start, size)
    low = data.draw(st.integers(0, SIZE))
    high = data.draw(st.integers(low, SIZE))
    free = [unit for start, end in extents.free_between(low, high) for unit in range(start, end)]
    assert free == [unit for unit in range(low, high) if unit not in used]
