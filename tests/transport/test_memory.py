"""What only memory links do; see test_link for the contract they share."""

from __future__ import annotations

from midas_mp import limits
from midas_mp.transport.memory import pair
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    BeginJob,
    Goodbye,
    Hello,
    JobSpec,
    Outcome,
    Role,
    Status,
    TaskResults,
    Welcome,
)

HELLO = Frame(0, Hello(PROTOCOL_VERSION, Role.LAUNCHER, "0.1", "ab", "node"))
WELCOME = Frame(0, Welcome(PROTOCOL_VERSION, "0.1", "node", 0))


def ends(recorder):
    launcher, host = recorder(), recorder()
    a, b = pair(
        launcher, Conversation(Role.LAUNCHER, Role.HOST), host, Conversation(Role.HOST, None)
    )
    return launcher, host, a, b


def results(payload: bytes) -> Frame:
    return Frame(1, TaskResults("j", 0, "w", [Outcome(0, 0, Status.OK, 1)]), [payload])


def test_frames_are_handed_over_as_they_are(run, recorder):
    async def main():
        launcher, host, a, b = ends(recorder)
        a.send([HELLO])
        await host.received(1)
        b.send([WELCOME])
        await launcher.received(1)
        frame = results(bytes(100))
        a.send([frame])
        assert (await host.received(2))[1] is frame

    run(main())


def test_nothing_is_delivered_from_within_send(run, recorder):
    async def main():
        _, host, a, _ = ends(recorder)
        a.send([HELLO])
        assert host.frames == []
        assert a.unsent_bytes > 0
        await host.received(1)
        assert a.unsent_bytes == 0

    run(main())


def test_what_was_sent_in_one_turn_of_the_loop_is_one_batch(run, recorder):
    async def main():
        launcher, host, a, b = ends(recorder)
        a.send([HELLO])
        await host.received(1)
        b.send([WELCOME])
        for _ in range(10):
            b.send([Frame(0, BeginJob("j", JobSpec()))])
        await launcher.received(11)
        assert launcher.batches == [11]

    run(main())


def test_small_frames_count_as_unsent_too(run, recorder):
    async def main():
        _, host, a, b = ends(recorder)
        a.send([HELLO])
        await host.received(1)
        b.send([WELCOME])
        b.pause_reading()
        b.send([Frame(0, BeginJob("j", JobSpec()))] * 10_000)
        assert b.unsent_bytes > limits.SEND_BUFFER_BYTES_HIGH

    run(main())


def test_an_end_that_stands_still_can_be_closed(run, recorder):
    async def main():
        launcher, host, a, b = ends(recorder)
        a.send([HELLO])
        await host.received(1)
        b.send([WELCOME])
        await launcher.received(1)
        b.pause_reading()
        a.send([results(b"unheard")])
        b.close(Frame(0, Goodbye("bye")))
        await launcher.received(2)
        assert await host.lost() is None
        assert await launcher.lost() is None

    run(main())


def test_a_paused_end_still_learns_that_the_other_is_gone_once_it_has_read_all(run, recorder):
    async def main():
        launcher, host, a, b = ends(recorder)
        a.send([HELLO])
        await host.received(1)
        b.send([WELCOME])
        await launcher.received(1)
        b.pause_reading()
        a.send([results(b"last")])
        a.close(Frame(0, Goodbye("bye")))
        await launcher.lost()
        assert (host.losses, len(host.frames)) == ([], 1)
        b.resume_reading()
        assert await host.lost() is None
        assert len(host.frames) == 3

    run(main())
