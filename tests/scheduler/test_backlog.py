from __future__ import annotations

import pytest

from midas_mp import limits
from midas_mp.scheduler.backlog import PrintBacklog
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import TaskPrinted


def printed(index: int, text: bytes) -> Frame:
    return Frame(0, TaskPrinted("job", 0, index, "w"), [text])


def test_what_is_kept_comes_out_once_and_in_order() -> None:
    backlog = PrintBacklog()
    frames = [printed(index, b"line") for index in range(3)]
    for frame in frames:
        backlog.keep(frame)
    assert backlog.take() == frames
    assert backlog.take() == []


def test_what_finds_no_room_is_counted_and_said_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "OUTPUT_BACKLOG_BYTES_MAX", 2_000)
    backlog = PrintBacklog()
    for index, text in enumerate((b"x" * 1_000, b"y" * 1_000, b"z")):
        backlog.keep(printed(index, text))
    note = b"... 1001 bytes of output were dropped: the client was away"
    assert backlog.take() == [printed(0, b"x" * 1_000), printed(1, note)]
    backlog.keep(printed(7, b"later"))
    assert backlog.take() == [printed(7, b"later")]


def test_empty_lines_weigh_something_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTPUT_BACKLOG_BYTES_MAX", 10_000)
    backlog = PrintBacklog()
    for index in range(1_000):
        backlog.keep(printed(index, b""))
    assert len(backlog.take()) < 50
