from __future__ import annotations

import asyncio
import socket

import pytest

from midas_mp import limits
from midas_mp.errors import AddressInUse, ConnectionLost, HostUnreachable, UsageError
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import PROTOCOL_VERSION, Hello, Role

HELLO = Frame(0, Hello(PROTOCOL_VERSION, Role.CLIENT, "0.1", "ab", "me"))

has_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")


def client_talk():
    return Conversation(Role.CLIENT, Role.HOST)


@pytest.mark.parametrize(
    ("listening", "calling"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("localhost", "127.0.0.1"),
        ("127.0.0.1", ""),
        ("", "127.0.0.1"),
        ("", ""),
        pytest.param("::1", "::1", marks=has_ipv6),
        pytest.param("", "::1", marks=has_ipv6),
    ],
)
def test_a_listener_is_reached_at_its_address(run, recorder, listening, calling):
    async def main():
        receiver, caller = recorder(), recorder()
        links = []
        receiver.react = lambda link, frames: links.append(link)
        listener = await tcp.listen(
            Address(listening, 0), lambda: (receiver, Conversation(Role.HOST, None))
        )
        assert listener.address.host == listening
        assert listener.address.port > 0
        there = Address(calling, listener.address.port)
        link = await tcp.connect(there, caller, client_talk())
        assert link.peer == str(there)
        link.send([HELLO])
        await receiver.received(1)
        host = "[::1]" if calling == "::1" else "127.0.0.1"
        assert links[0].peer.startswith(f"me ({host}:")
        listener.close()
        link.close()
        assert await receiver.lost() is None
        assert await caller.lost() is None

    run(main())


def test_connections_do_not_wait_for_fuller_packets_and_notice_a_vanished_peer(run, recorder):
    async def main():
        receiver, caller = recorder(), recorder()
        links = []
        receiver.react = lambda link, frames: links.append(link)
        listener = await tcp.listen(
            Address(port=0), lambda: (receiver, Conversation(Role.HOST, None))
        )
        link = await tcp.connect(listener.address, caller, client_talk())
        link.send([HELLO])
        await receiver.received(1)
        for end in (link, links[0]):
            sock = end._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                idle = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                assert idle == limits.KEEPALIVE_IDLE_S
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            limits_s = [
                end._transport.get_extra_info("socket").getsockopt(
                    socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
                )
                / 1_000
                for end in (link, links[0])
            ]
            assert limits_s == [
                limits.UNACKNOWLEDGED_S_MAX,
                limits.UNACKNOWLEDGED_BY_CLIENT_S_MAX,
            ]
        listener.close()
        link.abort()
        await receiver.lost()
        await caller.lost()

    run(main())


def test_links_outlive_their_listener_and_its_port_is_free_again(run, recorder):
    async def main():
        receiver, caller = recorder(), recorder()

        def accept():
            return receiver, Conversation(Role.HOST, None)

        listener = await tcp.listen(Address(port=0), accept)
        link = await tcp.connect(listener.address, caller, client_talk())
        link.send([HELLO])
        await receiver.received(1)
        listener.close()
        with pytest.raises(HostUnreachable):
            await tcp.connect(listener.address, recorder(), client_talk())
        again = await tcp.listen(listener.address, accept)
        again.close()
        assert not caller.losses
        link.close()
        assert await receiver.lost() is None
        await caller.lost()

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_taken_port_says_what_to_do(run, recorder, host):
    async def main():
        with socket.create_server((host, 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(AddressInUse) as caught:
                await tcp.listen(Address(host, port), lambda: (recorder(), client_talk()))
        assert f"{host}:{port} is taken" in str(caught.value)
        assert "choose another port with --address" in str(caught.value)

    run(main())


@pytest.mark.parametrize(
    ("host", "fact"),
    [("192.0.2.1", "not an address of this machine"), ("no-such-host.invalid", "not a known host")],
)
def test_an_address_of_another_machine_cannot_be_listened_at(run, recorder, host, fact):
    async def main():
        with pytest.raises(UsageError, match=fact):
            await tcp.listen(Address(host, 0), lambda: (recorder(), client_talk()))

    run(main())


def test_nobody_listening_is_told_in_one_sentence(run, recorder):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = Address(*server.getsockname())
        with pytest.raises(HostUnreachable) as caught:
            await tcp.connect(address, recorder(), client_talk())
        assert f"no host listens at {address}" in str(caught.value)

    run(main())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64, "a..b"])
def test_an_unknown_name_is_told_in_one_sentence(run, recorder, host):
    async def main():
        with pytest.raises(HostUnreachable, match="not known"):
            await tcp.connect(Address(host), recorder(), client_talk())

    run(main())


def test_a_machine_that_does_not_answer_is_given_up_in_time(run, recorder):
    async def main():
        # A full backlog drops what comes, as a firewall would.
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(0)
            address = Address(*server.getsockname())
            waiting = [socket.socket() for _ in range(4)]
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex(server.getsockname())
            with pytest.raises(HostUnreachable, match=r"no answer from .* within 0.2 s"):
                await tcp.connect(address, recorder(), client_talk(), timeout_s=0.2)
            for sock in waiting:
                sock.close()

    run(main())


def test_something_that_is_no_host_is_given_up_in_time(run, recorder):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address, caller = Address(*silent.getsockname()), recorder()
            link = await tcp.connect(address, caller, client_talk(), timeout_s=0.5)
            link.send([HELLO])
            error = await caller.lost()
            assert isinstance(error, ConnectionLost)
            assert f"{address} did not greet within 0.5 s" in str(error)

    run(main())


def test_cancelling_a_connection_attempt_leaves_nothing_behind(run, recorder):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as server:
            attempt = asyncio.ensure_future(
                tcp.connect(Address(*server.getsockname()), recorder(), client_talk())
            )
            await asyncio.sleep(0)
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt

    run(main())
