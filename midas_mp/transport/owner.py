"""Whose the other end of a loopback connection is, as the kernel knows it.

A proof is good for one connection, but not for what its two ends are: on loopback another user of
the machine who waits at the port where a host is expected could carry proofs between it and the
real host, and then say what he likes.  Against that there is TLS on a network; here the kernel is
asked (NETLINK_SOCK_DIAG) who has opened the socket at the other end.  Where it does not answer, as
on other systems, the proof has to be enough.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from typing import Any, Final

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1

_HEADER: Final = struct.Struct("=IHHII")
"""Length, type, flags, sequence number, port: the kernel's struct nlmsghdr."""

_QUESTION: Final = struct.Struct("=BBBxI")
"""Family, protocol, extensions, states: the beginning of struct inet_diag_req_v2."""

_PORTS: Final = struct.Struct(">HH16s16s")
_REST: Final = struct.Struct("=III")
"""Together struct inet_diag_sockid: ports and addresses, interface and cookie."""

_USER_OFFSET: Final = _HEADER.size + 4 + _PORTS.size + _REST.size + 12
"""Of idiag_uid in the answer, a struct inet_diag_msg."""

_USER: Final = struct.Struct("=I")

_EVERY_STATE: Final = 0xFFFFFFFF
_NO_COOKIE: Final = 0xFFFFFFFF
_ROOT: Final = 0


def foreign_owner(near: tuple[Any, ...], far: tuple[Any, ...]) -> int | None:
    """The user of the far end of a connection within this machine, if it is another one.

    None if it is this user's, root's (who needs no socket to do what he likes), or not known.

    Args:
        near: address of this end, as ``getsockname`` tells it.
        far: address of the other, as ``getpeername`` does.
    """
    user = _owner(near, far)
    return None if user in (None, _ROOT, os.geteuid()) else user


def _owner(near: tuple[Any, ...], far: tuple[Any, ...]) -> int | None:
    try:
        here, there = (_address(end[0]) for end in (near, far))
        family = socket.AF_INET if there.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IPv4
        ids = _PORTS.pack(
            far[1], near[1], there.packed.ljust(16, b"\0"), here.packed.ljust(16, b"\0")
        )
        body = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, _EVERY_STATE) + ids
        body += _REST.pack(0, _NO_COOKIE, _NO_COOKIE)
        size = _HEADER.size + len(body)
        head = _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
        answer = _ask(head + body)
    except (OSError, ValueError, AttributeError):
        return None
    if len(answer) < _USER_OFFSET + _USER.size:  # an error, such as that there is none
        return None
    _, kind, *_ = _HEADER.unpack_from(answer)
    return int(_USER.unpack_from(answer, _USER_OFFSET)[0]) if kind == _SOCK_DIAG_BY_FAMILY else None


def _ask(question: bytes) -> bytes:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG) as kernel:
        kernel.sendto(question, (0, 0))
        return kernel.recv(4_096)  # the kernel has answered within sendto


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text.removeprefix("::ffff:").partition("%")[0])
