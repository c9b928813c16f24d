"""Where connections arrive at a host, and how long they may take to prove who they are.

    accept ─▶ its first bytes ─┬─ TLS ──────▶ handshake ─▶ joining by a token ───▶ link
                               ├─ joining ──▶ by this user's own secret, on loopback ─▶ link
                               └─ a frame ──▶ refused with a sentence, unless everybody may come

Nothing is believed before that, and little is kept: a socket that says nothing costs a timer, one
that says something slowly costs it as well.  All of it together must be done within one deadline,
and who comes on top of too many others takes the place of the one that has been there longest.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from midas_mp import limits
from midas_mp.errors import PeerRefused
from midas_mp.transport import handshake
from midas_mp.transport.address import Address
from midas_mp.transport.complaints import Complaints
from midas_mp.transport.guests import Guests
from midas_mp.transport.joining import AdmittingStream, tls_reason
from midas_mp.transport.owner import foreign_owner
from midas_mp.transport.stream import StreamLink
from midas_mp.wire.framing import Frame, encode
from midas_mp.wire.joining import MAGIC, NO_CERTIFICATE, Key, Keyring
from midas_mp.wire.messages import Refused, Role
from midas_mp.wire.records import PREFIX, RecordWriter, begins_stream

_HEAD_BYTES: Final = 3
"""So many tell what a connection begins with; a record that greets is smaller than 64 KB, so that
its third byte is 0."""

_TLS_HEADS: Final = (b"\x16\x03\x01", b"\x16\x03\x03")
"""Of a ClientHello, as OpenSSL and others write it."""

_NO_TLS_HERE: Final = b"\x15\x03\x03\x00\x02\x02\x31"
"""A TLS alert: access denied."""

_ACCEPTED_PER_TURN: Final = 64
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_S: Final = 0.5


class Entry(NamedTuple):
    """Whom a host lets in, and how they prove it.

    Attributes:
        local: for connections in plain from this machine; None where there are none.
        tokens: for those over TLS.
        tls: how to speak it; None is not at all.
        certificate: fingerprint of the one that it shows.
        is_open: whoever comes in plain need not prove anything.
        for_others: what another user of this machine is told to do.
    """

    local: Keyring | None = None
    tokens: Keyring | None = None
    tls: ssl.SSLContext | None = None
    certificate: bytes = NO_CERTIFICATE
    is_open: bool = False
    for_others: str = "for others it can listen at an address of the network, and take tokens"


EVERYBODY: Final = Entry(is_open=True)


class _Closed(NamedTuple):
    """Lets nobody in, and says why."""

    reason: str

    def look_up(self, _key: str, _role: Role) -> Key:
        raise PeerRefused(self.reason, refusal="proof")


class _Arrival:
    """One connection that has proved nothing so far."""

    def __init__(self, sock: socket.socket, peer: tuple[Any, ...]) -> None:
        self.sock = sock
        self.peer = peer
        host = peer[0].removeprefix("::ffff:")  # an IPv4 peer of a listener for both
        self.where = str(Address(host, peer[1]))
        self.address = ipaddress.ip_address(host.partition("%")[0])
        self.timer: asyncio.TimerHandle | None = None
        self.is_in_transport = False
        """It has been given away: only what is left of it can be cut off here."""
        self.stream: AdmittingStream | None = None
        """By which it joins."""
        self.is_told = False
        """Why it does not come in is known: what else becomes of it follows from that."""

    @property
    def site(self) -> str:
        """Of which there may be so many: an address, or what one owner has of those of IPv6."""
        length = 32 if self.address.version == 4 else 64  # noqa: PLR2004 - all of it, half of it
        return str(ipaddress.ip_network((self.address, length), strict=False))


class Reception:
    """One listening socket, until it is closed.

    Args:
        sock: listens already.
        entry: whom to let in.
        make_link: makes the link of a peer that has proved its role, or need not (None); whether
            what crosses it is to be checked.
        turned_away: told, a line at a time, who was not let in and why.
    """

    def __init__(
        self,
        sock: socket.socket,
        entry: Entry,
        *,
        make_link: Callable[[Role | None, bool], StreamLink],
        turned_away: Callable[[str], None],
    ) -> None:
        self._sock = sock
        self._entry = entry
        self._make_link = make_link
        self._loop = asyncio.get_running_loop()
        self._complaints = Complaints(turned_away, self._loop.time)
        self._arrivals: dict[str, dict[_Arrival, None]] = {}
        """By site, each site's oldest first."""
        self._count = 0
        self._guests = Guests(self._loop.call_later, self._complaints.add)
        """Who has come in by a token."""
        self._works: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        sock.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        self._loop.add_reader(sock, self._accept)

    @property
    def arrival_count(self) -> int:
        """Connections that have proved nothing so far."""
        return self._count

    def close(self) -> None:
        """Nobody comes in any more; idempotent."""
        if self._sock.fileno() < 0:
            return
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for arrivals in list(self._arrivals.values()):
            for arrival in list(arrivals):
                self._cut_off(arrival)

    # -- coming ------------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_PER_TURN):
            try:
                sock, peer = self._sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:  # it has gone again
                continue
            except OSError as error:
                self._pause(error)
                return
            self._arrive(sock, peer)

    def _pause(self, error: OSError) -> None:
        """The process may open no more files, or the machine has no room."""
        self._complaints.add(f"cannot accept connections: {error.strerror}")
        if error.errno in _EXHAUSTED and self._arrivals:
            self._cut_off_oldest(self._largest_site())
        self._loop.remove_reader(self._sock)
        self._retry = self._loop.call_later(
            _RETRY_S, self._loop.add_reader, self._sock, self._accept
        )

    def _arrive(self, sock: socket.socket, peer: tuple[Any, ...]) -> None:
        sock.setblocking(False)  # noqa: FBT003 - as above
        arrival = _Arrival(sock, peer)
        if len(self._arrivals.get(arrival.site, ())) >= limits.ARRIVALS_PER_ADDRESS_MAX:
            self._cut_off_oldest(arrival.site)
        elif self._count >= limits.ARRIVALS_MAX:
            self._cut_off_oldest(self._largest_site())
        arrival.timer = self._loop.call_later(limits.GREETING_TIMEOUT_S, self._be_late, arrival)
        self._arrivals.setdefault(arrival.site, {})[arrival] = None
        self._count += 1
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _HEAD_BYTES)
        self._loop.add_reader(sock, self._look, arrival)

    def _look(self, arrival: _Arrival) -> None:
        """Its first bytes are there, or it has hung up."""
        try:
            head = arrival.sock.recv(PREFIX.size, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            head = b""
        if len(head) < _HEAD_BYTES:
            self._cut_off(arrival)
            return
        self._loop.remove_reader(arrival.sock)
        arrival.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        if head.startswith(_TLS_HEADS):
            self._take_tls(arrival)
        elif head.startswith(MAGIC[:_HEAD_BYTES]):
            self._admit(arrival, self._keyring_in_plain(arrival), None)
        elif self._entry.is_open:
            self._open(arrival)
        elif begins_stream(head):
            refused = Refused("proof", _UNPROVEN)
            self._turn_away(arrival, b"".join(RecordWriter().seal(encode(Frame(0, refused)))))
            self._complain(arrival, "was refused: it proves nothing, as with --insecure")
        else:
            self._turn_away(arrival, b"")
            self._complain(arrival, "was refused: what it said is not Midas' protocol")

    def _take_tls(self, arrival: _Arrival) -> None:
        if self._entry.tls is None or self._entry.tokens is None:
            self._turn_away(arrival, _NO_TLS_HERE)
            self._complain(arrival, "was refused: it speaks TLS, which this host does not")
        else:
            self._admit(arrival, self._entry.tokens, self._entry.tls)

    def _keyring_in_plain(self, arrival: _Arrival) -> Keyring:
        if self._entry.local is not None and arrival.address.is_loopback:
            user = foreign_owner(arrival.sock.getsockname(), arrival.peer)
            if user is None:
                return self._entry.local
            return _Closed(
                "this host lets in here only processes of its own user, and this one is another's "
                f"(uid {user}); {self._entry.for_others}"
            )
        return _Closed(_INSECURE if self._entry.is_open else _FROM_ELSEWHERE)

    # -- being let in ------------------------------------------------------------------------------

    def _admit(self, arrival: _Arrival, keyring: Keyring, tls: ssl.SSLContext | None) -> None:
        def make_link(role: Role, key: Key) -> StreamLink:
            link = self._make_link(role, tls is None)
            if tls is not None:
                conversation = link.conversation
                conversation.token, conversation.may_manage = key.id, key.may_manage
                self._guests.add(link, keyring, key.id, role)
            return link

        stream = AdmittingStream(
            keyring,
            NO_CERTIFICATE if tls is None else self._entry.certificate,
            make_link=make_link,
            turned_away=functools.partial(self._complain, arrival),
            ended=functools.partial(self._forget, arrival),
        )
        arrival.stream = stream
        self._give_away(arrival, stream, tls)

    def _open(self, arrival: _Arrival) -> None:
        """Everybody may come."""
        self._give_away(arrival, self._make_link(None, True), None)  # noqa: FBT003 - see above
        self._forget(arrival)

    def _give_away(
        self, arrival: _Arrival, protocol: asyncio.Protocol, tls: ssl.SSLContext | None
    ) -> None:
        arrival.is_in_transport = True
        work = self._loop.create_task(self._serve(arrival, protocol, tls))
        self._works.add(work)
        work.add_done_callback(self._works.discard)

    async def _serve(
        self, arrival: _Arrival, protocol: asyncio.Protocol, tls: ssl.SSLContext | None
    ) -> None:
        handshake.failed.set(functools.partial(self._tls_failed, arrival))
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                arrival.sock,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else limits.GREETING_TIMEOUT_S,
                ssl_shutdown_timeout=None if tls is None else limits.LINGER_S,
            )
        except OSError:
            if self._is_here(arrival):  # else it was cut off
                self._complain(
                    arrival,
                    "was refused: it hung up in the middle of the TLS handshake, as who does not "
                    "trust the host's certificate",
                )
                self._forget(arrival)

    def _tls_failed(self, arrival: _Arrival, error: ssl.SSLError) -> None:
        """What OpenSSL has to say of it is sent next; then the peer hangs up, or is late."""
        self._complain(arrival, f"was refused: TLS failed: {tls_reason(error)}")

    # -- going -------------------------------------------------------------------------------------

    def _turn_away(self, arrival: _Arrival, answer: bytes) -> None:
        """Last words; then what it still says is read, since closing would reset the connection,
        and they might never arrive.
        """
        try:
            arrival.sock.send(answer)
            arrival.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._cut_off(arrival)
            return
        self._loop.add_reader(arrival.sock, self._discard, arrival)

    def _discard(self, arrival: _Arrival) -> None:
        try:
            has_more = bool(arrival.sock.recv(64 * limits.KB))
        except BlockingIOError:
            return
        except OSError:
            has_more = False
        if not has_more:
            self._cut_off(arrival)

    def _be_late(self, arrival: _Arrival) -> None:
        self._complain(arrival, f"did not greet within {limits.GREETING_TIMEOUT_S:g} s")
        self._cut_off(arrival)

    def _largest_site(self) -> str:
        return max(self._arrivals, key=lambda site: len(self._arrivals[site]))

    def _cut_off_oldest(self, site: str) -> None:
        arrival = next(iter(self._arrivals[site]))
        self._complain(arrival, "had to make room: too many come and do not greet")
        if arrival.stream is not None and arrival.stream.dismiss():
            self._forget(arrival)
        else:
            self._cut_off(arrival)

    def _cut_off(self, arrival: _Arrival) -> None:
        self._forget(arrival)
        if arrival.is_in_transport:
            with contextlib.suppress(OSError):  # it is closed already
                arrival.sock.shutdown(socket.SHUT_RDWR)
        else:
            self._loop.remove_reader(arrival.sock)
            arrival.sock.close()

    def _is_here(self, arrival: _Arrival) -> bool:
        return arrival in self._arrivals.get(arrival.site, ())

    def _forget(self, arrival: _Arrival) -> None:
        if not self._is_here(arrival):
            return
        arrivals = self._arrivals[arrival.site]
        del arrivals[arrival]
        self._count -= 1
        if not arrivals:
            del self._arrivals[arrival.site]
        if arrival.timer is not None:
            arrival.timer.cancel()

    def _complain(self, arrival: _Arrival, what: str) -> None:
        if not arrival.is_told:
            arrival.is_told = True
            self._complaints.add(f"{arrival.where} {what}")


_UNPROVEN: Final = (
    "this host lets in only who can prove to belong here: leave --insecure out; from another "
    "machine bring a token, which 'midas token new' prints on the host's"
)
_FROM_ELSEWHERE: Final = (
    "from other machines this host lets in only who has a token: set MIDAS_TOKEN to what "
    "'midas token new' prints on the host's"
)
_INSECURE: Final = (
    "this host was started with --insecure, and proves nothing to anybody: say --insecure too, if "
    "you trust it and the network"
)
