"""The errors of an executor as the standard library's users expect to catch them."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor

from midas_mp.errors import ClusterLost, MidasError, UsageError, WorldError


class BrokenCluster(ClusterLost, BrokenExecutor):
    """The host, or every worker, went away, or somebody killed the job: nothing more will come of
    it.  The cause, such as ``midas_mp.errors.JobKilled``, is its ``__cause__``.
    """

    code = "broken_cluster"


class ExecutorClosed(UsageError, RuntimeError):
    """The executor was shut down, or is another process'."""

    code = "executor_closed"


def as_broken(error: MidasError) -> MidasError:
    """A loss as ``BrokenExecutor``; whatever else it is stays what it is."""
    if not isinstance(error, WorldError) or isinstance(error, BrokenCluster):
        return error
    broken = BrokenCluster(str(error))
    broken.__cause__ = error
    return broken
