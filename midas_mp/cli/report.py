"""What a person reads when something went wrong, and text that a terminal may safely show."""

from __future__ import annotations

import contextlib
import sys
from typing import Final, TextIO

from midas_mp.client.printable import printable
from midas_mp.errors import InternalError, MidasError, ScriptError

BUG_NOTE: Final = "this is a bug in Midas: please report it, with the output of --debug"


def write_line(text: str) -> None:
    """One line or block on stderr; a stderr that takes nothing more is nobody's error."""
    stream = sys.stderr
    with contextlib.suppress(OSError):
        write_whole(stream, f"{text}\n".encode(stream.encoding, stream.errors or "strict"))


def write_whole(stream: TextIO, data: bytes) -> None:
    """All of it, behind what was written before.

    With PYTHONUNBUFFERED a text stream forgets what a pipe or a terminal did not take at once.

    Raises:
        OSError: it takes no more.
    """
    stream.flush()
    rest = memoryview(data)
    while rest:
        rest = rest[stream.buffer.write(rest) :]
    stream.buffer.flush()


def describe(error: BaseException) -> str:
    """The whole block for one error, without a final line feed."""
    if isinstance(error, ScriptError):
        return _describe_script_error(error)
    if isinstance(error, MidasError) and not isinstance(error, InternalError):
        notes: list[str] = getattr(error, "__notes__", [])
        return "\n".join(f"midas: {_hanging(text)}" for text in (str(error), *notes))
    return f"midas: {BUG_NOTE}\n{type(error).__name__}: {printable(str(error))}"


def _hanging(text: str) -> str:
    """Lines behind the first one begin as none of ours does."""
    return printable(text).replace("\n", "\n  ")


def _describe_script_error(error: ScriptError) -> str:
    place = f" in {error.place}" if error.place else ""
    lines = [f"midas: script error{place}", *_indented(error.message)]
    if hint := _hint(error):
        lines.append(f"  {hint}")
    if error.excerpt:
        lines += _indented(f"  {error.excerpt}")
    if error.traceback:
        lines += _indented(error.traceback)
    return "\n".join(lines)


def _hint(error: ScriptError) -> str:
    """How to have a higher limit than the one that was reached."""
    match error.kind:
        case "timeout":
            return "more time: --timeout or config.timeout_s"
        case "memory" if error.function in ("execute_code", None):
            return "more memory: --memory or config.memory, as far as the node has it"
        case "memory":
            return "more memory: --driver-memory"
        case _:
            return ""


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in printable(text).splitlines()]


def lua_number(value: float) -> str:
    """A number as people want it: whole ones in full, others with Lua's 14 digits."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.14g}"
