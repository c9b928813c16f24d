"""What calls and scripts print, for programs that have no display."""

from __future__ import annotations

import contextlib
import contextvars
import sys

from midas_mp.client.printable import printable


class Printer:
    """Prints to stderr in the context of whoever called last: a notebook shows it below that cell.

    What is printed comes in the loop's thread, whose own context is that of its start.
    """

    def __init__(self) -> None:
        self._context = contextvars.copy_context()

    def called(self) -> None:
        """The present context is that of a call."""
        self._context = contextvars.copy_context()

    def print_of_call(self, _index: int, worker: str, text: bytes) -> None:
        """The number of a call tells a person nothing."""
        self._context.run(print_tagged, worker, text)

    def print_of_script(self, index: int, worker: str, text: bytes) -> None:
        """A task of a script has a number; the script's own process is no worker."""
        self._context.run(print_tagged, f"{index} {worker}" if worker else "", text)


def print_tagged(tag: str, text: bytes) -> None:
    """Each line with the tag before it, unless that is ""; a stderr that takes nothing is
    nobody's error.
    """
    start = f"[{tag}] " if tag else ""
    lines = printable(text).split("\n")
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.writelines(f"{start}{line}\n" for line in lines)
        sys.stderr.flush()
