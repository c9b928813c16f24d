"""Where the command ``midas`` begins and ends: signals, standard streams, the exit code.

What it imports comes late, so that a Ctrl-C at once finds a process that knows what to do with it.
"""

from __future__ import annotations

import io
import os
import signal
import sys


def main() -> None:
    """Entry point: never returns, never shows a traceback unless asked to."""
    # as long as nothing has to be taken down in order, an interrupt just ends the process
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _prepare_streams()
    try:
        from midas_mp.cli.commands import run_command

        sys.exit(run_command(sys.argv[1:]))
    finally:
        _close_streams()


def _prepare_streams() -> None:
    """Who closed stdout or stderr does not want it, but nothing else may take its descriptor."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            from pathlib import Path

            # descriptors are given lowest first, so this is the one that was missing
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - it stays
            os.set_inheritable(stream.fileno(), True)  # noqa: FBT003 - children want none either
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # help, where there is no UTF-8


def _close_streams() -> None:
    """What cannot be written any more (``| head``, a full disk) has been told, or is no error of
    ours; Python would complain about it at exit.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
