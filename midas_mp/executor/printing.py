"""What calls print, for programs that have no display."""

from __future__ import annotations

import contextlib
import sys

from midas_mp.client.printable import printable


def print_to_stderr(_index: int, worker: str, text: bytes) -> None:
    """What a call prints: the number of a call tells a person nothing."""
    print_tagged(worker, text)


def print_tagged(tag: str, text: bytes) -> None:
    """Each line with the tag before it, unless that is ""; a stderr that takes nothing is
    nobody's error.
    """
    start = f"[{tag}] " if tag else ""
    lines = printable(text).split("\n")
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write("".join(f"{start}{line}\n" for line in lines))
        sys.stderr.flush()
