"""Runs a command's coroutine: signals, exit codes, the answer on stdout."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any, Final, NoReturn, TypeVar

import click

from midas_mp.cli.report import lua_number, write_whole
from midas_mp.client.printable import printable_in_colour
from midas_mp.errors import InternalError, MidasError, WorldError

T = TypeVar("T")

STOPPING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(MidasError):
    """A signal ended the command."""

    code = "stopped"

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
        # not the class's: by the shell's rule it depends on the signal
        self.exit_code = 128 + signum  # type: ignore[misc]

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.signum).name}"


async def until_stopped(
    work: Coroutine[Any, Any, T],
    *,
    announce: Callable[[str], None] | None = None,
    suspending: Callable[[], AbstractContextManager[None]] = nullcontext,
    drain: Callable[[], None] | None = None,
) -> T:
    """Awaits ``work``; the first signal cancels it, a second one ends the process at once, also
    where taking things down hangs.

    Args:
        work: what the command does.
        announce: is told that it stops.
        suspending: what must stand still too while the terminal has the command suspended.
        drain: what the first SIGTERM does instead: ``work`` is then to end by itself, and well.

    Raises:
        Stopped: a signal came; everything has been taken down in order.
        InternalError: a bug of ours broke a callback of the loop: nobody would wait for its end.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    signals = _Signals(loop, task, announce or _say_nothing, drain)
    bugs = _watch_callbacks(loop, task)
    try:
        with _suspendable(loop, suspending):
            return await task
    except asyncio.CancelledError:
        reason = _reason(signals.stopped_by, bugs)
        if reason is None:
            raise
        raise reason from reason.__cause__
    finally:
        signals.restore()


class _Signals:
    """What signals do while a command works.

    Attributes:
        stopped_by: the signal that ended the work; None so far.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        task: asyncio.Future[Any],
        announce: Callable[[str], None],
        drain: Callable[[], None] | None,
    ) -> None:
        self.stopped_by: int | None = None
        self._loop = loop
        self._task = task
        self._announce = announce
        self._drain = drain
        self._before = {signum: signal.getsignal(signum) for signum in STOPPING_SIGNALS}
        if self._before[signal.SIGHUP] is signal.SIG_IGN:
            del self._before[signal.SIGHUP]  # started by nohup
        for signum in self._before:
            loop.add_signal_handler(signum, self._heard, signum)

    def restore(self) -> None:
        """As it was before, unless the process is ending."""
        if self.stopped_by is None:
            for signum, handler in self._before.items():
                self._loop.remove_signal_handler(signum)
                signal.signal(signum, handler)

    def _heard(self, signum: int) -> None:
        drain, self._drain = self._drain, None
        if drain is not None and signum == signal.SIGTERM:
            self._announce("SIGTERM: nothing new is taken; once more to stop at once")
            drain()
        else:
            self._stop(signum)

    def _stop(self, signum: int) -> None:
        self.stopped_by = signum
        for each in self._before:
            self._loop.remove_signal_handler(each)
            signal.signal(each, _end_at_once)  # the loop itself may be what hangs
        self._announce(f"stopping ({signal.Signals(signum).name}); once more to stop at once")
        self._task.cancel()


def _say_nothing(_text: str) -> None:
    """Where there is nobody to announce anything to."""


@contextmanager
def _suspendable(
    loop: asyncio.AbstractEventLoop, suspending: Callable[[], AbstractContextManager[None]]
) -> Iterator[None]:
    """Obeys Ctrl-Z, but takes along what must stand still with this process."""

    def suspend() -> None:
        with suspending():
            os.kill(os.getpid(), signal.SIGSTOP)  # returns when a SIGCONT comes

    if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
        loop.add_signal_handler(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTSTP)


def _reason(stopped_by: int | None, bugs: list[Exception]) -> MidasError | None:
    """Why the work was cancelled; None is not by us."""
    if stopped_by is not None:
        return Stopped(stopped_by)
    if not bugs:
        return None
    error = InternalError(f"{type(bugs[0]).__name__}: {bugs[0]}")
    error.__cause__ = bugs[0]
    return error


def _watch_callbacks(loop: asyncio.AbstractEventLoop, task: asyncio.Future[Any]) -> list[Exception]:
    """Cancels the task when a callback of the loop breaks; what broke it is then in the list."""
    bugs: list[Exception] = []

    def broke(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        cause = context.get("exception")
        is_callback = "handle" in context or "link" in context
        if is_callback and isinstance(cause, Exception) and not isinstance(cause, OSError):
            bugs.append(cause)
            task.cancel()
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(broke)
    return bugs


def _end_at_once(signum: int, _frame: FrameType | None) -> NoReturn:
    """Children see the end of their sockets and go too."""
    os._exit(128 + signum)


def print_answer(value: str | bytes | float | None) -> None:
    """The answer of a job on stdout, and a line feed; None prints nothing.

    Byte for byte, but for a terminal, where nothing in it works but colours.

    Raises:
        click.exceptions.Exit: the reader went away.
        WorldError: stdout takes it not, for another reason.
    """
    if value is None:
        return
    if isinstance(value, int | float):
        value = lua_number(value)
    if sys.stdout.isatty():  # which would obey it
        value = printable_in_colour(value)
    data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
    try:
        write_whole(sys.stdout, data + b"\n")
    except BrokenPipeError:
        raise click.exceptions.Exit(WorldError.exit_code) from None
    except OSError as error:
        raise WorldError(f"cannot write the answer to stdout: {error.strerror}") from None
