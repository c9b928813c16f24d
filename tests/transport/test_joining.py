"""Both ends of a connection prove themselves, in plain and over TLS, or are told why not."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl

import pytest

from midas_mp.errors import ConnectionLost, HostUnreachable, PeerRefused, ProtocolError
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.joining import Badge, tls_failure, tls_reason
from midas_mp.transport.reception import Entry
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.joining import Key
from midas_mp.wire.messages import PROTOCOL_VERSION, Goodbye, Hello, Role, TaskPrinted, Welcome

KEY = Key.of(b"k" * 32)
OTHER = Key.of(b"o" * 32)
HELLO = Frame(0, Hello(PROTOCOL_VERSION, Role.CLIENT, "0.1", "ab", "me"))
WELCOME = Frame(0, Welcome(PROTOCOL_VERSION, "0.1", "me", 0))


class Site:
    """A host that listens with an entry, and what became of those who came."""

    def __init__(self, recorder, entry):
        self.receiver = recorder()
        self.links = []
        self.receiver.react = lambda link, frames: self.links.append(link)
        self.told = []
        self.told_something = asyncio.Event()
        self._entry = entry

    async def __aenter__(self):
        self._listener = await tcp.listen(
            Address(port=0),
            lambda: (self.receiver, Conversation(Role.HOST, None)),
            entry=self._entry,
            turned_away=self.tell,
        )
        self.address = self._listener.address
        return self

    async def __aexit__(self, *_):
        self._listener.close()
        for link in self.links:
            link.abort()
            await self.receiver.lost()

    def tell(self, text):
        self.told.append(text)
        self.told_something.set()

    async def complaint(self):
        await self.told_something.wait()
        (text,) = self.told
        return text

    async def dial(self, caller, badge, role=Role.CLIENT, **options):
        conversation = Conversation(role, Role.HOST)
        return await tcp.connect(self.address, caller, conversation, badge=badge, **options)


@pytest.fixture
def plain(keyring):
    """How a host is entered and by what, in plain and over TLS."""
    return lambda host_key=KEY, peer_key=KEY: (Entry(local=keyring(host_key)), Badge(peer_key))


@pytest.fixture
def secured(keyring, tls):
    def make(host_key=KEY, peer_key=KEY, **changes):
        entry = Entry(tokens=keyring(host_key), tls=tls.host(), certificate=tls.fingerprint)
        badge = Badge(peer_key, tls.peer(), tls.fingerprint)
        return entry, badge._replace(**changes)

    return make


@pytest.fixture(params=["plain", "secured"])
def way(request):
    return request.getfixturevalue(request.param)


def test_both_prove_themselves_and_talk(run, recorder, way):
    entry, badge = way()

    async def main():
        caller = recorder()
        async with Site(recorder, entry) as site:
            link = await site.dial(caller, badge)
            link.send([HELLO])
            await site.receiver.received(1)
            assert site.links[0].conversation.proven_role is Role.CLIENT
            site.links[0].send([WELCOME])
            assert (await caller.received(1))[0].message == WELCOME.message
            link.close(Frame(0, Goodbye("done")))
            assert await caller.lost() is None
            assert await site.receiver.lost() is None
            assert site.receiver.frames[-1].message == Goodbye("done")
            assert site.told == []

    run(main())


@pytest.mark.parametrize("may_manage", [True, False])
def test_what_a_peer_may_manage_its_token_says(run, recorder, secured, may_manage):
    entry, badge = secured(host_key=KEY._replace(may_manage=may_manage))

    async def main():
        async with Site(recorder, entry) as site:
            link = await site.dial(recorder(), badge)
            link.send([HELLO])
            await site.receiver.received(1)
            conversation = site.links[0].conversation
            assert (conversation.token, conversation.may_manage) == (KEY.id, may_manage)

    run(main())


def test_who_is_of_the_hosts_own_user_may_manage_all_and_has_no_token(run, recorder, plain):
    entry, badge = plain()

    async def main():
        async with Site(recorder, entry) as site:
            link = await site.dial(recorder(), badge)
            link.send([HELLO])
            await site.receiver.received(1)
            conversation = site.links[0].conversation
            assert (conversation.token, conversation.may_manage) == ("", True)

    run(main())


def test_what_is_large_arrives_whole_both_ways(run, recorder, secured):
    entry, badge = secured()
    data = bytes(range(256)) * 4_000

    async def main():
        caller = recorder()
        async with Site(recorder, entry) as site:
            link = await site.dial(caller, badge, Role.LAUNCHER)
            said = Hello(PROTOCOL_VERSION, Role.LAUNCHER, "0.1", "ab", "me")
            link.send([Frame(0, said)])
            await site.receiver.received(1)
            site.links[0].send([WELCOME])
            await caller.received(1)
            printed = Frame(1, TaskPrinted("job", 0, 0, "w"), [data])
            link.send([printed])
            frames = await site.receiver.received(2)
            assert bytes(frames[1].buffers[0]) == data
            link.close()
            assert await caller.lost() is None

    run(main())


def test_last_words_reach_a_peer_that_is_still_talking(run, recorder, way):
    entry, badge = way()

    async def main():
        caller = recorder()
        async with Site(recorder, entry) as site:

            def hang_up(link, _frames):
                if not site.links:
                    site.links.append(link)
                    link.send([WELCOME])
                    link.close(Frame(0, Goodbye("enough")))

            site.receiver.react = hang_up
            link = await site.dial(caller, badge, Role.LAUNCHER)
            link.send([Frame(0, Hello(PROTOCOL_VERSION, Role.LAUNCHER, "0.1", "ab", "me"))])
            await caller.received(1)
            link.send([Frame(1, TaskPrinted("job", 0, 0, "w"), [bytes(300_000)])])
            assert (await caller.received(2))[1].message == Goodbye("enough")
            link.close()
            await caller.lost()
            await site.receiver.lost()

    run(main())


def test_an_unknown_key_is_refused_with_a_reason_on_both_sides(run, recorder, way):
    entry, badge = way(peer_key=OTHER)

    async def main():
        async with Site(recorder, entry) as site:
            with pytest.raises(PeerRefused, match=f"knows no token {OTHER.id}") as caught:
                await site.dial(recorder(), badge)
            assert caught.value.refusal == "token"
            text = await site.complaint()
            assert f"was refused: this host knows no token {OTHER.id}" in text
            assert text.startswith("127.0.0.1:")
            assert site.receiver.frames == []

    run(main())


def test_a_host_that_does_not_know_the_secret_hears_no_frame(run, recorder, way):
    entry, badge = way(host_key=Key(KEY.id, OTHER.secret))

    async def main():
        async with Site(recorder, entry) as site:
            with pytest.raises(PeerRefused, match="does not know the secret"):
                await site.dial(recorder(), badge)
            assert "the peer does not trust this host" in await site.complaint()
            assert site.receiver.frames == []

    run(main())


def test_another_certificate_is_refused_before_a_word_is_said(run, recorder, secured):
    entry, badge = secured(certificate=b"x" * 32)

    async def main():
        async with Site(recorder, entry) as site:
            with pytest.raises(PeerRefused, match="is not the one that this token names"):
                await site.dial(recorder(), badge)
            assert (
                "certificate is not the one that the peer's token names" in await site.complaint()
            )

    run(main())


def test_tls_at_a_plain_host_has_a_reason_on_both_sides(run, recorder, plain, secured):
    entry, badge = plain()[0], secured()[1]

    async def main():
        async with Site(recorder, entry) as site:
            with pytest.raises(PeerRefused, match="listens there without TLS"):
                await site.dial(recorder(), badge)
            assert "it speaks TLS, which this host does not" in await site.complaint()

    run(main())


def test_no_tls_at_a_host_that_wants_it_has_a_reason_on_both_sides(run, recorder, plain, secured):
    entry, badge = secured()[0], plain()[1]

    async def main():
        async with Site(recorder, entry) as site:
            with pytest.raises(PeerRefused, match="only who has a token"):
                await site.dial(recorder(), badge)
            assert "only who has a token" in await site.complaint()

    run(main())


def test_who_proves_nothing_is_told_so_where_proof_is_wanted(run, recorder, way):
    entry, _ = way()

    async def main():
        caller = recorder()
        async with Site(recorder, entry) as site:
            link = await site.dial(caller, None)
            link.send([HELLO])
            (frame,) = await caller.received(1)
            assert "leave --insecure out" in frame.message.reason
            link.close()
            await caller.lost()
            assert "it proves nothing" in await site.complaint()
            assert site.receiver.frames == []

    run(main())


def test_who_wants_proof_is_told_where_there_is_none(run, recorder, plain):
    _, badge = plain()

    async def main():
        async with Site(recorder, Entry(is_open=True)) as site:
            with pytest.raises(PeerRefused, match="say --insecure too"):
                await site.dial(recorder(), badge)
            assert "--insecure" in await site.complaint()

    run(main())


def test_who_is_cut_off_behind_the_tls_handshake_blames_nobody(run, recorder, secured, tls):
    """A crowded host does so, a proxy that is restarted, or a host that wants a certificate."""
    _, badge = secured()

    async def cut(_reader, writer):
        writer.transport.abort()

    async def main():
        server = await asyncio.start_server(cut, "127.0.0.1", 0, ssl=tls.host())
        address = Address(*server.sockets[0].getsockname())
        with pytest.raises(ConnectionLost, match="hung up before it let us in"):
            await tcp.connect(
                address, recorder(), Conversation(Role.CLIENT, Role.HOST), badge=badge
            )
        server.close()
        await server.wait_closed()

    run(main())


def test_tls_that_does_not_end_with_a_host_is_no_host(run, recorder, secured):
    _, badge = secured()

    async def answer(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = Address(*server.sockets[0].getsockname())
        with pytest.raises(PeerRefused, match="does not speak TLS"):
            await tcp.connect(
                address, recorder(), Conversation(Role.CLIENT, Role.HOST), badge=badge
            )
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize(
    ("said", "error", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", ProtocolError, "does not answer like a Midas host"),
        (b"", ConnectionLost, "hung up before it let us in"),
        (None, HostUnreachable, "said nothing within 0.3 s"),
    ],
)
def test_what_is_no_host_is_told_from_one_in_time(  # noqa: PLR0917 - cases
    run, recorder, plain, said, error, sentence
):
    _, badge = plain()

    finished = []

    async def answer(reader, writer):
        await reader.read(1)
        if said is None:
            await reader.read()
        else:
            writer.write(said)
        writer.close()
        finished[0].set_result(None)

    async def main():
        finished.append(asyncio.get_running_loop().create_future())
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = Address(*server.sockets[0].getsockname())
        with pytest.raises(error, match=sentence):
            await tcp.connect(
                address,
                recorder(),
                Conversation(Role.CLIENT, Role.HOST),
                badge=badge,
                timeout_s=5 if said is not None else 0.3,
            )
        await finished[0]
        server.close()
        await server.wait_closed()

    run(main())


def test_openssl_speaks_so_that_people_understand():
    error = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] …")
    assert tls_reason(error) == "the connection ended"
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    assert tls_reason(error) == "the host wants a certificate (--tls-cert)"
    error.reason = "SOMETHING_NEW"
    assert tls_reason(error) == "something new"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", PeerRefused),
        ("SSLV3_ALERT_BAD_CERTIFICATE", PeerRefused),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", PeerRefused),
        ("TLSV1_ALERT_PROTOCOL_VERSION", PeerRefused),
        ("WRONG_VERSION_NUMBER", PeerRefused),
        ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", ConnectionLost),
        ("SSLV3_ALERT_BAD_RECORD_MAC", ConnectionLost),
        ("UNEXPECTED_EOF_WHILE_READING", ConnectionLost),
        ("TLSV1_ALERT_INTERNAL_ERROR", ConnectionLost),
    ],
)
def test_a_verdict_is_final_and_a_bad_line_is_not(reason, kind):
    error = ssl.SSLError(1, "…")
    error.reason = reason
    told = tls_failure("host:1", error)
    assert type(told) is kind
    assert str(told).startswith("TLS with host:1 failed: ")


def carry(listening, there):
    """Another user, who stands between a peer and its host and passes on what both say."""
    os.setuid(4711)
    near, _ = listening.accept()
    far = socket.create_connection(there)
    for source, target in ((near, far), (far, near), (near, far)):
        data = source.recv(65_536)
        target.sendall(data)
        if not data:
            break


def end(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("who", ["the host", "the peer"])
def test_another_user_in_between_is_noticed_by_both(run, recorder, plain, monkeypatch, who):
    entry, badge = plain()
    if who == "the peer":  # as long as the host is asked by the other one it lets nobody in
        monkeypatch.setattr("midas_mp.transport.reception.foreign_owner", lambda *_: None)

    async def main():
        async with Site(recorder, entry) as site:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                child = os.fork()
                if child == 0:
                    try:
                        carry(listening, (site.address.host, site.address.port))
                    finally:
                        os._exit(0)
                address = Address(*listening.getsockname())
                sentence = "this one is another's" if who == "the host" else "who stands between"
                with pytest.raises(PeerRefused, match=sentence):
                    await tcp.connect(
                        address, recorder(), Conversation(Role.CLIENT, Role.HOST), badge=badge
                    )
            end(child)
            assert site.receiver.frames == []

    run(main())
