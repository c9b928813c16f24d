"""Where a host meets those of its peers that are on the same node: a socket without a file.

    host ── Invite(where, ticket) ──▶ peer        over their connection
    door ◀──── connects, ticket ───── visit
         ───── ReleaseBlobs([]) ────▶             it is listened to: references may come

An abstract socket is known within one network namespace, which is as far as a loopback address
goes; whose process it is that comes, and that waits there, the kernel says.  Each ticket is good
for one, as long as the connection lasts that it was sent over.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import socket
import struct
import sys
import weakref
from typing import Final

from midas_mp import limits
from midas_mp.blobs import pool
from midas_mp.blobs.sharing import Sharing
from midas_mp.blobs.upkeep import Upkeep
from midas_mp.wire.framing import PortOwner
from midas_mp.wire.messages import Invite

_SECRET_BYTES: Final = 16
_PENDING_MAX: Final = 16
"""Who have come and not shown their ticket, which an honest one does at once."""

_RETRY_S: Final = 0.5
"""Who knocks when this process may open no more files is let in so much later, if then."""

_CREDENTIALS: Final = struct.Struct("=iII")
"""A process, its user and its group: the kernel's struct ucred."""

_TOO_MANY_FILES: Final = OSError(errno.EMFILE, os.strerror(errno.EMFILE))

_log = logging.getLogger("midas_mp")


class Door:
    """The host's side, in its loop; also a ``Neighbours`` of its links.

    Where there is no such socket nobody is invited.
    """

    def __init__(self) -> None:
        self._where = f"midas-{secrets.token_hex(_SECRET_BYTES)}"
        self._loop = asyncio.get_running_loop()
        self._owners: weakref.WeakValueDictionary[str, PortOwner] = weakref.WeakValueDictionary()
        """By ticket."""
        self._pending: dict[socket.socket, asyncio.TimerHandle] = {}
        self._upkeep = Upkeep()
        self._is_overtaxed = False
        self._retry: asyncio.TimerHandle | None = None
        self._socket = _listening(self._where)
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._admit)

    def invite(self, owner: PortOwner) -> Invite | None:
        if self._socket is None or self._is_overtaxed:
            return None
        ticket = secrets.token_hex(_SECRET_BYTES)
        self._owners[ticket] = owner
        return Invite(self._where, ticket)

    def visit(self, _invite: Invite, _owner: PortOwner, /) -> None:
        """Nobody invites a host."""

    def close(self) -> None:
        """Nobody comes in any more; who has come may stay.  Idempotent."""
        self._owners.clear()
        for sock in list(self._pending):
            self._turn_away(sock)
        if self._retry is not None:
            self._retry.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        self._upkeep.close()

    def _admit(self) -> None:
        assert self._socket is not None
        try:
            sock, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):  # it is gone again
            return
        except OSError:  # this process may open no more files, and the loop would ask at once again
            self._loop.remove_reader(self._socket)
            self._retry = self._loop.call_later(
                _RETRY_S, self._loop.add_reader, self._socket, self._admit
            )
            return
        sock.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        if len(self._pending) >= _PENDING_MAX or not _is_ours(sock):
            sock.close()
            return
        self._loop.add_reader(sock, self._hear, sock)
        self._pending[sock] = self._loop.call_later(
            limits.GREETING_TIMEOUT_S, self._turn_away, sock
        )

    def _hear(self, sock: socket.socket) -> None:
        try:
            ticket = sock.recv(2 * _SECRET_BYTES)
        except OSError:
            ticket = b""
        owner = self._owners.pop(ticket.decode("ascii", "replace"), None)
        if owner is None:
            self._turn_away(sock)
            return
        self._forget(sock)
        sharing = Sharing(sock, owner, overtaxed=self._be_overtaxed)
        owner.share(sharing)
        sharing.greet()

    def _be_overtaxed(self) -> None:
        """Whoever comes again would be lost again: nobody is invited any more."""
        self._is_overtaxed = True
        pool.warn_without(_TOO_MANY_FILES)

    def _turn_away(self, sock: socket.socket) -> None:
        self._forget(sock)
        sock.close()

    def _forget(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)
        self._pending.pop(sock).cancel()


class Visitor:
    """The side of a host's peers; a ``Neighbours`` of their links, one after the other."""

    def __init__(self) -> None:
        self._is_overtaxed = False

    def invite(self, _owner: PortOwner, /) -> Invite | None:
        """Nobody is a peer's peer."""
        return None

    def visit(self, invite: Invite, owner: PortOwner) -> None:
        """Where that is not possible nothing is shared: who invites may be mistaken."""
        if self._is_overtaxed:
            return
        with contextlib.ExitStack() as on_failure:
            try:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                on_failure.callback(sock.close)
                sock.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
                sock.connect(_address(invite.where))
                if not _is_ours(sock):
                    raise PermissionError("it is another user's")
                sock.send(invite.ticket.encode("ascii"))
            except OSError as error:
                _log.debug("no memory is shared with the host: %s", error)
                return
            on_failure.pop_all()
        owner.share(Sharing(sock, owner, is_expected=False, overtaxed=self._be_overtaxed))

    def _be_overtaxed(self) -> None:
        """On the next connection the same would happen: it is not shared."""
        self._is_overtaxed = True
        pool.warn_without(_TOO_MANY_FILES)


def _listening(where: str) -> socket.socket | None:
    if not sys.platform.startswith("linux"):  # elsewhere it would have a file
        return None
    with contextlib.ExitStack() as on_failure:
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            on_failure.callback(sock.close)
            sock.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
            sock.bind(_address(where))
            sock.listen(_PENDING_MAX)
        except OSError as error:
            _log.debug("no memory is shared with processes of this machine: %s", error)
            return None
        on_failure.pop_all()
        return sock


def _address(where: str) -> bytes:
    return b"\0" + where.encode("ascii")


def _is_ours(sock: socket.socket) -> bool:
    """Whether the process at the other end is of the same user, as the kernel knows it."""
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except (OSError, AttributeError):
        return False
    _, user, _ = _CREDENTIALS.unpack(found)
    return bool(user == os.geteuid())
