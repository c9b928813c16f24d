"""What the parent of a Lua process has of it: its ends of all that both share, and how it ended."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
from dataclasses import dataclass
from typing import Final, NamedTuple

from midas_mp import limits
from midas_mp.blobs.exchange import ParentBlobs
from midas_mp.blobs.pool import SharedFile, warn_without, within_address_space
from midas_mp.errors import ProcessLost
from midas_mp.participant.status_page import StatusPage
from midas_mp.participant.zygote_messages import ChildSpec, OutboundSpec

SOCKET_BUFFER_BYTES: Final = 1024 * 1024
"""Of a child's socket, each way: a frame of short tasks and its results fit without a wake-up
in between.  The kernel takes what it allows of it."""


@dataclass(frozen=True)
class ChildExit:
    """How a child ended; its text is for people.

    Attributes:
        name: from its spec.
        pid: 0 when it could not be started.
        exit_code: None when a signal ended it.
        signal: None when it left by itself.
        peak_bytes: its largest resident size, shared pages included.
        error: why it could not be started.
    """

    name: str
    pid: int
    exit_code: int | None
    signal: int | None
    peak_bytes: int
    error: str = ""

    def __str__(self) -> str:
        if self.signal is not None:
            return f"killed by {signal_name(self.signal)}"
        if self.exit_code is not None:
            return f"exit code {self.exit_code}"
        return f"could not be started: {self.error}"


@dataclass(eq=False)
class Child:
    """The parent's ends of what it shares with one child.

    Attributes:
        id: its number at the zygote.
        socket: frames, both ways; non-blocking.
        output_fd: what the child prints; non-blocking.
        page: what it runs, and its stderr.
        blobs: the memory that is shared with it; None where there is none.
    """

    id: int
    socket: socket.socket
    output_fd: int
    page: StatusPage
    blobs: ParentBlobs | None = None

    def close(self) -> None:
        """Closes all of them; idempotent.  Does not end the child by itself, but it will see
        the end of its socket.
        """
        self.socket.close()
        if self.output_fd >= 0:
            os.close(self.output_fd)
            self.output_fd = -1
        self.page.close()
        if self.blobs is not None:
            self.blobs.close()


def open_child(child_id: int) -> tuple[Child, socket.socket, int]:
    """What parent and child share, and the child's ends of socket and pipe."""
    with contextlib.ExitStack() as on_failure:
        page = StatusPage.create()
        on_failure.callback(page.close)
        mine, theirs = socket.socketpair()
        on_failure.callback(mine.close)
        on_failure.callback(theirs.close)
        for end in (mine, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        output_read, output_write = os.pipe()
        on_failure.pop_all()
    mine.settimeout(0)
    os.set_blocking(output_read, False)
    return Child(child_id, mine, output_read, page), theirs, output_write


class SharedEnds(NamedTuple):
    """A child's ends of the memory that it shares with its parent."""

    outbound: OutboundSpec
    descriptors: list[int]

    def close(self) -> None:
        for fd in self.descriptors:
            os.close(fd)


def share_with(child: Child, spec: ChildSpec) -> SharedEnds | None:
    """Gives the child a pool to write, as large as its memory may be; None where none can be.

    Raises:
        ProcessLost: this process may open no more files.
    """
    size_bytes = within_address_space(
        min(spec.memory_bytes or limits.OUTBOUND_BYTES_MAX, limits.OUTBOUND_BYTES_MAX),
        limits.ADDRESS_SHARE_OF_OUTBOUND_INVERSE,
    )
    with contextlib.ExitStack() as on_failure:
        try:
            outbound, fd = SharedFile.create("midas-outbound", size_bytes, is_writable=False)
            on_failure.callback(os.close, fd)
            mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise ProcessLost(f"cannot start {spec.name}: {error.strerror}") from error
            warn_without(error)
            return None
        on_failure.pop_all()
    mine.settimeout(0)
    child.blobs = ParentBlobs(mine, outbound)
    return SharedEnds(OutboundSpec(outbound.id, outbound.size_bytes), [theirs.detach(), fd])


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
