"""Who holds up others by being slower than any network is cut off; who is stopped is not."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref

import pytest

from midas_mp import limits
from midas_mp.errors import ConnectionLost
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.flow import FlowWatch
from midas_mp.transport.joining import Badge
from midas_mp.transport.reception import Entry
from midas_mp.transport.stream import StreamLink
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame, encode
from midas_mp.wire.joining import Key
from midas_mp.wire.messages import PROTOCOL_VERSION, Hello, Role, TaskPrinted, Welcome
from midas_mp.wire.records import RecordWriter

LOOK_S = limits.FLOW_INTERVAL_S
LEAST = limits.FLOW_BYTES_MIN

HELLO = Frame(0, Hello(PROTOCOL_VERSION, Role.CLIENT, "0", "ab", "slow"))
TEXT = Frame(0, TaskPrinted("j", 0, 0, "w"), [bytes(10**6)])


class Link:
    """Counts, and remembers why it was cut off."""

    def __init__(self):
        self.received_bytes = self.received_frames = self.written_bytes = self.unsent_bytes = 0
        self.is_inside_frame = False
        self.late_s = 0.0
        self.reasons = []
        self._loop = asyncio.get_running_loop()
        self.watch = FlowWatch(self, lambda s, act: self._loop.call_later(s + self.late_s, act))

    def cut_off(self, reason):
        self.reasons.append(reason)

    async def flow(self, *, sends=0, takes=0, frames=0, minutes=3):
        """So much in each minute."""
        for _ in range(minutes):
            await asyncio.sleep(LOOK_S)
            self.received_bytes += sends
            self.received_frames += frames
            self.unsent_bytes -= takes


def test_a_frame_that_trickles_in_is_not_waited_for(run_by_its_own_clock):
    async def main():
        link = Link()
        link.is_inside_frame = True
        await link.flow(sends=60)
        assert link.reasons == ["60 bytes of a frame came in 60 s"]

    run_by_its_own_clock(main())


@pytest.mark.parametrize(
    "case",
    [
        {"sends": LEAST},  # as slow as the slowest network
        {"sends": 0},  # stopped: who is silent is judged by the pulse
        {"sends": 9, "frames": 1},  # small frames, one after the other
    ],
)
def test_a_frame_is_waited_for_where_there_is_a_reason(run_by_its_own_clock, case):
    async def main():
        link = Link()
        link.is_inside_frame = True
        await link.flow(**case)
        assert link.reasons == []

    run_by_its_own_clock(main())


def test_few_bytes_between_frames_are_nobodys_fault(run_by_its_own_clock):
    async def main():
        link = Link()
        await link.flow(sends=9)
        assert link.reasons == []

    run_by_its_own_clock(main())


@pytest.mark.parametrize("takes", [0, 100])
def test_who_takes_nearly_nothing_of_what_waits_is_cut_off(run_by_its_own_clock, takes):
    async def main():
        link = Link()
        link.written_bytes = link.unsent_bytes = 10**6
        await link.flow(takes=takes)
        assert link.reasons == [f"it took {takes} bytes in 60 s, and more waits"]

    run_by_its_own_clock(main())


def test_who_takes_enough_or_all_is_not(run_by_its_own_clock):
    async def main():
        slow, quick = Link(), Link()
        slow.written_bytes = slow.unsent_bytes = 10**6
        await asyncio.gather(slow.flow(takes=LEAST), quick.flow(takes=0))
        assert slow.reasons == quick.reasons == []

    run_by_its_own_clock(main())


def test_who_stood_still_himself_blames_nobody(run_by_its_own_clock):
    async def main():
        link = Link()
        link.written_bytes = link.unsent_bytes = 10**6
        link.late_s = LOOK_S
        await link.flow(minutes=5)
        assert len(link.reasons) == 0
        link.late_s = 0.0
        await link.flow(minutes=4)
        assert len(link.reasons) == 1

    run_by_its_own_clock(main())


def test_a_link_that_has_ended_is_held_by_nobody(run_by_its_own_clock):
    async def main():
        link = Link()
        link.written_bytes = link.unsent_bytes = 10**6
        link.watch.close()
        link.watch.close()
        gone = weakref.ref(link)
        del link
        gc.collect()
        assert gone() is None

    run_by_its_own_clock(main())


class Receiver:
    """Of a host's end."""

    def __init__(self):
        self.lost = asyncio.get_running_loop().create_future()
        self.greeted = asyncio.Event()

    def frames_received(self, link, frames):
        for frame in frames:
            if isinstance(frame.message, Hello):
                link.send([Frame(0, Welcome(PROTOCOL_VERSION, "0", "slow", 0))])
                self.greeted.set()

    def link_lost(self, link, error):
        self.lost.set_result(error)


async def host_end(near, **options):
    near.setblocking(False)
    receiver = Receiver()
    talk = Conversation(Role.HOST, None)
    _, link = await asyncio.get_running_loop().create_connection(
        lambda: StreamLink(receiver, talk, where="peer", **options), sock=near
    )
    return receiver, link


@pytest.fixture
def greeting():
    writer = RecordWriter()
    return writer, b"".join(writer.seal(encode(HELLO)))


def test_a_client_that_sends_byte_by_byte_is_dropped(run, monkeypatch, greeting):
    monkeypatch.setattr(limits, "FLOW_INTERVAL_S", 0.1)

    async def main():
        near, far = socket.socketpair()
        receiver, _ = await host_end(near, is_remote=True, is_checked=True)
        writer, hello = greeting
        far.sendall(hello)
        frame = b"".join(writer.seal([b"\0" * 5_000]))
        for byte in frame:
            if receiver.lost.done():
                break
            far.send(bytes([byte]))
            await asyncio.sleep(0.01)
        error = await receiver.lost
        assert isinstance(error, ConnectionLost)
        assert "bytes of a frame came in 0.1 s" in str(error)
        far.close()

    run(main())


def test_a_process_of_ours_is_not_watched(run):
    async def main():
        near, far = socket.socketpair()
        receiver, link = await host_end(near, is_remote=False)
        assert link._flow is None
        link.abort()
        await receiver.lost
        far.close()

    run(main())


def test_a_client_that_reads_nothing_is_dropped(run, monkeypatch):
    monkeypatch.setattr(limits, "FLOW_INTERVAL_S", 0.05)

    async def main():
        near, far = socket.socketpair()
        receiver, link = await host_end(near, is_remote=True)
        far.sendall(b"".join(encode(HELLO)))
        await receiver.greeted.wait()
        link.send([TEXT] * 4)
        error = await receiver.lost
        assert isinstance(error, ConnectionLost)
        assert "it took 0 bytes in 0.05 s, and more waits" in str(error)
        far.close()

    run(main())


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_nobody_is_waited_for_who_came_to_an_address(run, monkeypatch, tls, keyring, is_encrypted):
    """What protects the bytes on their way says nothing of how many come."""
    monkeypatch.setattr(limits, "FLOW_INTERVAL_S", 0.1)
    key = Key.of(bytes(32))
    entry = Entry(keyring(key), keyring(key), tls.host(), tls.fingerprint)
    badge = Badge(key, tls.peer(), tls.fingerprint) if is_encrypted else Badge(key)

    async def main():
        host, peer = Receiver(), Receiver()
        listener = await tcp.listen(
            Address(port=0), lambda: (host, Conversation(Role.HOST, None)), entry=entry
        )
        link = await tcp.connect(
            listener.address, peer, Conversation(Role.CLIENT, Role.HOST), badge=badge
        )
        frame = encode(TEXT)
        for byte in b"".join(link._writer.seal(frame) if link._writer else frame):
            if host.lost.done():
                break
            link._transport.write(bytes([byte]))
            await asyncio.sleep(0.01)
        assert "bytes of a frame came in 0.1 s" in str(await host.lost)
        await peer.lost
        listener.close()

    run(main())
