"""Fixtures for tests of programs that use Midas; pytest finds them wherever Midas is installed.

    def test_squares(midas_executor):
        assert list(midas_executor.map("function(x) return x * x end", range(3))) == [0, 1, 4]

Every run of pytest imports this, so that what is slow to import waits until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

TYPE_CHECKING = False  # as type checkers know it; see midas_mp
if TYPE_CHECKING:
    from midas_mp import Executor, LocalCluster


@pytest.fixture(scope="session")
def midas_executor() -> Iterator[Executor]:
    """A ``midas_mp.Executor`` with two workers on this machine, the same for all tests."""
    import midas_mp

    executor = midas_mp.Executor(max_workers=2)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


@pytest.fixture
def midas_cluster() -> Iterator[LocalCluster]:
    """A ``midas_mp.LocalCluster`` for one test, which may do it harm: a host and two participants
    of one worker each, all processes of their own.
    """
    import midas_mp

    with midas_mp.LocalCluster(workers=1, participants=2) as cluster:
        yield cluster
