"""Text of scripts and peers that a terminal may safely show."""

from __future__ import annotations

import re
from typing import Final

_UNSAFE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

_COLOUR: Final = re.compile(r"(\x1b\[[\d;]{0,40}m)")


def printable(text: str | bytes) -> str:
    """Text from a script or a peer with everything visible and nothing obeyed.

    Tabs and line feeds stay; other control characters, and those that turn the writing
    direction, become escapes, as do bytes that are not UTF-8.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return _UNSAFE.sub(_escape, text)


def printable_in_colour(text: str | bytes) -> str:
    """The same, but a text may be in colours."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    parts = _COLOUR.split(text)  # every second one is a colour
    return "".join(part if i % 2 else printable(part) for i, part in enumerate(parts))


def printable_line(text: str | bytes) -> str:
    """The same in one line: nothing in it can pass for a line of somebody else's."""
    return printable(text).replace("\n", "\\n")


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
