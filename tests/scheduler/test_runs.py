from __future__ import annotations

from midas_mp.scheduler.runs import Copy, PrintTally
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import TaskPrinted


def printed(copy: Copy, *texts: bytes) -> None:
    for text in texts:
        copy.keep(Frame(0, TaskPrinted("job", 0, 0, "w"), [text]))


def shown(tally: PrintTally, count: int) -> PrintTally:
    for _ in range(count):
        assert tally.is_new()
    return tally


def new(copy: Copy, tally: PrintTally) -> list[bytes]:
    return [bytes(frame.buffers[0]) for frame in copy.take_new(tally)]


def test_what_was_shown_already_is_left_out() -> None:
    copy = Copy(is_whole=True)
    printed(copy, b"1", b"2", b"3")
    tally = shown(PrintTally(), 2)
    assert new(copy, tally) == [b"3"]
    assert tally.is_new()


def test_who_is_behind_is_heard_once_he_has_caught_up() -> None:
    copy = Copy(is_whole=True)
    printed(copy, b"1")
    tally = shown(PrintTally(), 3)
    assert new(copy, tally) == []
    assert [tally.is_new() for _ in range(4)] == [False, False, True, True]


def test_a_third_run_leaves_out_what_the_second_showed() -> None:
    second, third = Copy(is_whole=True), Copy(is_whole=True)
    printed(second, b"1", b"2", b"3")
    printed(third, b"1", b"2", b"3", b"4")
    tally = shown(PrintTally(), 1)
    assert new(second, tally) == [b"2", b"3"]
    assert new(third, tally) == [b"4"]


def test_of_a_run_whose_beginning_nobody_knows_everything_is_shown() -> None:
    copy = Copy(is_whole=False)
    printed(copy, b"7", b"8")
    tally = shown(PrintTally(), 1)
    assert new(copy, tally) == [b"7", b"8"]
    assert tally.is_new()
