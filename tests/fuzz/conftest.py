"""Runs numbered cases: a few in every test run, and as many as there is time for by hand.

MIDAS_FUZZ_SECONDS=3600 pytest tests/fuzz           each test for an hour, with other cases
MIDAS_FUZZ_CASE=1234 pytest "tests/fuzz/…::test_…"  one case again; a failure names it so
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from midas_mp.testing.chance import Chance

SECONDS = float(os.environ.get("MIDAS_FUZZ_SECONDS", "0"))
CASE = os.environ.get("MIDAS_FUZZ_CASE", "")

HAND_MADE_START = 10**6
"""Cases below this number are for every test run; by hand others are tried, and never the same."""

CASES_AT_ONCE = 50


class Fuzz:
    """The cases of one test.

    Attributes:
        name: of the test; with a number it says all of a case.
        done: how many cases were tried.
    """

    def __init__(self, node_id: str) -> None:
        self._replay = f'pytest "{node_id}"'
        self.name = node_id.partition("::")[2]
        self.done = 0

    def chance(self, number: int) -> Chance:
        return Chance(f"{self.name} {number}")

    def ranges(self, count: int, at_once: int = CASES_AT_ONCE) -> Iterator[range]:
        """The numbers of this test run's cases, ``count`` of them unless somebody wants others."""
        if CASE:
            yield range(int(CASE), int(CASE) + 1)
            return
        if not SECONDS:
            yield range(count)
            return
        start = HAND_MADE_START + time.time_ns() // 10**6
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            yield range(start, start + at_once)
            start += at_once

    def run(self, case: Callable[[Chance], None], count: int) -> None:
        """Tries one case after the other; the first that fails is named."""
        for numbers in self.ranges(count):
            for number in numbers:
                try:
                    case(self.chance(number))
                except Exception as error:
                    error.add_note(self.again(number))
                    raise
            self.done += len(numbers)
        self.tell()

    def tell(self) -> None:
        """How many it were."""
        if SECONDS:
            print(f"{self.name}: {self.done:,} cases")  # noqa: T201 - a figure

    def again(self, number: int) -> str:
        return f"once more: MIDAS_FUZZ_CASE={number} {self._replay}"


@pytest.fixture
def fuzz(request: pytest.FixtureRequest) -> Fuzz:
    return Fuzz(request.node.nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By hand they may take their time."""
    if SECONDS:
        for item in items:
            if "/fuzz/" in item.path.as_posix():
                item.add_marker(pytest.mark.timeout(2 * SECONDS + 120))
