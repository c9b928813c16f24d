"""Facts in columns that are as wide as they must be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from midas_mp.client.printable import printable_line


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lines without a final line feed; nothing that somebody else says breaks out of its own."""
    lines = [head, *([printable_line(str(word)) for word in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
