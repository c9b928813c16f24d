"""Whoever says nothing, or says it slowly, costs little, and keeps nobody else out."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time

import pytest

from midas_mp import limits
from midas_mp.errors import ConnectionLost, PeerRefused, ProtocolError
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.joining import Badge
from midas_mp.transport.reception import Entry
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame, encode
from midas_mp.wire.joining import Joiner, Key, Word, WordReader, denial
from midas_mp.wire.messages import PROTOCOL_VERSION, Hello, Role
from midas_mp.wire.records import RecordWriter

KEY = Key.of(b"k" * 32)
OTHER = Key.of(b"o" * 32)


class Site:
    """A host that lets in who knows a key, and strangers at its door."""

    def __init__(self, recorder, entry):
        self.told = []
        self.told_something = asyncio.Event()
        self._recorder = recorder
        self._entry = entry
        self.strangers = []

    async def __aenter__(self):
        self.listener = await tcp.listen(
            Address(port=0),
            lambda: (self._recorder(), Conversation(Role.HOST, None)),
            entry=self._entry,
            turned_away=self._tell,
        )
        return self

    async def __aexit__(self, *_):
        self.listener.close()
        for sock in self.strangers:
            sock.close()

    def _tell(self, text):
        self.told.append(text)
        self.told_something.set()

    @property
    def reception(self):
        return self.listener._reception

    async def strange(self, said=b""):
        """One that says this and no more."""
        sock = socket.socket()
        sock.setblocking(False)
        self.strangers.append(sock)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (self.listener.address.host, self.listener.address.port))
        if said:
            await loop.sock_sendall(sock, said)
        return sock

    async def join(self, badge=Badge(KEY)):  # noqa: B008 - a constant
        caller = self._recorder()
        conversation = Conversation(Role.CLIENT, Role.HOST)
        link = await tcp.connect(self.listener.address, caller, conversation, badge=badge)
        link.abort()
        await caller.lost()


async def ended(sock):
    """Whether the host has hung up, and what it said before."""
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        while data := await asyncio.get_running_loop().sock_recv(sock, 65_536):
            heard += data
    return heard


@pytest.fixture
def entry(keyring):
    return Entry(local=keyring(KEY))


SLOW = [b"mi", b"midas", b"midas\x01\x10", b"\x16", b"\x16\x03\x01\x00\xa5\x01\x00"]


@pytest.mark.parametrize("said", [b"", *SLOW])
def test_who_does_not_go_on_is_cut_off(  # noqa: PLR0917 - fixtures
    run, recorder, keyring, tls, monkeypatch, said
):
    monkeypatch.setattr(limits, "GREETING_TIMEOUT_S", 0.3)
    entry = Entry(keyring(KEY), keyring(KEY), tls.host(), tls.fingerprint)

    async def main():
        async with Site(recorder, entry) as site:
            sock = await site.strange(said)
            await ended(sock)
            assert site.reception.arrival_count == 0
            (text,) = site.told
            assert text.endswith("did not greet within 0.3 s")
            await site.join()

    run(main())


def test_who_comes_and_goes_is_not_worth_a_word(run, recorder, entry):
    async def main():
        async with Site(recorder, entry) as site:
            (await site.strange()).close()
            await site.join()
            await site.join()
            assert site.told == []
            assert site.reception.arrival_count == 0

    run(main())


def test_noise_is_told_and_answered_with_nothing(run, recorder, entry):
    async def main():
        async with Site(recorder, entry) as site:
            sock = await site.strange(b"GET / HTTP/1.1\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            assert await ended(sock) == b""
            (text,) = site.told
            assert text.endswith("was refused: what it said is not Midas' protocol")

    run(main())


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "what it said is not Midas' protocol"),
        (Joiner(OTHER, Role.CLIENT, release="0", nonce=b"n" * 32).opening, "knows no token"),
    ],
)
def test_who_is_refused_and_does_not_hang_up_is_told_of_once(  # noqa: PLR0917 - fixtures and cases
    run, recorder, entry, monkeypatch, said, reason
):
    monkeypatch.setattr(limits, "GREETING_TIMEOUT_S", 0.3)

    async def main():
        async with Site(recorder, entry) as site:
            await site.strange(said)
            await site.told_something.wait()
            assert site.reception.arrival_count == 1
            await asyncio.sleep(limits.GREETING_TIMEOUT_S)  # its time ends before this does
            assert site.reception.arrival_count == 0
            (text,) = site.told
            assert reason in text

    run(main())


def test_a_record_that_looks_nearly_like_tls_is_one(run, recorder):
    hello = b"".join(encode(Frame(0, Hello(PROTOCOL_VERSION, Role.CLIENT, "x", "ab", "me"))))
    record = b"".join(RecordWriter().seal([hello.ljust(0x0316, b"\0")]))
    assert record.startswith(b"\x16\x03\x00")

    async def main():
        heard = recorder()
        listener = await tcp.listen(
            Address(port=0), lambda: (heard, Conversation(Role.HOST, None)), turned_away=print
        )
        sock = socket.socket()
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (listener.address.host, listener.address.port))
        await loop.sock_sendall(sock, record)
        assert isinstance(await heard.lost(), ProtocolError)  # as what follows Hello is none
        sock.close()
        listener.close()

    run(main())


def test_one_too_many_takes_the_place_of_the_oldest(run, recorder, entry, monkeypatch):
    monkeypatch.setattr(limits, "ARRIVALS_PER_ADDRESS_MAX", 10)

    async def main():
        async with Site(recorder, entry) as site:
            socks = [await site.strange() for _ in range(15)]
            for sock in socks[:5]:
                await ended(sock)
            await site.join()
            await ended(socks[5])
            assert site.reception.arrival_count == 9
            assert all(text.endswith("too many come and do not greet") for text in site.told)
            for sock in socks[6:]:
                with pytest.raises(BlockingIOError):
                    sock.recv(1)

    run(main())


def test_who_was_about_to_join_is_told_that_there_is_no_room(run, recorder, entry, monkeypatch):
    monkeypatch.setattr(limits, "ARRIVALS_PER_ADDRESS_MAX", 1)
    opening = Joiner(KEY, Role.CLIENT, release="1", nonce=bytes(32)).opening

    async def main():
        async with Site(recorder, entry) as site:
            sock = await site.strange(opening)
            challenge = await asyncio.get_running_loop().sock_recv(sock, 65_536)
            await site.strange()
            reader = WordReader()
            reader.feed(challenge + await ended(sock))
            assert [reader.next()[0], reader.next()[0]] == [Word.CHALLENGE, Word.DENIAL]

    run(main())


@pytest.mark.parametrize("code", ["busy", "token"])
def test_who_finds_no_room_comes_again(run, recorder, code):
    async def deny(reader, writer):
        await reader.read(1)
        writer.write(denial(code, "not now"))
        writer.close()

    async def main():
        server = await asyncio.start_server(deny, "127.0.0.1", 0)
        address = Address(*server.sockets[0].getsockname())
        with pytest.raises(ConnectionLost if code == "busy" else PeerRefused, match="not now"):
            await tcp.connect(
                address, recorder(), Conversation(Role.CLIENT, Role.HOST), badge=Badge(KEY)
            )
        server.close()
        await server.wait_closed()

    run(main())


def test_of_several_addresses_the_one_with_most_gives_way(run, recorder, entry, monkeypatch):
    monkeypatch.setattr(limits, "ARRIVALS_MAX", 10)

    async def main():
        async with Site(recorder, entry) as site:
            loop = asyncio.get_running_loop()
            where = (site.listener.address.host, site.listener.address.port)
            lonely = socket.socket()
            site.strangers.append(lonely)
            lonely.bind(("127.0.0.2", 0))
            lonely.setblocking(False)
            await loop.sock_connect(lonely, where)
            socks = [await site.strange() for _ in range(12)]
            for sock in socks[:3]:
                await ended(sock)
            with pytest.raises(BlockingIOError):
                lonely.recv(1)

    run(main())


def test_closing_it_ends_those_that_were_not_through(run, recorder, entry):
    async def main():
        async with Site(recorder, entry) as site:
            silent, slow = await site.strange(), await site.strange(b"midas\x01")
            await site.join()
            site.listener.close()
            site.listener.close()
            await ended(silent)
            await ended(slow)

    run(main())


def test_only_this_machine_comes_in_plain(run, recorder, entry, monkeypatch):
    monkeypatch.setattr("ipaddress.IPv4Address.is_loopback", False)

    async def main():
        async with Site(recorder, entry) as site:
            with pytest.raises(PeerRefused, match="from other machines"):
                await site.join()

    run(main())


def test_a_process_that_may_open_no_more_files_goes_on_when_it_can(run, recorder, entry):
    async def main():
        async with Site(recorder, entry) as site:
            await site.join()
            before = resource.getrlimit(resource.RLIMIT_NOFILE)
            taken = []
            try:
                waiting = [await site.strange() for _ in range(3)]
                late = socket.socket()
                late.setblocking(False)
                site.strangers.append(late)
                resource.setrlimit(resource.RLIMIT_NOFILE, (late.fileno() + 1, before[1]))
                with contextlib.suppress(OSError):
                    while True:
                        taken.append(socket.socket())
                where = (site.listener.address.host, site.listener.address.port)
                late.connect_ex(where)
                await ended(waiting[0])  # it made room
                assert "cannot accept connections" in site.told[0]
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
                for sock in taken:
                    sock.close()
            await site.join()

    run(main())


def test_thousands_of_silent_and_slow_ones_keep_nobody_out(run, recorder, entry):
    """3,000 silent and 1,000 slow ones, as far as this process may open files (two for each)."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    share = min(1.0, (allowed - 200) / 8_000)

    async def main():
        async with Site(recorder, entry) as site:
            silent = [await site.strange() for _ in range(int(3_000 * share))]
            slow = [await site.strange(SLOW[0]) for _ in range(int(1_000 * share))]
            began_s = time.monotonic()
            async with asyncio.timeout(2 + limits.GREETING_TIMEOUT_S):
                await site.join()
            joined_s = time.monotonic() - began_s
            assert site.reception.arrival_count <= limits.ARRIVALS_PER_ADDRESS_MAX
            async with asyncio.timeout(2 * limits.GREETING_TIMEOUT_S + 5):
                for sock in (*silent, *slow):
                    await ended(sock)
            assert site.reception.arrival_count == 0
            assert len(site.told) < 4 * limits.TURNED_AWAY_BURST
            evicted_s = time.monotonic() - began_s
            figures = (
                f"{len(silent)} silent and {len(slow)} slow ones were gone after {evicted_s:.1f} s,"
                f" an honest one was in after {joined_s:.3f} s"
            )
            print(figures)  # noqa: T201

    run(main())
