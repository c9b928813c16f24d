"""Chance that repeats itself: the same name gives the same run of luck, in every process."""

from __future__ import annotations

import random


class Chance(random.Random):
    """A source of random numbers, seeded by a name (texts are hashed the same way everywhere)."""

    def __init__(self, name: str) -> None:
        super().__init__(name)

    def happens(self, probability: float) -> bool:
        return self.random() < probability

    def branch(self) -> Chance:
        """Another source, so that what draws from it does not disturb what draws from this."""
        return Chance(f"{self.random()}")
