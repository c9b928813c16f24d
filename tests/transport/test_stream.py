"""What only a stream can show: bytes of a hostile or a dying peer.  See test_link for the rest."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import weakref

import pytest

from midas_mp import limits
from midas_mp.errors import ConnectionLost, ProtocolError
from midas_mp.transport.stream import StreamLink, attach
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame, encode_all
from midas_mp.wire.local import WorkerReady
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    BeginJob,
    Goodbye,
    Heartbeat,
    Hello,
    JobSpec,
    Role,
    Welcome,
)
from midas_mp.wire.records import RecordWriter

HELLO = b"".join(encode_all([Frame(0, Hello(PROTOCOL_VERSION, Role.LAUNCHER, "1", "ab", "n"))]))
WELCOME = Frame(0, Welcome(PROTOCOL_VERSION, "0.1", "n", 0))


@pytest.fixture
def raw_peer():
    """A plain socket, and the socket whose other end it is."""
    near, far = socket.socketpair()
    far.setblocking(False)
    yield near, far
    far.close()


async def host_end(near, receiver):
    return await attach(near, receiver, Conversation(Role.HOST, None), name="peer")


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 100,
        HELLO[:20] + b"\xc1" * 40,
        HELLO + HELLO,
        struct.pack("<II", limits.HEADER_BYTES_MAX_GREETING + 1, 0),
    ],
)
def test_noise_is_a_protocol_error_and_ends_the_link(run, recorder, raw_peer, noise):
    near, far = raw_peer

    async def main():
        receiver = recorder()
        link = await host_end(near, receiver)
        far.sendall(noise)
        assert isinstance(await receiver.lost(), ProtocolError)
        assert link.is_closed
        assert receiver.frames == []
        try:
            answer = await asyncio.get_running_loop().sock_recv(far, 1)
        except ConnectionResetError:  # of the noise that nobody read
            answer = b""
        assert answer == b""

    run(main())


@pytest.mark.parametrize(
    "last", [b"\xff" * 100, HELLO[:20], HELLO, b""], ids=["noise", "part", "whole", "nothing"]
)
def test_a_link_that_is_lost_is_held_by_nobody(run, recorder, raw_peer, last):
    near, far = raw_peer

    async def main():
        receiver = recorder()
        link = weakref.ref(await host_end(near, receiver))
        far.sendall(last)
        far.shutdown(socket.SHUT_WR)
        await receiver.lost()
        receiver.losses.clear()
        for _ in range(5):
            await asyncio.sleep(0)  # the transport has still to return
        gc.collect()
        assert link() is None

    run(main())


def test_an_end_between_frames_is_orderly(run, recorder, raw_peer):
    near, far = raw_peer

    async def main():
        receiver = recorder()
        await host_end(near, receiver)
        far.sendall(HELLO)
        far.shutdown(socket.SHUT_WR)
        assert await receiver.lost() is None
        assert len(receiver.frames) == 1

    run(main())


@pytest.mark.parametrize("cut", [1, 8, len(HELLO) - 1])
def test_an_end_inside_a_frame_is_a_lost_connection(run, recorder, raw_peer, cut):
    near, far = raw_peer

    async def main():
        receiver = recorder()
        await host_end(near, receiver)
        far.sendall(HELLO[:cut])
        far.shutdown(socket.SHUT_WR)
        error = await receiver.lost()
        assert isinstance(error, ConnectionLost)
        assert "inside a frame" in str(error)

    run(main())


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda records: records[:-1] + b"\xff", "record 1 was damaged on its way"),
        (lambda records: records[:-1], "the connection ended inside a frame"),
    ],
)
def test_a_record_that_does_not_arrive_as_it_was_sent_is_a_lost_connection(
    run, recorder, raw_peer, damage, text
):
    near, far = raw_peer

    async def main():
        receiver = recorder()
        await asyncio.get_running_loop().create_connection(
            lambda: StreamLink(
                receiver, Conversation(Role.HOST, None), where="a peer", is_checked=True
            ),
            sock=near,
        )
        writer = RecordWriter()
        words = encode_all([Frame(0, Goodbye("why"))])
        far.sendall(damage(b"".join([*writer.seal([HELLO]), *writer.seal(words)])))
        far.shutdown(socket.SHUT_WR)
        error = await receiver.lost()
        assert isinstance(error, ConnectionLost)
        assert str(error).endswith(text)

    run(main())


def test_a_reset_is_a_lost_connection(run, recorder):
    async def main():
        receiver = recorder()
        with socket.create_server(("127.0.0.1", 0)) as server:
            near = socket.create_connection(server.getsockname())
            far, _ = server.accept()
        await host_end(near, receiver)
        far.sendall(HELLO)
        await receiver.received(1)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        error = await receiver.lost()
        assert isinstance(error, ConnectionLost)
        assert "broke" in str(error)

    run(main())


def test_an_end_of_stream_is_answered_with_what_is_unsent(run, recorder, raw_peer):
    near, far = raw_peer

    async def main():
        receiver = recorder()
        link = await host_end(near, receiver)
        far.sendall(HELLO)
        await receiver.received(1)
        link.send([WELCOME])
        link.send([Frame(0, BeginJob("job", JobSpec(arg=["x" * 60_000])))] * 50)
        unsent = link.unsent_bytes
        assert unsent > 0
        far.shutdown(socket.SHUT_WR)
        loop, size = asyncio.get_running_loop(), 0
        while data := await loop.sock_recv(far, 1 << 20):
            size += len(data)
        assert size > 50 * 60_000
        assert await receiver.lost() is None

    run(main())


def test_a_peer_that_does_not_greet_is_dropped(run, recorder, raw_peer):
    near, far = raw_peer

    async def main():
        receiver = recorder()
        await asyncio.get_running_loop().create_connection(
            lambda: StreamLink(
                receiver, Conversation(Role.HOST, None), where="there", greeting_timeout_s=0.05
            ),
            sock=near,
        )
        far.sendall(HELLO[:-1])
        error = await receiver.lost()
        assert isinstance(error, ConnectionLost)
        assert str(error) == "there did not greet within 0.05 s"

    run(main())


def test_a_peer_that_greeted_is_not_dropped_while_the_host_thinks(run, recorder, raw_peer):
    near, far = raw_peer

    async def main():
        receiver = recorder()
        link = await host_end(near, receiver)
        far.sendall(HELLO)
        await receiver.received(1)
        link._greeting_missed()  # what the timer does
        link.send([WELCOME])
        link._greeting_missed()
        assert await asyncio.get_running_loop().sock_recv(far, 1)
        assert not link.is_closed
        link.abort()
        assert await receiver.lost() is None

    run(main())


def test_a_closing_link_waits_only_so_long_for_its_peer(run, recorder, raw_peer, monkeypatch):
    near, far = raw_peer
    monkeypatch.setattr(limits, "LINGER_S", 0.05)

    async def main():
        receiver = recorder()
        link = await host_end(near, receiver)
        far.sendall(HELLO)
        await receiver.received(1)
        link.send([WELCOME])
        link.send([Frame(0, BeginJob("job", JobSpec(arg=["x" * 60_000])))] * 50)
        link.close(Frame(0, Goodbye("bye")))
        assert link.unsent_bytes > 0
        assert await receiver.lost() is None  # far reads nothing, and never closes

    run(main())


def test_a_workers_socketpair_needs_no_hello(run, recorder, raw_peer):
    near, far = raw_peer

    async def main():
        receiver = recorder()
        talk = Conversation(Role.LAUNCHER, Role.WORKER)
        link = await attach(near, receiver, talk, name="laptop-000")
        link.send([Frame(0, BeginJob("job", JobSpec()))])
        far.sendall(b"".join(encode_all([Frame(0, WorkerReady(1, 3, ["luajit"]))])))
        (frame,) = await receiver.received(1)
        assert isinstance(frame.message, WorkerReady)
        assert link.peer == "laptop-000"
        link.abort()
        await receiver.lost()

    run(main())


# -- heartbeats ----------------------------------------------------------------------------------


def test_a_peer_that_stands_still_is_lost_and_one_that_is_there_is_not(
    run, recorder, raw_peer, monkeypatch
):
    monkeypatch.setattr(limits, "HEARTBEAT_INTERVAL_S", 0.02)
    near, far = raw_peer
    beat = b"".join(encode_all([Frame(0, Heartbeat())]))

    async def main():
        loop = asyncio.get_running_loop()
        receiver = recorder()
        link = await host_end(near, receiver)
        far.sendall(HELLO)
        await receiver.received(1)
        link.send([WELCOME])
        heard = b""
        while heard.count(beat) < 3 * limits.SILENT_BEATS_MAX:  # and says as much itself
            heard += await loop.sock_recv(far, 1_000)
            far.sendall(beat)
        assert not receiver.losses
        error = await receiver.lost()
        assert isinstance(error, ConnectionLost)
        assert str(error) == "n (peer): nothing was heard for 0.08 s"
        assert len(receiver.frames) == 1, "no heartbeat among them"

    run(main())


def test_idle_ends_stay_together_by_their_heartbeats(run, greeted, monkeypatch):
    monkeypatch.setattr(limits, "HEARTBEAT_INTERVAL_S", 0.01)

    async def main():
        ends = await greeted()
        links = [link for link in (ends.a, ends.b) if isinstance(link, StreamLink)]
        counts = [link.received_count for link in links]
        for link, count in zip(links, counts, strict=True):
            beats = 2 * limits.SILENT_BEATS_MAX
            while link.received_count < count + beats:  # noqa: ASYNC110 - nobody tells of a beat
                await asyncio.sleep(0.01)
        assert not ends.launcher.losses
        assert not ends.host.losses
        assert not ends.launcher.frames
        assert not ends.host.frames

    run(main())
