"""What one job knows against nodes; see ``quarantine``."""

from __future__ import annotations


class Standings:
    """By node id; who is not mentioned is in good standing."""

    __slots__ = ("set_aside", "strikes")

    def __init__(self) -> None:
        self.strikes: dict[str, int] = {}
        """Tasks in a row that failed there and succeeded elsewhere."""
        self.set_aside: dict[str, float] = {}
        """Who gets none of its tasks, and until when."""
