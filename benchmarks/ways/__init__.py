"""Everything that can be asked to do the work, by name.

A way is imported only when it is asked for: most of them need a library that may be missing.
"""

from __future__ import annotations

import importlib
import shutil
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from benchmarks.ways.way import Way


class Entry(NamedTuple):
    """Where a way is found, and what must be installed for it.

    Attributes:
        title: as it stands in tables.
        module: below ``benchmarks.ways``.
        class_name: in it.
        distributions: what pip must have installed.
        programs: what must be on PATH.
    """

    title: str
    module: str
    class_name: str
    distributions: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    def missing(self) -> str:
        """Says what is not installed; empty when nothing is missing."""
        for name in self.distributions:
            try:
                metadata.version(name)
            except metadata.PackageNotFoundError:
                return f"{name} is not installed"
        for name in self.programs:
            if shutil.which(name) is None:
                return f"{name} is not installed"
        return ""

    def make(self) -> Way:
        module = importlib.import_module(f"benchmarks.ways.{self.module}")
        way: Way = getattr(module, self.class_name)()
        return way


_MPI = {"distributions": ("mpi4py",), "programs": ("mpiexec",)}

WAYS = {
    "midas": Entry("Midas Executor", "midas", "MidasExecutor"),
    "midas-aio": Entry("Midas aio.Client", "midas", "MidasClient"),
    "midas-host": Entry("Midas Executor, host_process=True", "midas", "MidasHostProcess"),
    "midas-tcp": Entry("Midas Executor, host and node by TCP", "midas", "MidasCluster"),
    "pool": Entry("multiprocessing.Pool", "standard", "Pool"),
    "process-pool": Entry("ProcessPoolExecutor", "standard", "ProcessPool"),
    "joblib": Entry("joblib", "joblib_loky", "Joblib", ("joblib",)),
    "dask": Entry("Dask", "dask_distributed", "Dask", ("distributed",)),
    "ray": Entry("Ray", "ray_tasks", "Ray", ("ray",)),
    "mpi-pool": Entry("mpi4py.futures", "mpi", "MpiPool", **_MPI),
    "mpi": Entry("mpi4py collectives", "mpi", "MpiCollectives", **_MPI),
    "mpi-apart": Entry("mpi4py collectives, idle root", "mpi", "MpiCollectivesApart", **_MPI),
}
"""In the order of tables; Midas first."""
