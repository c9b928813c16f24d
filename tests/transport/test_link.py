"""The contract of every link: over memory, a socketpair and TCP, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio

import pytest

from midas_mp import limits
from midas_mp.errors import (
    ConnectionLost,
    IllegalTransition,
    InternalError,
    ProtocolError,
)
from midas_mp.transport.stream import StreamLink
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    BeginJob,
    Call,
    Goodbye,
    JobSpec,
    Outcome,
    RunTasks,
    Status,
    TaskResults,
    Welcome,
    WorkerDown,
)

BEGIN = Frame(0, BeginJob("job", JobSpec()))


def results(index: int, payload: bytes = b"payload") -> Frame:
    outcome = Outcome(index, 0, Status.OK, 10)
    return Frame(1, TaskResults("job", 0, "worker", [outcome]), [payload])


def tasks(count: int, payload: bytes) -> Frame:
    calls = [Call(index) for index in range(count)]
    return Frame(1, RunTasks("job", 0, count, "0" * 64, "execute_code", calls), [payload] * count)


def reader_of(link):
    """What takes the bytes for it."""
    return link._transport if isinstance(link, StreamLink) else link


def stand_still(link):
    reader_of(link).pause_reading()


def go_on(link):
    reader_of(link).resume_reading()


def test_frames_arrive_complete_and_in_order_both_ways(run, greeted):
    async def main():
        ends = await greeted()
        for index in range(300):
            ends.a.send([results(index), results(index + 1000)])
            ends.b.send([tasks(2, b"x" * index)])
        there, back = await ends.host.received(600), await ends.launcher.received(300)
        expected = [i for index in range(300) for i in (index, index + 1000)]
        assert [frame.message.outcomes[0].index for frame in there] == expected
        assert [bytes(frame.buffers[1]) for frame in back] == [b"x" * i for i in range(300)]
        assert {frame.channel for frame in there} == {1}

    run(main())


def test_frames_sent_together_arrive_as_one_batch(run, greeted):
    async def main():
        ends = await greeted()
        ends.a.send([results(index) for index in range(50)])
        await ends.host.received(50)
        assert ends.host.batches == [50]

    run(main())


@pytest.mark.parametrize(
    ("count", "size"), [(1, 20 * limits.MB), (200, 80 * limits.KB), (256, 10), (3, 0)]
)
def test_payloads_of_any_shape_arrive_unchanged(run, greeted, count, size):
    async def main():
        ends = await greeted()
        payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
        ends.b.send([tasks(count, payload), BEGIN, tasks(1, memoryview(payload))])
        large, begin, last = await ends.launcher.received(3)
        assert len(large.buffers) == count
        assert all(buffer == payload for buffer in large.buffers)
        assert begin.message == BEGIN.message
        assert last.buffers[0] == payload

    run(main())


def test_close_lets_everything_arrive_and_ends_both_sides_in_order(run, greeted):
    async def main():
        ends = await greeted()
        ends.a.send([results(0, bytes(5 * limits.MB))])
        ends.a.close(Frame(0, Goodbye("done")))
        assert ends.a.is_closed
        frames = await ends.host.received(2)
        assert frames[1].message == Goodbye("done")
        assert await ends.host.lost() is None
        assert await ends.launcher.lost() is None
        assert ends.b.is_closed

    run(main())


def test_last_words_survive_what_the_peer_is_sending(run, greeted):
    async def main():
        ends = await greeted()
        for index in range(100):
            ends.a.send([results(index, bytes(50_000))])
        ends.b.close(Frame(0, Goodbye("no more")))
        (goodbye,) = await ends.launcher.received(1)
        assert goodbye.message == Goodbye("no more")
        assert await ends.host.lost() is None
        assert await ends.launcher.lost() is None
        assert not ends.host.frames

    run(main())


def test_a_closed_link_ignores_what_it_is_given(run, greeted):
    async def main():
        ends = await greeted()
        ends.a.close()
        ends.a.send([results(0)])
        ends.a.close(Frame(0, Goodbye("again")))
        ends.a.abort()
        await ends.host.lost()
        await ends.launcher.lost()
        ends.a.send([results(0)])
        ends.a.close()
        ends.a.abort()
        assert ends.host.frames == []
        assert len(ends.launcher.losses) == 1

    run(main())


def test_both_sides_may_close_at_once(run, greeted):
    async def main():
        ends = await greeted()
        ends.a.close(Frame(0, Goodbye("a")))
        ends.b.close(Frame(0, Goodbye("b")))
        assert await ends.host.lost() is None
        assert await ends.launcher.lost() is None

    run(main())


def test_abort_ends_both_sides_at_once(run, greeted):
    async def main():
        ends = await greeted()
        stand_still(ends.b)
        ends.a.send([results(0, bytes(20 * limits.MB))])
        ends.a.abort()
        assert ends.a.is_closed
        assert await ends.launcher.lost() is None
        go_on(ends.b)
        error = await ends.host.lost()
        assert isinstance(error, ConnectionLost)
        assert ends.host.frames == []

    run(main())


def test_a_peer_that_breaks_the_rules_is_cut_off(run, greeted):
    async def main():
        ends = await greeted()
        welcome = Frame(0, Welcome(1, "0.1", "impostor", 0))
        ends.a.conversation.sending = lambda frame: None
        ends.a.send([welcome])
        error = await ends.host.lost()
        assert isinstance(error, ProtocolError)
        assert "launcher node-2 said Welcome to a host" in str(error)
        await ends.launcher.lost()
        assert ends.host.frames == []

    run(main())


def test_saying_what_does_not_belong_is_our_bug(run, greeted):
    async def main():
        ends = await greeted()
        with pytest.raises(IllegalTransition, match="say BeginJob"):
            ends.a.send([BEGIN])
        ends.a.send([results(7)])
        (frame,) = await ends.host.received(1)
        assert frame.message.outcomes[0].index == 7

    run(main())


def test_a_receiver_that_raises_is_heard_of_and_the_link_aborted(run, greeted):
    async def main():
        ends = await greeted()

        def fail(link, frames):
            raise KeyError("oops")

        ends.host.react = fail
        ends.a.send([results(0)])
        error = await ends.host.lost()
        assert isinstance(error, InternalError)
        await ends.launcher.lost()
        assert len(run.complaints) == 1
        assert isinstance(run.complaints.pop()["exception"], KeyError)

    run(main())


def test_a_receiver_that_raises_at_the_end_is_heard_of(run, greeted):
    async def main():
        ends = await greeted()

        def fail():
            raise KeyError("oops")

        ends.host.react_to_loss = fail
        ends.a.close()
        await ends.launcher.lost()
        await ends.host.lost()
        assert isinstance(run.complaints.pop()["exception"], KeyError)

    run(main())


def test_a_receiver_may_close_the_link_from_within(run, greeted):
    async def main():
        ends = await greeted()
        ends.host.react = lambda link, frames: link.close(Frame(0, Goodbye("enough")))
        ends.a.send([results(0)])
        (frame,) = await ends.launcher.received(1)
        assert frame.message == Goodbye("enough")
        assert await ends.launcher.lost() is None
        assert await ends.host.lost() is None

    run(main())


def test_a_reader_that_stands_still_makes_the_writer_wait_and_gets_all_when_it_goes_on(
    run, greeted
):
    async def main():
        ends = await greeted()
        stand_still(ends.b)
        for index in range(20):
            ends.a.send([results(index, bytes(limits.MB))])
        assert ends.a.unsent_bytes > limits.SEND_BUFFER_BYTES_HIGH
        waiting = asyncio.ensure_future(ends.a.drained())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert not ends.host.frames
        go_on(ends.b)
        await waiting
        frames = await ends.host.received(20)
        assert [frame.message.outcomes[0].index for frame in frames] == list(range(20))

    run(main())


def test_waiting_for_drain_ends_with_the_link(run, greeted):
    async def main():
        ends = await greeted()
        stand_still(ends.b)
        ends.a.send([results(0, bytes(20 * limits.MB))])
        waiting = asyncio.ensure_future(ends.a.drained())
        await asyncio.sleep(0)
        ends.a.abort()
        await waiting
        assert ends.a.is_closed

    run(main())


def test_a_closed_link_has_drained_when_the_peer_has_all_of_it(run, greeted):
    async def main():
        ends = await greeted()
        ends.a.send([results(0, bytes(5 * limits.MB))])
        ends.a.close(Frame(0, Goodbye("done")))
        await ends.a.drained()
        assert ends.launcher.losses == [None]
        assert len(ends.host.frames) == 2
        await ends.a.drained()

    run(main())


def test_the_peer_is_named_for_people(run, greeted):
    async def main():
        ends = await greeted()
        assert ends.b.peer.startswith("node-2 (")
        assert "host" in ends.a.peer or "127.0.0.1:" in ends.a.peer or "process" in ends.a.peer

    run(main())


def test_headers_over_the_greeting_limit_pass_once_the_link_is_open(run, greeted):
    async def main():
        ends = await greeted()
        cause = "x" * 8_000
        ends.a.send([Frame(0, WorkerDown(1, 0, cause))])
        (frame,) = await ends.host.received(1)
        assert frame.message.cause == cause

    run(main())
