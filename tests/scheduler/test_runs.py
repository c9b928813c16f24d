from __future__ import annotations

import pytest

from midas_mp import limits
from midas_mp.scheduler.runs import Copy, PrintRoom, PrintTally
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import TaskPrinted


@pytest.fixture
def room() -> PrintRoom:
    return PrintRoom()


def printed(copy: Copy, *texts: bytes, tally: PrintTally | None = None) -> None:
    for text in texts:
        copy.keep(Frame(0, TaskPrinted("job", 0, 0, "w"), [text]), tally or PrintTally())


def shown(tally: PrintTally, count: int) -> PrintTally:
    for _ in range(count):
        assert tally.is_new()
    return tally


def new(copy: Copy, tally: PrintTally) -> list[bytes]:
    return [bytes(frame.buffers[0]) for frame in copy.take_new(tally)]


def test_what_was_shown_already_is_left_out(room: PrintRoom) -> None:
    copy = Copy(room, is_whole=True)
    printed(copy, b"1", b"2", b"3")
    tally = shown(PrintTally(), 2)
    assert new(copy, tally) == [b"3"]
    assert tally.is_new()


def test_who_is_behind_is_heard_once_he_has_caught_up(room: PrintRoom) -> None:
    copy = Copy(room, is_whole=True)
    printed(copy, b"1")
    tally = shown(PrintTally(), 3)
    assert new(copy, tally) == []
    assert [tally.is_new() for _ in range(4)] == [False, False, True, True]


def test_a_third_run_leaves_out_what_the_second_showed(room: PrintRoom) -> None:
    second, third = Copy(room, is_whole=True), Copy(room, is_whole=True)
    printed(second, b"1", b"2", b"3")
    printed(third, b"1", b"2", b"3", b"4")
    tally = shown(PrintTally(), 1)
    assert new(second, tally) == [b"2", b"3"]
    assert new(third, tally) == [b"4"]


def test_of_a_run_whose_beginning_nobody_knows_everything_is_shown(room: PrintRoom) -> None:
    copy = Copy(room, is_whole=False)
    printed(copy, b"7", b"8")
    tally = shown(PrintTally(), 1)
    assert new(copy, tally) == [b"7", b"8"]
    assert tally.is_new()


def note(count: int) -> bytes:
    texts = "1 text was" if count == 1 else f"{count} texts were"
    words = f"... {texts} dropped: too much was printed before this run of the task counted"
    return words.encode()


def test_copies_share_one_room(room: PrintRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTPUT_BACKLOG_BYTES_MAX", 4_000)
    first, second = Copy(room, is_whole=True), Copy(room, is_whole=True)
    printed(first, b"x" * 1_500, b"y" * 1_500)
    printed(second, b"z" * 1_500, b"")
    assert room.used_bytes <= 4_000
    assert new(first, PrintTally()) == [b"x" * 1_500, b"y" * 1_500]
    assert new(second, PrintTally()) == [note(2)], "nothing is kept after what was dropped"
    assert room.used_bytes == 0
    printed(second, b"later")
    assert new(second, PrintTally()) == [b"later"]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (0, [b"1", b"2", note(2)]),
        (1, [b"2", note(2)]),
        (2, [note(2)]),
        (3, [note(1)]),
        (4, []),
        (5, []),
    ],
)
def test_what_was_dropped_and_shown_by_another_is_not_missing(
    room: PrintRoom, monkeypatch: pytest.MonkeyPatch, known: int, expected: list[bytes]
) -> None:
    monkeypatch.setattr(limits, "OUTPUT_BACKLOG_BYTES_MAX", 600)
    copy = Copy(room, is_whole=True)
    printed(copy, b"1", b"2", b"3", b"4")
    tally = shown(PrintTally(), known)
    assert new(copy, tally) == expected
    assert (tally.shown, tally.surplus) == (max(known, 4), max(0, known - 4))


def test_who_is_behind_keeps_nothing(room: PrintRoom) -> None:
    copy, tally = Copy(room, is_whole=True), PrintTally()
    printed(copy, b"1", b"2", tally=tally)
    assert room.used_bytes > 0
    shown(tally, 4)
    printed(copy, b"3", b"4", tally=tally)
    assert room.used_bytes == 0
    printed(copy, b"5", tally=tally)
    assert new(copy, tally) == [b"5"]


def test_what_nobody_wants_makes_room(room: PrintRoom) -> None:
    copy = Copy(room, is_whole=True)
    printed(copy, b"1")
    assert room.used_bytes > 0
    copy.forget()
    assert room.used_bytes == 0
