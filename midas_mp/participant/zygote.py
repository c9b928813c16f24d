"""The parent's handle of the zygote: a small process of one thread that forks Lua processes.

Nothing may fork from a process with threads or a loop, and the parent may have both; so it execs
the zygote, which preloads what a Lua process needs and forks on request.  Launcher, Executor and
driver hold one each, in their own loop: ``loop.add_reader(zygote.fileno(), zygote.dispatch)``.
Nothing here imports a loop or Lua.

However anything dies, nothing stays: the zygote ends with its parent or with the control socket,
and every child with the zygote.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import site
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

import midas_mp
from midas_mp.errors import ProcessLost
from midas_mp.participant.child import Child, ChildExit, open_child, share_with, signal_name
from midas_mp.participant.standstill import Standstill
from midas_mp.participant.status_page import StatusPage
from midas_mp.participant.zygote_messages import (
    ChildSpec,
    Exited,
    MessageReader,
    Signal,
    Spawn,
    pack,
)

SEND_TIMEOUT_S: Final = 10.0
"""A zygote that reads no message for so long is lost; it never does anything that takes longer
than a fork."""

CLOSE_TIMEOUT_S: Final = 3.0
"""For the zygote to kill and reap its children, before it is killed itself."""

ENVIRONMENT_NAMES: Final = frozenset(
    {"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
    | {"XDG_STATE_HOME"}  # where a cluster's processes know each other by
)
ENVIRONMENT_PREFIXES: Final = ("LC_", "PYTHON", "COVERAGE_")
"""What Python needs to start; secrets in the environment stay with the parent."""


class Zygote:
    """Starts children, signals them, reports their ends.  Not for use by several threads."""

    def __init__(
        self, process: subprocess.Popen[bytes], control: socket.socket, page: StatusPage
    ) -> None:
        self._process = process
        self._control = control
        self._page = page
        self._reader = MessageReader(Exited)
        self._children: dict[int, tuple[str, Callable[[ChildExit], None]]] = {}
        self._last_id = 0
        self._is_closed = False
        self._pauses = Standstill()
        """Of all children at a time."""
        self._holds: dict[int, Standstill] = {}
        """Of single children that have been held, by their numbers."""

    @classmethod
    def start(cls, *, pass_stdin: bool = False) -> Self:
        """Execs the zygote and returns at once; its imports go on while the caller does.

        Args:
            pass_stdin: children inherit the caller's stdin, else they read nothing from it.
        """
        page = StatusPage.create()
        control, theirs = socket.socketpair()
        control.settimeout(0)
        command = [
            *(sys.executable, "-P", "-m", "midas_mp.participant.zygote_process"),
            *(str(theirs.fileno()), str(os.getpid())),
        ]
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdin=None if pass_stdin else subprocess.DEVNULL,
                stdout=page.fileno(),
                stderr=page.fileno(),
                env=python_environment(),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            control.close()
            page.close()
            raise ProcessLost(f"cannot start {sys.executable}: {error.strerror}") from error
        finally:
            theirs.close()
        return cls(process, control, page)

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """Readable when ``dispatch`` has something to do."""
        return self._control.fileno()

    def spawn(self, spec: ChildSpec, on_exit: Callable[[ChildExit], None]) -> Child:
        """Asks for a child and returns without waiting for it.

        Args:
            spec: what it is to be.
            on_exit: called by ``dispatch``, once, when it has ended or could not be started.

        Raises:
            ProcessLost: the zygote is gone, or this process may open no more files.
        """
        self._last_id += 1
        try:
            child, their_socket, their_output = open_child(self._last_id)
        except OSError as error:
            raise ProcessLost(f"cannot start {spec.name}: {error.strerror}") from error
        fds = [their_socket.fileno(), their_output, child.page.fileno()]
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as on_failure:
            theirs.callback(their_socket.close)
            theirs.callback(os.close, their_output)
            on_failure.callback(child.close)
            shared = share_with(child, spec)
            if shared is not None:
                theirs.callback(shared.close)
                fds += shared.descriptors
            self._send(Spawn(child.id, spec, shared.outbound if shared else None), fds)
            on_failure.pop_all()
        self._children[child.id] = (spec.name, on_exit)
        return child

    def signal(self, child: Child, signum: int) -> None:
        """Sends a signal, through the zygote, which knows whether the child still lives.

        Raises:
            ProcessLost: the zygote is gone.
        """
        self._send_signal(child.id, signum)

    def hold(self, child: Child) -> None:
        """It stands still until it is released, whoever sends it SIGCONT meanwhile.

        Raises:
            ProcessLost: the zygote is gone.
        """
        self._holds.setdefault(child.id, Standstill()).begin(time.monotonic_ns())
        self._send_signal(child.id, signal.SIGSTOP)

    def release(self, child: Child) -> None:
        """It goes on.

        Raises:
            ProcessLost: the zygote is gone.
        """
        if child.id in self._holds:
            self._holds[child.id].end(time.monotonic_ns())
            self._send_signal(child.id, signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Every child stands still meanwhile.

        Raises:
            ProcessLost: the zygote is gone.
        """
        self._pauses.begin(time.monotonic_ns())
        self._signal_all(signal.SIGSTOP)
        yield
        self._pauses.end(time.monotonic_ns())
        self._signal_all(signal.SIGCONT)

    def paused_ns_since(self, child: Child, moment_ns: int) -> int:
        """How long a child has stood still since then: no time of its."""
        now_ns = time.monotonic_ns()
        hold = self._holds.get(child.id)
        own_ns = hold.ns_between(moment_ns, now_ns) if hold is not None else 0
        return own_ns + self._pauses.ns_between(moment_ns, now_ns)

    def dispatch(self) -> None:
        """Reads what the zygote reported and calls ``on_exit`` for it; does not wait.

        Raises:
            ProcessLost: the zygote itself is gone, and every child with it.
        """
        while not self._is_closed:
            try:
                data = self._control.recv(64 * 1024)
            except BlockingIOError:
                return
            except OSError:  # ECONNRESET: it left messages of ours unread
                data = b""
            if not data:
                raise self._lost()
            for exited in self._reader.feed(data):
                self._report(exited)

    def close(self) -> None:
        """Kills all children, ends the zygote, reaps it; idempotent, within bounded time.

        No ``on_exit`` is called any more.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._children.clear()
        self._control.close()
        self._wait()
        self._page.close()

    def _signal_all(self, signum: int) -> None:
        for child in self._children:
            self._send_signal(child, signum)

    def _send_signal(self, child: int, signum: int) -> None:
        hold = self._holds.get(child)
        if signum != signal.SIGCONT or hold is None or not hold.is_on:
            self._send(Signal(child, signum), [])

    def _report(self, exited: Exited) -> None:
        name, on_exit = self._children.pop(exited.child)
        self._holds.pop(exited.child, None)
        on_exit(
            ChildExit(
                name,
                exited.pid,
                exited.exit_code,
                exited.signal,
                exited.peak_bytes,
                exited.error,
            )
        )

    def _send(self, message: Spawn | Signal, fds: list[int]) -> None:
        if self._is_closed:
            raise ProcessLost("the zygote is closed")
        data = memoryview(pack(message))
        while data:
            try:
                sent = socket.send_fds(self._control, [data], fds)
            except BlockingIOError:
                self._wait_writable()
            except OSError as error:
                raise self._lost() from error
            else:
                data, fds = data[sent:], []

    def _wait_writable(self) -> None:
        poll = select.poll()
        poll.register(self._control, select.POLLOUT)
        if not poll.poll(SEND_TIMEOUT_S * 1000):
            raise ProcessLost(f"the zygote took no message for {SEND_TIMEOUT_S:.0f} s")

    def _lost(self) -> ProcessLost:
        """What is known about the zygote's end."""
        self._wait()
        code = self._process.returncode
        how = f"killed by {signal_name(-code)}" if code < 0 else f"exit code {code}"
        words = "" if self._page.fileno() < 0 else self._page.last_words()
        return ProcessLost(f"the zygote ended: {how}" + (f"\n{words}" if words else ""))

    def _wait(self) -> None:
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the kernel kills its children with it
            self._process.wait()


def python_environment() -> dict[str, str]:
    """An allow-list of this process' environment, and the way to this very midas_mp."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in ENVIRONMENT_NAMES or name.startswith(ENVIRONMENT_PREFIXES)
    }
    source = str(Path(midas_mp.__file__).resolve().parent.parent)
    # Not for site-packages: there it would go before the standard library.
    if source not in [*site.getsitepackages(), site.getusersitepackages()]:
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = source + (os.pathsep + before if before else "")
    return environment
