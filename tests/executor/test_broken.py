"""Losses as users of the standard library catch them."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor

from midas_mp.errors import ClusterLost, HostUnreachable, JobKilled, ProcessLost, ScriptError
from midas_mp.executor.broken import BrokenCluster, ExecutorClosed, as_broken


def test_a_loss_is_a_broken_executor_and_says_the_same():
    for cause in (
        ClusterLost("gone"),
        ProcessLost("gone"),
        HostUnreachable("gone"),
        JobKilled("gone"),
    ):
        broken = as_broken(cause)
        assert isinstance(broken, BrokenExecutor)
        assert isinstance(broken, ClusterLost)
        assert str(broken) == "gone"
        assert broken.__cause__ is cause
        assert as_broken(broken) is broken


def test_what_is_no_loss_stays_what_it_is():
    error = ScriptError("runtime", "x")
    assert as_broken(error) is error


def test_a_closed_executor_is_a_runtime_error():
    assert issubclass(ExecutorClosed, RuntimeError)
    assert BrokenCluster.exit_code == ClusterLost.exit_code
