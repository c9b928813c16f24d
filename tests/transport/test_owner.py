"""The kernel knows whose the other end of a loopback connection is."""

from __future__ import annotations

import os
import socket

import pytest

from midas_mp.transport.owner import foreign_owner

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
has_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")

STRANGER = 4711


@pytest.fixture
def listening():
    if socket.has_dualstack_ipv6():
        sock = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        sock = socket.create_server(("", 0))
    with sock:
        yield sock


def ends(sock):
    return sock.getsockname(), sock.getpeername()


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=has_ipv6)])
def test_ones_own_ends_are_nobody_elses(listening, host):
    with socket.create_connection((host, listening.getsockname()[1])) as near:
        far, _ = listening.accept()
        with far:
            assert foreign_owner(*ends(near)) is None
            assert foreign_owner(*ends(far)) is None


@is_root
@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=has_ipv6)])
def test_another_users_end_is_known(listening, host):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.setuid(STRANGER)
        near = socket.create_connection((host, listening.getsockname()[1]))
        os.read(reader, 1)
        near.close()
        os._exit(0)
    far, _ = listening.accept()
    with far:
        assert foreign_owner(*ends(far)) == STRANGER
    os.close(writer)
    os.close(reader)
    os.waitpid(child, 0)


def test_where_the_kernel_does_not_know_the_proof_is_enough(listening, monkeypatch):
    port = listening.getsockname()[1]
    assert foreign_owner(("127.0.0.1", port), ("127.0.0.1", 1)) is None
    assert foreign_owner(("a socket's path", 0), ("127.0.0.1", 1)) is None
    monkeypatch.delattr(socket, "AF_NETLINK")
    with socket.create_connection(("127.0.0.1", port)) as near:
        assert foreign_owner(*ends(near)) is None
