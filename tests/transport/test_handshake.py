"""Who fails in the TLS handshake hears of it, and is told of once."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import ssl
import weakref

import pytest

from midas_mp import limits
from midas_mp.errors import PeerRefused
from midas_mp.join.identity import Identity
from midas_mp.join.tls import host_context, peer_context
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.handshake import Handshake, failed
from midas_mp.transport.joining import Badge
from midas_mp.transport.reception import Entry
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.joining import Key
from midas_mp.wire.messages import Role

KEY = Key.of(b"k" * 32)


class Site:
    """A host that wants certificates, and a peer that shows one, or none."""

    def __init__(self, recorder, keyring, folder):
        self._recorder = recorder
        self._folder = folder
        identity = self._identity("host")
        self._fingerprint = identity.fingerprint()
        context = host_context(identity, folder / "ca.pem")
        self._entry = Entry(tokens=keyring(KEY), tls=context, certificate=self._fingerprint)
        self.told = []
        self._told_something = asyncio.Event()

    async def __aenter__(self):
        self._listener = await tcp.listen(
            Address(port=0),
            lambda: (self._recorder(), Conversation(Role.HOST, None)),
            entry=self._entry,
            turned_away=self._tell,
        )
        self.address = self._listener.address
        return self

    async def __aexit__(self, *_):
        self._listener.close()

    def _identity(self, name):
        return Identity(self._folder / f"{name}.pem", self._folder / f"{name}.key")

    def _tell(self, text):
        self.told.append(text)
        self._told_something.set()

    async def complaint(self):
        await self._told_something.wait()
        (text,) = self.told
        return text

    def context(self, name):
        return peer_context(self._identity(name) if name else None, None)

    async def dial(self, name):
        badge = Badge(KEY, self.context(name), self._fingerprint)
        return await tcp.connect(
            self.address, self._recorder(), Conversation(Role.CLIENT, Role.HOST), badge=badge
        )


@pytest.mark.parametrize(
    ("name", "of_peer", "of_host"),
    [
        (None, "wants a certificate", "showed no certificate"),
        ("stranger", "does not trust the certificate's authority", "cannot be verified"),
        ("expired", "finds that the certificate has expired", "certificate has expired"),
    ],
)
def test_both_sides_know_what_is_wrong_with_the_peers_certificate(  # noqa: PLR0917 - cases
    run, recorder, keyring, site, name, of_peer, of_host
):
    async def main():
        async with Site(recorder, keyring, site) as host:
            with pytest.raises(PeerRefused, match=of_peer):
                await host.dial(name)
            assert of_host in await host.complaint()

    run(main())


def test_a_good_certificate_is_let_in(run, recorder, keyring, site):
    async def main():
        async with Site(recorder, keyring, site) as host:
            (await host.dial("node")).abort()
            assert host.told == []

    run(main())


class Stranger:
    """A peer of the host's that does its part of the handshake by hand."""

    def __init__(self, context):
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out)

    async def meet(self, address):
        self._reader, self._writer = await asyncio.open_connection(address.host, address.port)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._writer.write(self._out.read())
                self._in.write(await self._reader.read(65_536))
            else:
                self.say(b"")
                return

    def say(self, data):
        if data:
            self._tls.write(data)
        self._writer.write(self._out.read())

    async def heard(self):
        """What OpenSSL made of all that came until the host hung up."""
        self._in.write(await self._reader.read())
        self._writer.close()
        with pytest.raises(ssl.SSLError) as caught:
            self._tls.read()
        return caught.value.reason


def test_who_does_not_hang_up_is_cut_off_in_time_and_told_of_once(
    run, recorder, keyring, site, monkeypatch
):
    monkeypatch.setattr(limits, "GREETING_TIMEOUT_S", 0.3)

    async def main():
        async with Site(recorder, keyring, site) as host:
            stranger = Stranger(host.context(None))
            await stranger.meet(host.address)
            assert await stranger.heard() == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
            assert "showed no certificate" in await host.complaint()

    run(main())


def test_who_goes_on_in_spite_of_it_is_cut_off(run, recorder, keyring, site):
    async def main():
        async with Site(recorder, keyring, site) as host:
            stranger = Stranger(host.context(None))
            await stranger.meet(host.address)
            await host.complaint()
            stranger.say(b"let me in")
            assert await stranger.heard() == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
            assert "showed no certificate" in await host.complaint()

    run(main())


@pytest.fixture
def begun(site):
    """A host's end of a handshake, where bytes come that are none."""
    context = host_context(Identity(site / "host.pem", site / "host.key"), None)
    incoming = ssl.MemoryBIO()
    handshake = context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)
    assert isinstance(handshake, Handshake)
    with pytest.raises(ssl.SSLWantReadError):
        handshake.do_handshake()
    incoming.write(b"GET / HTTP/1.1\r\n\r\n")
    return [handshake]


def test_where_nobody_is_told_it_fails_as_ever(begun):
    with pytest.raises(ssl.SSLError) as caught:
        begun[0].do_handshake()
    assert caught.value.reason == "HTTP_REQUEST"


def fail(handshake):
    """As in the task that accepts a connection; what it tells."""
    told = []
    failed.set(lambda error: told.append(error.reason))
    with contextlib.suppress(ssl.SSLWantReadError):
        handshake.do_handshake()
    return told


def test_what_has_failed_is_freed_at_once(begun):
    """A storm of them would fill the memory before the garbage collector looks."""
    gc.disable()
    try:
        assert contextvars.copy_context().run(fail, begun[0]) == ["HTTP_REQUEST"]
        gone = weakref.ref(begun.pop())
        assert gone() is None
    finally:
        gc.enable()
