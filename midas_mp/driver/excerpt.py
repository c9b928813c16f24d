"""The line of source that an error message points at."""

from __future__ import annotations

import re
from typing import Final

from midas_mp.lua.bundle import Bundle

_POSITION: Final = re.compile(r"(?P<file>[^\n:]+):(?P<line>\d{1,9}): ")

EXCERPT_LENGTH_MAX: Final = 120


def source_line(bundle: Bundle, message: str) -> str | None:
    """``12 | return rows[i].x``, or None where the message names no line of the bundle."""
    match = _POSITION.match(message)
    if match is None:
        return None
    source = _source(bundle, match["file"])
    lines = source.split(b"\n") if source is not None else []
    number = int(match["line"])
    if not 1 <= number <= len(lines):
        return None
    text = lines[number - 1].decode("utf-8", "replace").strip()
    if len(text) > EXCERPT_LENGTH_MAX:
        text = text[: EXCERPT_LENGTH_MAX - 1] + "…"
    return f"{number} | {text}" if text else None


def _source(bundle: Bundle, file: str) -> bytes | None:
    """Files are called in messages as the Lua library names their chunks."""
    if file == bundle.main:
        return bundle.source
    if not file.endswith(".lua"):
        return None
    return bundle.modules.get(file.removesuffix(".lua").replace("/", "."))
