"""A Python process of ours that ends when its parent does, or lets go of it.

    parent: TetheredProcess ══ control socket ══ Tether: child
              hand_over(socket) ──────────────▶ receive()
              heard() ◀───────────────────────── say(line)

Parent and child share one socket.  The parent hands sockets over on it, the child says a line now
and then; when the parent closes it, or is no more, the child ends in order.  It has a session of
its own, so that a Ctrl-C in the terminal is its parent's affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from typing import Final, Self

from midas_mp.errors import ProcessLost
from midas_mp.participant.child import ChildExit
from midas_mp.participant.status_page import StatusPage
from midas_mp.participant.zygote import python_environment

CLOSE_TIMEOUT_S: Final = 5.0
"""For an orderly end, before it is killed."""

IGNORED_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Somebody else's business: the parent decides when it ends."""

_BECAUSE: Final = "because "
"""Begins the last line of a process that knows why it ends."""

_DESCRIPTORS_MAX: Final = 8
_LINE_BYTES_MAX: Final = 4096


class TetheredProcess:
    """The parent's end.

    Args:
        name: what it is, for people.
        module: whose main it runs; it attaches its ``Tether`` first of all.
        words: more of its command line.

    Raises:
        ProcessLost: it cannot be started.
    """

    def __init__(self, name: str, module: str, *words: str) -> None:
        self.name = name
        self._owner_pid = os.getpid()
        self._lock = threading.Lock()
        self._page = StatusPage.create()
        self._control, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", module]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*command, str(theirs.fileno()), str(os.getpid()), *words],
                stdin=subprocess.DEVNULL,
                stdout=self._page.fileno(),
                stderr=self._page.fileno(),
                env=python_environment(),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            self._control.close()
            self._page.close()
            raise ProcessLost(f"cannot start {sys.executable}: {error.strerror}") from error
        finally:
            theirs.close()
        self._heard = bytearray()
        self._release = weakref.finalize(
            self, _abandon, self._owner_pid, self._process, self._control, self._page
        )
        self._release.atexit = False  # who uses it may still close it; and it sees our end

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def fileno(self) -> int:
        """Readable when it said something, or has ended."""
        return self._control.fileno()

    def hand_over(self, *socks: socket.socket) -> None:
        """Gives it sockets, all at once; they may be closed here then.

        Raises:
            ProcessLost: it has ended.
        """
        try:
            socket.send_fds(self._control, [b"+"], [sock.fileno() for sock in socks])
        except OSError:
            raise self.ending() from None

    def listen(self) -> bool:
        """Takes what it says, without waiting; False if it has ended, or is just about to."""
        while True:
            try:
                data = self._control.recv(_LINE_BYTES_MAX, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            except OSError:  # ECONNRESET: it left something unread
                return False
            if not data:
                return False
            self._heard += data

    @property
    def heard(self) -> list[str]:
        """The lines that it has said."""
        return self._heard.decode("utf-8", "replace").splitlines()

    def let_go(self) -> None:
        """Has it end in order; does not wait."""
        if os.getpid() == self._owner_pid:
            with contextlib.suppress(OSError):  # it is gone already
                self._control.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Ends it at once, and what it started with it; returns when it is gone."""
        if os.getpid() == self._owner_pid:
            self._process.kill()
            self._process.wait()

    def wait(self, until_s: float | None = None) -> None:
        """Until it has ended; one that does not, by that time of the monotonic clock, is killed."""
        if until_s is None:
            until_s = time.monotonic() + CLOSE_TIMEOUT_S
        try:
            self._process.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()

    def ending(self) -> ProcessLost:
        """Why it ended: what it explained, else what the kernel and its stderr say.

        Waits for the end, if it is only about to come.
        """
        self.wait()
        self.listen()
        last = self.heard[-1] if self.heard else ""
        if last.startswith(_BECAUSE):
            reason = last.removeprefix(_BECAUSE)
        else:
            code = self._process.returncode
            left, killed = (code, None) if code >= 0 else (None, -code)
            reason = str(ChildExit(self.name, self.pid, left, killed, 0))
            if self._page.fileno() >= 0:
                reason = f"{reason}\n{self._page.last_words()}".strip()
        return ProcessLost(f"{self.name} ended: {reason}")

    def close(self, until_s: float | None = None) -> None:
        """Has it end in order, and waits until it has, as ``wait`` does; idempotent."""
        if os.getpid() != self._owner_pid:
            return
        with self._lock:
            if self._release.detach() is None:
                return
            self.let_go()
            self.wait(until_s)
            self._control.close()
            self._page.close()


def _abandon(
    owner_pid: int, process: subprocess.Popen[bytes], control: socket.socket, page: StatusPage
) -> None:
    """Nobody closed it, and nobody can."""
    if os.getpid() == owner_pid:
        process.kill()
        process.wait()
    control.close()
    page.close()


class Tether:
    """The child's end, in its event loop."""

    def __init__(self, control: socket.socket, parent_pid: int) -> None:
        self._control = control
        self._received: asyncio.Queue[list[socket.socket] | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        control.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        self._loop.add_reader(control, self._read)
        self._parent_fd = _watched(parent_pid)
        if self._parent_fd >= 0:
            self._loop.add_reader(self._parent_fd, self._end)
        if os.getppid() != parent_pid:
            self._end()

    @classmethod
    def attach(cls, fd: str, parent_pid: str) -> Self:
        """From the words of the command line."""
        return cls(socket.socket(fileno=int(fd)), int(parent_pid))

    async def receive(self) -> list[socket.socket] | None:
        """What the parent hands over next; None when it is time to end."""
        socks = await self._received.get()
        if socks is None:
            self._received.put_nowait(None)  # who asks again hears the same
        return socks

    async def wait_end(self) -> None:
        """Until the parent has let go; what it hands over meanwhile is closed."""
        while (socks := await self.receive()) is not None:
            for sock in socks:
                sock.close()

    def explain(self, error: Exception) -> None:
        """Tells the parent why this process ends now."""
        self.say(f"{_BECAUSE}{error}")

    def say(self, line: str) -> None:
        """Tells the parent."""
        data = " ".join(line.split()).encode("utf-8", "replace")[: _LINE_BYTES_MAX - 1] + b"\n"
        with contextlib.suppress(OSError):  # nobody listens
            self._control.send(data)

    def end_at(self, signum: int) -> None:
        """That signal ends it in order, too."""
        self._loop.add_signal_handler(signum, self._end)

    def _read(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, _LINE_BYTES_MAX, _DESCRIPTORS_MAX)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if fds:
            self._received.put_nowait([socket.socket(fileno=fd) for fd in fds])
        if not data:
            self._end()

    def _end(self) -> None:
        self._loop.remove_reader(self._control)
        if self._parent_fd >= 0:
            self._loop.remove_reader(self._parent_fd)
        self._received.put_nowait(None)


def ignore_signals() -> None:
    """For the beginning of such a process."""
    for signum in IGNORED_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def wait_heard(processes: list[TetheredProcess], timeout_s: float) -> bool:
    """Until one of them says something or ends; False when it took too long."""
    poll = select.poll()
    for process in processes:
        poll.register(process.fileno(), select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _watched(parent_pid: int) -> int:
    """A descriptor that is readable when the parent is no more; -1 where there is none.

    Another process may have inherited the parent's end of the socket by a fork.
    """
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(parent_pid)
    except OSError:  # it is gone, as the end of the socket says; or an old kernel
        return -1
