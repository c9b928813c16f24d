"""What a listener has, and what it is to forget."""

from __future__ import annotations

from collections.abc import Container

from midas_mp import limits
from midas_mp.scheduler.shelf import Shelf, portions

KB = limits.BUNDLE_BYTES_EXTRA


def nothing() -> Container[str]:
    return ()


def filled(*digests: str) -> Shelf:
    """Each weighs two KB."""
    shelf = Shelf()
    for digest in digests:
        shelf.put(digest, KB)
    return shelf


def test_what_fits_stays() -> None:
    shelf = filled("a", "b", "c")
    assert shelf.trim(6 * KB, nothing) == []
    assert list(shelf) == ["a", "b", "c"]


def test_too_much_is_halved_and_what_was_used_last_stays() -> None:
    shelf = filled("a", "b", "c", "d")
    assert shelf.use("a")
    assert not shelf.use("x")
    assert shelf.trim(7 * KB, nothing) == ["b", "c", "d"]
    assert (len(shelf), "a" in shelf, "b" in shelf) == (1, True, False)


def test_what_is_needed_stays_however_old_and_large_it_is() -> None:
    shelf = filled("a", "b", "c")
    assert shelf.trim(1, lambda: ("a", "b")) == ["c"]
    assert list(shelf) == ["a", "b"]


def test_while_much_is_needed_it_is_seldom_asked_what() -> None:
    shelf, asked = Shelf(), []

    def everything() -> Container[str]:
        asked.append(len(shelf))
        return shelf

    for number in range(1_000):
        shelf.put(str(number), KB)
        assert shelf.trim(2 * KB, everything) == []
    assert asked == [2, 5, 11, 23, 47, 95, 191, 383, 767]


def test_when_less_is_needed_again_there_is_less_room_again() -> None:
    shelf = filled(*"abcdefgh")
    assert shelf.trim(4 * KB, lambda: shelf) == []
    shelf.put("x", 40 * KB)
    assert shelf.trim(4 * KB, nothing) == [*"abcdefgh", "x"]
    shelf.put("y", KB)
    shelf.put("z", 2 * KB)
    assert shelf.trim(4 * KB, nothing) == ["y", "z"]


def test_what_is_taken_away_weighs_nothing() -> None:
    shelf = filled("a", "b")
    assert shelf.discard("a")
    assert not shelf.discard("a")
    shelf.put("c", KB)
    assert shelf.trim(4 * KB, nothing) == []


def test_frames_have_room_for_so_many() -> None:
    digests = [str(number) for number in range(limits.DIGESTS_PER_FRAME_MAX + 1)]
    assert list(portions(digests)) == [digests[:-1], digests[-1:]]
    assert list(portions([])) == []


def test_room_is_made_by_what_is_not_needed_oldest_first() -> None:
    shelf = filled("a", "b", "c", "d")
    assert shelf.reduce(8 * KB, ()) == []
    assert shelf.reduce(5 * KB, ("b",)) == ["a", "c"]
    assert shelf.size_bytes == 4 * KB
    assert shelf.reduce(-1, ("b",)) == ["d"]
    assert list(shelf) == ["b"]
