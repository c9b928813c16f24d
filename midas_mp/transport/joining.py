"""Joining over a stream: both ends prove themselves, and then a link takes the stream over.

The protocol of a fresh connection is one of these two; once it has come to an end it makes the
link, hands it the transport and what came early, and is heard of no more.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple, cast

from midas_mp import __version__, limits
from midas_mp.errors import ConnectionLost, MidasError, PeerError, PeerRefused, ProtocolError
from midas_mp.transport.owner import foreign_owner
from midas_mp.transport.stream import StreamLink
from midas_mp.wire.joining import (
    NO_CERTIFICATE,
    NONCE_BYTES,
    Doorkeeper,
    Joiner,
    Key,
    Keyring,
    denial,
)
from midas_mp.wire.messages import Role

BUSY: Final = "busy"
"""The code of a denial that is about the host, not about the peer, who may come again."""


class Badge(NamedTuple):
    """What a peer shows to a host, and by what it knows the host.

    Attributes:
        key: the secret that both know.
        tls: for a connection over TLS; None is one in plain.
        certificate: fingerprint of the host's; None where ``tls`` verifies it.
    """

    key: Key
    tls: ssl.SSLContext | None = None
    certificate: bytes | None = None


class JoiningStream(asyncio.Protocol):
    """The peer's end.

    Args:
        badge: what it shows.
        role: what it is.
        where: the host's address, for people.
        make_link: makes what takes the stream over.

    Attributes:
        joined: done when the link has begun, or cannot; holds the link or the reason.
    """

    def __init__(
        self, badge: Badge, role: Role, where: str, make_link: Callable[[], StreamLink]
    ) -> None:
        self._badge = badge
        self._role = role
        self._where = where
        self._make_link = make_link
        self._transport: asyncio.Transport | None = None
        self._joiner: Joiner | None = None
        loop = asyncio.get_running_loop()
        self.joined: asyncio.Future[StreamLink] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        """Done when the connection is gone, and no link has come of it."""

    def close(self) -> None:
        """Gives up, if nothing has come of it."""
        if self._transport is not None and (not self.joined.done() or self.joined.cancelled()):
            self._transport.abort()
        self.joined.cancel()

    async def wait_ended(self) -> None:
        """Until last words are on their way and the connection is gone, which takes its time over
        TLS: who dialled may be about to end, and the loop with it.
        """
        if self._transport is not None:
            await asyncio.wait([self._ended], timeout=limits.LINGER_S)
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        shown = _fingerprint_shown(transport)
        if self._badge.certificate is not None and shown != self._badge.certificate:
            text = "its certificate is not the one that the peer's token names"
            self._transport.write(
                denial("certificate", f"the peer does not trust this host: {text}")
            )
            self._fail(
                PeerRefused(
                    f"the certificate of {self._where} is not the one that this token names: the "
                    "token is of another host, or somebody stands in between",
                    refusal="certificate",
                )
            )
            return
        self._joiner = Joiner(
            self._badge.key,
            self._role,
            release=__version__,
            nonce=os.urandom(NONCE_BYTES),
            certificate=shown,
        )
        self._transport.write(self._joiner.opening)

    def data_received(self, data: bytes) -> None:
        if self.joined.done() or self._joiner is None or self._transport is None:
            return
        try:
            answer = self._joiner.receive(data)
            if answer:
                self._check_owner()
        except ProtocolError as error:
            text = f"{self._where} does not answer like a Midas host: {error}"
            self._fail(ProtocolError(text))
            return
        except PeerError as error:
            self._transport.write(self._joiner.farewell)
            is_busy = isinstance(error, PeerRefused) and error.refusal == BUSY
            self._fail(ConnectionLost(f"{self._where}: {error}") if is_busy else error)
            return
        if answer:
            self._transport.write(answer)
        if self._joiner.is_done:
            link = self._make_link()
            self.joined.set_result(link)
            hand_over(self._transport, link, self._joiner.rest)

    def _check_owner(self) -> None:
        """The host has proved itself, but who has brought the proof?  Now that something came its
        end of the connection surely belongs to somebody.
        """
        assert self._transport is not None
        near, far = (self._transport.get_extra_info(name) for name in ("sockname", "peername"))
        user = foreign_owner(near, far) if self._badge.tls is None else None
        if user is not None:
            raise PeerRefused(
                f"what answers at {self._where} belongs to another user of this machine (uid "
                f"{user}), who stands between here and the host",
                refusal="user",
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.set_result(None)
        if self.joined.done():
            return
        if isinstance(exc, ssl.SSLError):
            self.joined.set_exception(tls_failure(self._where, exc))
        else:
            # A host that is crowded, frozen or restarting does so, or what stands in between.
            cause = f" ({exc})" if exc is not None else ""
            text = f"{self._where} hung up before it let us in{cause}"
            self.joined.set_exception(ConnectionLost(text))

    def _fail(self, error: MidasError) -> None:
        assert self._transport is not None
        self.joined.set_exception(error)
        self._transport.close()  # what was written is sent first


class AdmittingStream(asyncio.Protocol):
    """The host's end.

    Args:
        keyring: whom it lets in.
        certificate: fingerprint of the one that the host shows.
        make_link: makes what takes the stream over, for a peer of that role with that key.
        turned_away: told why a peer is not let in.
        ended: told when this is over, one way or the other.
    """

    def __init__(
        self,
        keyring: Keyring,
        certificate: bytes,
        *,
        make_link: Callable[[Role, Key], StreamLink],
        turned_away: Callable[[str], None],
        ended: Callable[[], None],
    ) -> None:
        self._keeper = Doorkeeper(keyring, nonce=os.urandom(NONCE_BYTES), certificate=certificate)
        self._make_link = make_link
        self._turned_away = turned_away
        self._ended = ended
        self._is_parting = False
        self._has_heard = False
        self._transport: asyncio.Transport | None = None

    def dismiss(self) -> bool:
        """Has to make room for others; whether it could be told."""
        if self._transport is None or self._is_parting:
            return False
        self._is_parting = True
        self._transport.write(denial(BUSY, "too many come at once; later there may be room"))
        self._transport.close()
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._is_parting or self._transport is None:
            return
        self._has_heard = True
        try:
            answer = self._keeper.receive(data)
        except PeerError as error:
            self._part(error)
            return
        if answer:
            self._transport.write(answer)
        role = self._keeper.role
        if role is not None:
            self._ended()
            link = self._make_link(role, self._keeper.key)
            hand_over(self._transport, link, self._keeper.rest)

    def eof_received(self) -> bool:
        return False  # the transport sends what is unsent and closes

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ssl.SSLError):
            self._turned_away(f"was refused: {tls_reason(exc)}")
        elif self._has_heard and not self._is_parting:
            self._turned_away("hung up before it had joined")
        self._ended()

    def _part(self, error: PeerError) -> None:
        """Says why, and waits for the peer to hang up: who closes a socket with unread bytes resets
        the connection, and the peer might never hear it.
        """
        assert self._transport is not None
        self._is_parting = True
        self._turned_away(f"was refused: {error}")
        self._transport.write(self._keeper.farewell)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()


def hand_over(transport: asyncio.Transport, link: StreamLink, early: bytes) -> None:
    """The stream is the link's from now on."""
    transport.set_protocol(link)
    link.connection_made(transport)
    if early:
        link.data_received(early)


def tls_failure(where: str, error: ssl.SSLError) -> PeerRefused | ConnectionLost:
    """Why there is no TLS with a host, for the peer: mostly for good, since one of them said so."""
    text = f"TLS with {where} failed: {tls_reason(error)}"
    if any(part in (getattr(error, "reason", None) or "") for part in _OF_THE_LINE):
        return ConnectionLost(text)
    return PeerRefused(text, refusal="tls")


def tls_reason(error: ssl.SSLError) -> str:
    """What OpenSSL means, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate cannot be verified ({error.verify_message})"
    reason = getattr(error, "reason", None) or "the connection ended"
    for part, meaning in _REASONS:
        if part in reason:
            return meaning
    return reason.lower().replace("_", " ")


_REASONS = (
    ("ACCESS_DENIED", "the host listens there without TLS; its token is for another address"),
    ("WRONG_VERSION_NUMBER", "what answers there does not speak TLS"),
    ("CERTIFICATE_REQUIRED", "the host wants a certificate (--tls-cert)"),
    ("PEER_DID_NOT_RETURN", "the peer showed no certificate, which --tls-ca demands"),
    ("UNKNOWN_CA", "the other side does not trust the certificate's authority"),
    ("ALERT_CERTIFICATE_EXPIRED", "the other side finds that the certificate has expired"),
    ("ALERT_CERTIFICATE", "the other side does not take the certificate"),
    ("ALERT_BAD_CERTIFICATE", "the other side does not take the certificate"),
    ("ALERT_UNSUPPORTED_CERTIFICATE", "the other side does not take the certificate"),
    ("PROTOCOL_VERSION", "the other side speaks no TLS 1.3"),
    ("UNSUPPORTED_PROTOCOL", "the other side speaks no TLS 1.3"),
)


_OF_THE_LINE: Final = ("RECORD_MAC", "UNEXPECTED_EOF", "INTERNAL_ERROR")
"""In reasons that are no verdict of either side: what came was damaged or cut."""


def _fingerprint_shown(transport: asyncio.BaseTransport) -> bytes:
    """Of the certificate of the other end."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return NO_CERTIFICATE
    return sha256(tls.getpeercert(binary_form=True)).digest()
