"""What happened, and how often."""

from __future__ import annotations

from midas_mp.testing.trace import Trace, outline
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Acknowledge, Call, RunTasks, Welcome


def test_lines_carry_the_virtual_time_and_who_it_was():
    lines: list[str] = []
    trace = Trace(lambda: 1.5, lines.append)
    trace.note("host", "starts", 3)
    assert lines == ["    1.500000      host starts 3"]


def test_the_digest_is_of_all_lines():
    def digest(*words: str) -> str:
        trace = Trace(lambda: 0.0, lambda _line: None)
        for word in words:
            trace.note("host", word)
        return trace.digest

    assert digest("a", "b") == digest("a", "b")
    assert digest("a", "b") != digest("b", "a")


def test_lines_that_nobody_reads_are_not_made():
    class Unprintable:
        def __str__(self) -> str:
            raise AssertionError

    trace = Trace(lambda: 0.0, None)
    trace.note("host", Unprintable())
    assert not trace.is_read


def test_things_are_counted():
    trace = Trace(lambda: 0.0, None)
    trace.count("cuts")
    trace.count("frames", 3)
    trace.count("cuts")
    assert trace.counts == {"cuts": 2, "frames": 3}


def test_an_outline_tells_what_frames_say_and_no_ids():
    frames = [
        Frame(0, Welcome(2, "0.1", "laptop", 3)),
        Frame(7, RunTasks("4f2a", 1, 9, "ab" * 32, "f", [Call(5), Call(6)], epoch=2)),
        Frame(0, Acknowledge("4f2a", 1, [5])),
    ]
    assert outline(frames) == (
        "Welcome epoch=3, RunTasks round=1 count=9 epoch=2 calls=[5, 6] @7, "
        "Acknowledge round=1 indices=[5]"
    )


def test_what_is_drawn_anew_in_every_run_has_a_name():
    lines: list[str] = []
    trace = Trace(lambda: 0.0, lines.append)
    trace.alias("4f2a", "job0")
    trace.note("host", "job 4f2a", "and 4f2a again")
    assert lines == ["    0.000000      host job job0 and job0 again"]
