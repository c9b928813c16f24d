"""The zygote: ``python -P -m midas_mp.participant.zygote_process FD PARENT``.

One thread, no loop library, nothing of a script's.  It imports what a Lua process needs, once,
so that a fork takes milliseconds and the children share its memory; then it waits for messages
on the control socket FD and for the ends of its children.

It ends when the control socket or the process PARENT does (whichever is seen first: another
process may have inherited the parent's end of the socket by a fork), or by SIGKILL; no other
signal ends it.  All children end with it: it kills and reaps them, and where it cannot any more,
they carry a parent-death signal.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from collections import deque
from typing import Final, NoReturn

from midas_mp.blobs.exchange import ProcessBlobs
from midas_mp.participant import confinement, worker
from midas_mp.participant.status_page import StatusPage
from midas_mp.participant.zygote_messages import (
    WORKER_BROKEN,
    Exited,
    MessageReader,
    OutboundSpec,
    Signal,
    Spawn,
    pack,
)

IGNORED_SIGNALS: Final = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE),
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGALRM),
    *(signal.SIGUSR1, signal.SIGUSR2),
)
"""Somebody else's business: the parent decides when children end, with SIGKILL."""

_RECEIVE_BYTES: Final = 64 * 1024
_DESCRIPTORS_MAX: Final = 253
"""The kernel's bound for one message (SCM_MAX_FD)."""


class ZygoteProcess:
    """The loop: control socket, wake-ups by SIGCHLD, the parent's end."""

    def __init__(self, control: socket.socket, parent_pid: int) -> None:
        self._control = control
        self._reader: MessageReader[Spawn | Signal] = MessageReader(Spawn | Signal)  # type: ignore[arg-type]  # a union is no type to mypy
        self._descriptors: deque[int] = deque()
        self._pids: dict[int, int] = {}
        self._wake_read, self._wake_write = os.pipe()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._wake_read, select.POLLIN)
        self._watch_parent(parent_pid)

    def run(self) -> None:
        """Returns when the parent, or its end of the socket, is gone."""
        self._listen_to_signals()
        while True:
            ready = {fd for fd, _ in self._poll.poll()}
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
                self._reap()
                ready.discard(self._wake_read)
            if self._control.fileno() in ready:
                if not self._receive():
                    return
                ready.discard(self._control.fileno())
            if ready:
                return

    def kill_all(self) -> None:
        """Kills and reaps every child."""
        for pid in self._pids.values():
            os.kill(pid, signal.SIGKILL)
        for pid in self._pids.values():
            os.waitpid(pid, 0)

    def _watch_parent(self, parent_pid: int) -> None:
        if not hasattr(os, "pidfd_open"):
            return
        try:
            self._poll.register(os.pidfd_open(parent_pid), select.POLLIN)
        except ProcessLookupError:
            sys.exit(0)
        except OSError:  # an old kernel, or a sandbox around us: the socket has to do
            return
        if os.getppid() != parent_pid:
            sys.exit(0)

    def _listen_to_signals(self) -> None:
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for signum in IGNORED_SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def _receive(self) -> bool:
        """Takes what the parent said; False at the end of the socket."""
        try:
            data, descriptors, flags, _ = socket.recv_fds(
                self._control, _RECEIVE_BYTES, _DESCRIPTORS_MAX
            )
        except ConnectionError:
            return False
        if flags & socket.MSG_CTRUNC:
            sys.exit("too few open files are allowed here (see ulimit -n)")
        self._descriptors.extend(descriptors)
        for message in self._reader.feed(data):
            match message:
                case Spawn():
                    self._spawn(message)
                case Signal(child, signum):
                    if child in self._pids:
                        os.kill(self._pids[child], signum)
        return bool(data)

    def _spawn(self, message: Spawn) -> None:
        child = message.child
        descriptors = [self._descriptors.popleft() for _ in range(message.descriptor_count)]
        zygote_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._say(Exited(child, 0, None, None, 0, str(error.strerror)))
        else:
            if pid == 0:
                _become_child(message, zygote_pid, *descriptors)
            self._pids[child] = pid
        for fd in descriptors:
            os.close(fd)

    def _reap(self) -> None:
        children = {pid: child for child, pid in self._pids.items()}
        while self._pids:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            child = children[pid]
            del self._pids[child]
            code = os.waitstatus_to_exitcode(status)
            peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
            if code < 0:
                self._say(Exited(child, pid, None, -code, peak_bytes))
            else:
                self._say(Exited(child, pid, code, None, peak_bytes))

    def _say(self, message: Exited) -> None:
        try:
            self._control.sendall(pack(message))
        except OSError:  # the parent is gone: the next look at the socket ends the loop
            return


def _become_child(
    message: Spawn, zygote_pid: int, socket_fd: int, output_fd: int, page_fd: int, *shared_fds: int
) -> NoReturn:
    """The forked process: keeps its descriptors and stdin, and never returns."""
    spec = message.spec
    try:
        confinement.die_with_parent(zygote_pid)
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(page_fd, 1)
        os.dup2(page_fd, 2)
        if spec.profile != "driver":
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _close_all_but(socket_fd, output_fd, page_fd, *shared_fds)
        gc.enable()
        worker.serve(
            spec,
            socket.socket(fileno=socket_fd),
            output_fd,
            StatusPage.attach(page_fd),
            _blobs(message.outbound, *shared_fds),
        )
    except BaseException:  # noqa: BLE001 - nothing may climb back into the zygote's loop
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(WORKER_BROKEN)


def _blobs(outbound: OutboundSpec | None, *shared_fds: int) -> ProcessBlobs | None:
    if outbound is None:
        return None
    descriptors_fd, outbound_fd = shared_fds
    descriptors = socket.socket(fileno=descriptors_fd)
    return ProcessBlobs(descriptors, outbound.pool, outbound_fd, outbound.size_bytes)


def _close_all_but(*kept: int) -> None:
    """Keeps these and the standard three."""
    start = 3
    for fd in sorted(kept):
        os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def main() -> NoReturn:
    control_fd, parent_pid = map(int, sys.argv[1:])
    confinement.warm_up()
    worker.warm_up()
    gc.disable()
    gc.collect()
    gc.freeze()
    zygote = ZygoteProcess(socket.socket(fileno=control_fd), parent_pid)
    zygote.run()
    zygote.kill_all()
    # without clean-up at exit, which touches pages that nobody needs any more
    os._exit(0)


if __name__ == "__main__":
    main()
