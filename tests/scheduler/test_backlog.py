from __future__ import annotations

import pytest

from midas_mp import limits
from midas_mp.scheduler.backlog import FRAME_BYTES, BacklogRoom, PrintBacklog
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import TaskPrinted


def printed(index: int, text: bytes) -> Frame:
    return Frame(0, TaskPrinted("job", 0, index, "w"), [text])


def test_what_is_kept_comes_out_once_and_in_order() -> None:
    backlog = PrintBacklog(BacklogRoom())
    frames = [printed(index, b"line") for index in range(3)]
    for frame in frames:
        backlog.keep(frame)
    assert backlog.take() == frames
    assert backlog.take() == []


def test_what_finds_no_room_is_counted_and_said_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "OUTPUT_BACKLOG_BYTES_MAX", 2_000)
    backlog = PrintBacklog(BacklogRoom())
    for index, text in enumerate((b"x" * 1_000, b"y" * 1_000, b"z")):
        backlog.keep(printed(index, text))
    note = b"... 1001 bytes of output were dropped: the client was away"
    assert backlog.take() == [printed(0, b"x" * 1_000), printed(1, note)]
    backlog.keep(printed(7, b"later"))
    assert backlog.take() == [printed(7, b"later")]


def test_empty_lines_weigh_something_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTPUT_BACKLOG_BYTES_MAX", 10_000)
    backlog = PrintBacklog(BacklogRoom())
    for index in range(1_000):
        backlog.keep(printed(index, b""))
    assert len(backlog.take()) < 50


def test_who_began_first_makes_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKLOGS_BYTES_MAX", 4_000)
    room = BacklogRoom()
    old, young = PrintBacklog(room), PrintBacklog(room)
    old.keep(printed(0, b"a" * 1_000))
    young.keep(printed(1, b"b" * 1_000))
    old.keep(printed(2, b"c" * 500))
    assert room.used_bytes == 2_500 + 3 * FRAME_BYTES
    young.keep(printed(3, b"d" * 1_000))
    assert room.used_bytes == young.used_bytes == 2_000 + 2 * FRAME_BYTES
    old.keep(printed(4, b"e"))
    note = b"... 1501 bytes of output were dropped: the client was away"
    assert old.take() == [printed(0, note)]
    assert young.take() == [printed(1, b"b" * 1_000), printed(3, b"d" * 1_000)]
    assert room.used_bytes == 0
    old.keep(printed(5, b"again"))
    assert old.take() == [printed(5, b"again")]


def test_what_was_dropped_before_is_counted_when_the_rest_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "OUTPUT_BACKLOG_BYTES_MAX", 1_000)
    monkeypatch.setattr(limits, "BACKLOGS_BYTES_MAX", 1_500)
    room = BacklogRoom()
    old, young = PrintBacklog(room), PrintBacklog(room)
    for index in range(2):
        old.keep(printed(index, b"a" * 500))
    young.keep(printed(2, b"b" * 500))
    young.keep(printed(3, b"b"))
    assert [bytes(frame.buffers[0])[:14] for frame in old.take()] == [b"... 1000 bytes"]


def test_what_nobody_will_come_for_makes_room() -> None:
    room = BacklogRoom()
    backlog = PrintBacklog(room)
    backlog.keep(printed(0, b"text"))
    backlog.forget()
    assert (room.used_bytes, backlog.take()) == (0, [])
