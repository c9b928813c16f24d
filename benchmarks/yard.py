"""Who has workers at the moment."""

from __future__ import annotations

import pytest

from benchmarks.ways import WAYS
from benchmarks.ways.way import Way

WORKERS = 2
"""Of every way, unless the question is another number."""


class Yard:
    """Holds the one way that has workers now: idle workers of others would be in its way."""

    def __init__(self) -> None:
        self._name = ""
        self._workers = 0
        self._way = Way()

    def ready(self, name: str, workers: int = WORKERS) -> Way:
        """The way with so many workers, started if it is not the one of before.

        A way that cannot be started here is skipped by name.
        """
        if (name, workers) != (self._name, self._workers):
            self.close()
            if missing := WAYS[name].missing():
                pytest.skip(missing)
            way = WAYS[name].make()
            way.start(workers)
            self._name, self._workers, self._way = name, workers, way
        return self._way

    def close(self) -> None:
        """Afterwards nobody has workers."""
        self._way.stop()
        self._name, self._way = "", Way()
