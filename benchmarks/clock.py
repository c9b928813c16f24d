"""The clock that all benchmarks run on: it stands still, and is told what was measured.

Where the work is done by another program, only that one knows how long the work alone took; and a
round may prepare and check what it likes without a second being counted.
"""

from __future__ import annotations


class ToldClock:
    """A timer for pytest-benchmark.

    Attributes:
        seconds: what it shows.
    """

    __name__ = "ToldClock"

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


CLOCK = ToldClock()
