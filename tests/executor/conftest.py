"""One executor for all tests that harm it not, and helpers to build calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from midas_mp import Executor

SQUARE = "function(x) return x * x end"
ECHO = "function(...) return ... end"
ENDLESS = "function() while true do end end"


@pytest.fixture(scope="session")
def shared_executor() -> Iterator[Executor]:
    with Executor(max_workers=2) as executor:
        yield executor


@pytest.fixture
def executor(shared_executor: Executor) -> Executor:
    """Must be left as it was: open, and with nothing under way."""
    return shared_executor


@pytest.fixture
def make_executor(nothing_left: None) -> Iterator[Callable[..., Executor]]:
    """Executors of the test's own, of which nothing must be left."""
    made: list[Executor] = []

    def make(**options: object) -> Executor:
        made.append(Executor(**({"max_workers": 1} | options)))
        return made[-1]

    yield make
    for executor in made:
        executor.shutdown(cancel_futures=True)
