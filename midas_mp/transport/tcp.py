"""Links over TCP: connect to a host, listen as one."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

from midas_mp import limits
from midas_mp.errors import (
    AddressInUse,
    ConnectionLost,
    HostUnreachable,
    MidasError,
    UsageError,
)
from midas_mp.transport.address import Address
from midas_mp.transport.joining import Badge, JoiningStream, tls_failure
from midas_mp.transport.link import Receiver
from midas_mp.transport.neighbours import Neighbours
from midas_mp.transport.reception import EVERYBODY, Entry, Reception
from midas_mp.transport.stream import StreamLink
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.messages import Role

_BACKLOG = 1024
"""A whole fleet reconnects at once; the kernel's somaxconn may cap it."""

ReceiverFactory = Callable[[], tuple[Receiver, Conversation]]


class Listener:
    """An address that accepts links, until closed; the links live on."""

    def __init__(self, reception: Reception, address: Address) -> None:
        self._reception = reception
        self.address = address
        """With the real port, where 0 was asked for."""

    def close(self) -> None:
        self._reception.close()


async def listen(
    address: Address,
    make_receiver: ReceiverFactory,
    *,
    entry: Entry = EVERYBODY,
    turned_away: Callable[[str], None] | None = None,
    neighbours: Neighbours | None = None,
) -> Listener:
    """Accept links at ``address``; an empty host is all interfaces, IPv4 and IPv6.

    ``make_receiver`` is called once for each connection that ``entry`` lets in, ``turned_away``
    with a line about each that it does not; with ``neighbours`` memory is shared with peers of this
    node.

    Raises:
        AddressInUse: the port is taken.
        UsageError: not an address of this machine, or not allowed.
    """
    sock = await _bound_socket(address)
    return await listen_on(
        sock, address, make_receiver, entry=entry, turned_away=turned_away, neighbours=neighbours
    )


async def listen_on(
    sock: socket.socket,
    address: Address,
    make_receiver: ReceiverFactory,
    *,
    entry: Entry = EVERYBODY,
    turned_away: Callable[[str], None] | None = None,
    neighbours: Neighbours | None = None,
) -> Listener:
    """Accept links at a socket that is bound to ``address`` already, as ``listen`` does."""
    # those of a listening socket pass on to the connections it accepts
    _set_options(sock, unacknowledged_s_max=limits.UNACKNOWLEDGED_BY_CLIENT_S_MAX)
    sock.listen(_BACKLOG)

    def make_link(role: Role | None, is_checked: bool) -> StreamLink:  # noqa: FBT001 - see Reception
        receiver, conversation = make_receiver()
        conversation.proven_role = role
        return StreamLink(
            receiver,
            conversation,
            greeting_timeout_s=limits.GREETING_TIMEOUT_S,
            neighbours=neighbours,
            is_remote=True,
            is_checked=is_checked,
        )

    reception = Reception(sock, entry, make_link=make_link, turned_away=turned_away or _say_nothing)
    return Listener(reception, address._replace(port=sock.getsockname()[1]))


async def connect(
    address: Address,
    receiver: Receiver,
    conversation: Conversation,
    *,
    badge: Badge | None = None,
    timeout_s: float = limits.GREETING_TIMEOUT_S,
    neighbours: Neighbours | None = None,
) -> StreamLink:
    """A link to the host at ``address``; an empty host is this machine.

    With a ``badge`` both ends prove themselves first; without, neither does.  The host then has as
    long again to answer the greeting, or the link is lost.  With ``neighbours`` memory is shared
    with a host of this node.

    Raises:
        HostUnreachable: nobody answers there, in time, or under that name.
        ConnectionLost: who answers hangs up before both are known to each other.
        PeerRefused: one side does not trust the other.
        ProtocolError: what answers there is no host.
    """
    sock = await _connected_in_time(address, timeout_s)

    def make_link() -> StreamLink:
        return StreamLink(
            receiver,
            conversation,
            where=str(address),
            greeting_timeout_s=timeout_s,
            neighbours=neighbours,
            is_remote=True,
            is_checked=badge is None or badge.tls is None,
        )

    if badge is None:
        _, link = await asyncio.get_running_loop().create_connection(make_link, sock=sock)
        return link
    stream = JoiningStream(badge, conversation.local, str(address), make_link)
    try:
        return await _join(stream, badge.tls, sock, address, timeout_s)
    except MidasError:
        stream.close()
        await stream.wait_ended()
        raise
    finally:
        stream.close()


async def _connected_in_time(address: Address, timeout_s: float) -> socket.socket:
    try:
        async with asyncio.timeout(timeout_s):
            return await _connected_socket(address, timeout_s)
    except TimeoutError:
        raise HostUnreachable(
            f"no answer from {address} within {timeout_s:g} s: is the machine up, and does a "
            "firewall let the port through?"
        ) from None


async def _join(
    stream: JoiningStream,
    tls: ssl.SSLContext | None,
    sock: socket.socket,
    address: Address,
    timeout_s: float,
) -> StreamLink:
    options: dict[str, Any] = {}
    if tls is not None:
        options = {"ssl": tls, "server_hostname": address.host if tls.check_hostname else ""}
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            await loop.create_connection(lambda: stream, sock=sock, **options)
            return await stream.joined
    except TimeoutError:
        raise HostUnreachable(
            f"what listens at {address} said nothing within {timeout_s:g} s"
        ) from None
    except ssl.SSLError as error:
        raise tls_failure(str(address), error) from None
    except OSError as error:
        raise ConnectionLost(f"{address} hung up before it let us in ({error})") from None


def _say_nothing(_text: str) -> None:
    """Nobody wants to know."""


async def _resolve(address: Address, host: str) -> list[tuple[Any, ...]]:
    """Socket addresses, IPv4 first: ``localhost`` must mean the same to both sides."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label over 63 letters, or none between two dots
        raise socket.gaierror(socket.EAI_NONAME, "no host name looks like that") from None
    return sorted(found, key=lambda info: info[0] != socket.AF_INET)


async def _bound_socket(address: Address) -> socket.socket:
    try:
        if not address.host:
            if socket.has_dualstack_ipv6():
                return socket.create_server(
                    ("", address.port), family=socket.AF_INET6, dualstack_ipv6=True
                )
            return socket.create_server(("", address.port))
        family, *_, where = (await _resolve(address, address.host))[0]
        return socket.create_server(where[:2], family=family)
    except socket.gaierror as error:
        raise UsageError(f"{address.host!r} is not a known host name ({error.strerror})") from None
    except OSError as error:
        raise _listening_error(address, error) from None


def _listening_error(address: Address, error: OSError) -> AddressInUse | UsageError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(
            f"{address} is taken by another process: stop it, or choose another port with "
            f"--address {address._replace(port=address.port + 1)}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(
            f"{address.host} is not an address of this machine: use one that is, or "
            f":{address.port} for all of them"
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return UsageError(f"cannot listen at {address}: {reason}")


async def _connected_socket(address: Address, timeout_s: float) -> socket.socket:
    """Connect to the first of the name's addresses that answers, each with its share of time."""
    try:
        found = await _resolve(address, address.host or "localhost")
    except OSError as error:
        raise HostUnreachable(
            f"the host name {address.host!r} is not known ({error.strerror}): check its spelling"
        ) from None
    failures: list[OSError] = []
    for family, *_, where in found:
        try:
            async with asyncio.timeout(timeout_s / len(found)):
                return await _connect_one(family, where)
        except OSError as error:  # a TimeoutError among them
            failures.append(error)
    raise _connecting_error(address, failures)


async def _connect_one(family: int, where: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        _set_options(sock, unacknowledged_s_max=limits.UNACKNOWLEDGED_S_MAX)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _connecting_error(address: Address, failures: list[OSError]) -> Exception:
    told = [error for error in failures if not isinstance(error, TimeoutError)]
    if not told:
        return TimeoutError()
    error = told[0]
    if isinstance(error, ConnectionRefusedError):
        return HostUnreachable(
            f"no host listens at {address}: start 'midas host' there, or check the address"
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return HostUnreachable(f"cannot reach {address}: {reason}")


def _set_options(sock: socket.socket, *, unacknowledged_s_max: int) -> None:
    """No waiting for fuller packets; notice a machine that vanished."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", limits.KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", limits.KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", limits.KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", unacknowledged_s_max * 1_000),
    ):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
