"""What happened in a simulation: lines with virtual times, and how often each thing happened."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable

from midas_mp.wire.framing import Frame


class Trace:
    """Everybody in a simulation tells it what they do.

    Attributes:
        counts: how often what happened.

    Args:
        now: reads the virtual time.
        write: takes each line; None saves the time of making them.
    """

    def __init__(self, now: Callable[[], float], write: Callable[[str], None] | None) -> None:
        self.counts: Counter[str] = Counter()
        self._now = now
        self._write = write
        self._aliases: dict[str, str] = {}
        self._hash = hashlib.blake2b(digest_size=16)

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] += number

    def alias(self, text: str, name: str) -> None:
        """Write a name for what is drawn anew in every run, such as an id."""
        self._aliases[text] = name

    def note(self, who: str, *what: object) -> None:
        """One line; its parts are only made into text when somebody reads them."""
        if self._write is None:
            return
        line = f"{self._now():12.6f} {who:>9} {' '.join(map(str, what))}"
        for text, name in self._aliases.items():
            line = line.replace(text, name)
        self._hash.update(line.encode())
        self._write(line)

    @property
    def is_read(self) -> bool:
        return self._write is not None

    @property
    def digest(self) -> str:
        """Of all lines so far."""
        return self._hash.hexdigest()


def outline(frames: list[Frame]) -> str:
    """What frames say, without what is drawn at random in each process (ids)."""
    return ", ".join(map(_outline, frames))


def _outline(frame: Frame) -> str:
    message = frame.message
    parts = [type(message).__name__]
    for field in ("round", "offset", "count", "epoch", "code", "received_bytes"):
        value = getattr(message, field, None)
        if value is not None:
            parts.append(f"{field}={value}")
    for field in ("calls", "outcomes", "tasks", "held"):
        things = getattr(message, field, None)
        if things:
            parts.append(f"{field}={[thing.index for thing in things]}")
    indices = getattr(message, "indices", None)
    if indices:
        parts.append(f"indices={indices}")
    if frame.channel:
        parts.append(f"@{frame.channel}")
    return " ".join(parts)
