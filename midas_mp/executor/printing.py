"""What calls print, for programs that have no display."""

from __future__ import annotations

import contextlib
import sys

from midas_mp.client.printable import printable


def print_to_stderr(_index: int, worker: str, text: bytes) -> None:
    """Each line with the worker before it; a stderr that takes nothing is nobody's error."""
    lines = printable(text).splitlines()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write("".join(f"[{worker}] {line}\n" for line in lines))
        sys.stderr.flush()
