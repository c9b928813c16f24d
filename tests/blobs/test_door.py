"""A host and a peer that meet on one node."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import pytest

from midas_mp import limits
from midas_mp.blobs import door, pool
from midas_mp.blobs.door import Door, Visitor
from midas_mp.errors import ConnectionLost
from midas_mp.wire.messages import Invite

BLOB = limits.BLOB_BYTES_MIN
NOBODY = 65534


@contextlib.contextmanager
def met(*owners):
    """The ports of these part in the end."""
    with contextlib.closing(Door()) as host:
        try:
            yield host
        finally:
            for owner in owners:
                for port in owner.ports:
                    port.part()


def knock(invite, ticket):
    """As somebody who has no ticket of his own."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.setblocking(False)
    sock.connect(b"\0" + invite.where.encode())
    sock.send(ticket.encode())
    return sock


async def is_shut(sock):
    """Once the host has looked."""
    said = await asyncio.get_running_loop().sock_recv(sock, 1)
    sock.close()
    return said == b""


def test_both_refer_and_both_read(run, eventually, make_owner):
    async def main():
        mine, theirs = make_owner(), make_owner()
        with met(mine, theirs) as host:
            Visitor().visit(host.invite(mine), theirs)
            (visiting,) = theirs.ports
            assert visiting.refer(bytes(BLOB)) is None, "nobody listens there so far"
            await eventually(lambda: mine.ports)
            (inviting,) = mine.ports
            data = os.urandom(BLOB)
            assert bytes(visiting.resolve(inviting.refer(data))) == data
            await eventually(lambda: visiting.refer(bytes(BLOB)))
            assert bytes(inviting.resolve(visiting.refer(data))) == data

    run(main())


def test_a_ticket_is_good_for_one(run, eventually, make_owner):
    async def main():
        mine, theirs, late = make_owner(), make_owner(), make_owner()
        with met(mine, theirs, late) as host:
            invite = host.invite(mine)
            Visitor().visit(invite, theirs)
            await eventually(lambda: mine.ports)
            assert await is_shut(knock(invite, invite.ticket))
            assert len(mine.ports) == 1

    run(main())


@pytest.mark.parametrize("ticket", ["0" * 32, "", "x" * 1000])
def test_who_has_no_ticket_is_turned_away(run, make_owner, ticket):
    async def main():
        mine = make_owner()
        with met(mine) as host:
            assert await is_shut(knock(host.invite(mine), ticket))
            assert not mine.ports

    run(main())


def test_a_ticket_ends_with_its_connection(run, make_owner):
    async def main():
        mine = make_owner()
        with met() as host:
            invite = host.invite(mine)
            del mine
            assert await is_shut(knock(invite, invite.ticket))

    run(main())


def test_who_says_nothing_is_not_waited_for(run, monkeypatch, make_owner):
    monkeypatch.setattr(limits, "GREETING_TIMEOUT_S", 0.05)

    async def main():
        with met() as host:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.setblocking(False)
            sock.connect(b"\0" + host.invite(make_owner()).where.encode())
            assert await is_shut(sock)

    run(main())


def test_only_so_many_may_say_nothing(run, eventually, monkeypatch, make_owner):
    monkeypatch.setattr(door, "_PENDING_MAX", 1)

    async def main():
        with met() as host:
            where = b"\0" + host.invite(make_owner()).where.encode()
            first, second = (socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in "ab")
            for sock in (first, second):
                sock.setblocking(False)
                sock.connect(where)
            assert await is_shut(second)
            assert len(host._pending) == 1
        assert await is_shut(first)

    run(main())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_shown_nothing(run, make_owner):
    async def main():
        mine = make_owner()
        with met(mine) as host:
            invite = host.invite(mine)
            pid = os.fork()
            if pid == 0:
                os.setuid(NOBODY)
                stranger = make_owner()
                Visitor().visit(invite, stranger)  # who does not trust the host either
                with contextlib.suppress(OSError):
                    knock(invite, invite.ticket)
                os._exit(len(stranger.ports))
            assert os.waitpid(pid, 0)[1] == 0  # noqa: ASYNC222 - it ends at once
            sock = knock(host.invite(make_owner()), "")
            assert await is_shut(sock), "after the stranger"
            assert not mine.ports

    run(main())


def test_an_invitation_to_nowhere_is_not_followed(run, make_owner):
    async def main():
        theirs = make_owner()
        Visitor().visit(Invite("midas-nowhere", "ab"), theirs)
        assert not theirs.ports

    run(main())


@pytest.mark.parametrize("who", ["host", "visitor"])
def test_who_cannot_open_what_he_is_shown_shares_no_more(
    run, eventually, monkeypatch, make_owner, *, no_more_files, who
):
    monkeypatch.setattr(pool, "_warned", set())

    async def main():
        mine, theirs, late = make_owner(), make_owner(), make_owner()
        visitor = Visitor()
        with met(mine, theirs) as host:
            visitor.visit(host.invite(mine), theirs)
            await eventually(lambda: mine.ports)
            (inviting,), (visiting,) = mine.ports, theirs.ports
            await eventually(lambda: visiting._blobs._ends.ear.has_heard)
            one, other = (visiting, inviting) if who == "host" else (inviting, visiting)
            ref = one.refer(bytes(BLOB))
            with (
                no_more_files(),
                pytest.warns(RuntimeWarning, match="Too many open files"),
                pytest.raises(ConnectionLost, match="too many open files"),
            ):
                other.resolve(ref)
            invite = host.invite(late)
            if invite is not None:
                visitor.visit(invite, late)
            assert not late.ports

    run(main())


def test_who_may_open_no_file_does_not_come(run, make_owner, no_more_files):
    async def main():
        mine, theirs = make_owner(), make_owner()
        with met() as host:
            invite = host.invite(mine)
            with no_more_files():
                Visitor().visit(invite, theirs)
            assert not theirs.ports

    run(main())


def test_a_host_that_may_open_no_file_looks_now_and_then(
    run, eventually, monkeypatch, make_owner, no_more_files
):
    """The loop would tell it at every turn who waits at its door."""
    looks = []
    admit = Door._admit

    def look(host):
        looks.append(host)
        admit(host)

    monkeypatch.setattr(Door, "_admit", look)

    async def main():
        mine, theirs = make_owner(), make_owner()
        with met(mine, theirs) as host:
            Visitor().visit(host.invite(mine), theirs)
            with no_more_files():
                for _ in range(200):
                    await asyncio.sleep(0)
                assert 0 < len(looks) < 20
                assert not mine.ports
            await eventually(lambda: mine.ports)

    run(main())


def test_a_door_that_is_closed_is_found_by_nobody(run, make_owner):
    async def main():
        mine, theirs = make_owner(), make_owner()
        host = Door()
        invite = host.invite(mine)
        host.close()
        host.close()
        Visitor().visit(invite, theirs)
        assert not theirs.ports
        assert host.invite(mine) is None

    run(main())


def test_a_visitor_invites_nobody(make_owner):
    assert Visitor().invite(make_owner()) is None
