"""Midas: a distributed executor for Lua.  One Lua file is a whole job.

The house, from the cellar up; imports go down only:

    wire/          floor 0   words: typed messages, framing, one peer's conversation         pure
    scheduler/     floor 1   mind: Scheduler.step(events, now) -> Ready                      pure
    transport/     floor 2   streams: TCP, socketpairs, memory; the event loop
    lua/           floor 2   Lua: runtime, bundles, and library/*.lua
    journal/       floor 2   the finished results of a job, on disk
    join/          floor 2½  credentials: who belongs to whom, by which secret or certificate
    host/          floor 3   the coordinator: a shell around the scheduler
    participant/   floor 3   a node: launcher, zygote, confined workers
    client/        floor 4   a client of any host; a whole cluster in this process
    driver/        floor 5   the three-function job
    executor/      floor 5   Lua functions as futures, for programs in Python
    aio.py         floor 6   the same for asyncio
    local_cluster  floor 7   a cluster of real processes, for tests of programs
    pytest_plugin  floor 8   the same as fixtures
    cli/           floor 6   arguments, printing, exit codes

One task's way:  generate_data (script process) → driver → client → host → launcher → worker:
execute_code, and its result back the same way into ``results``.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; the module that has it is slow to import
if TYPE_CHECKING:
    from typing import Any, Final

    from midas_mp import aio
    from midas_mp.client.arrays import empty
    from midas_mp.errors import (
        ClusterLost,
        HostUnreachable,
        JobKilled,
        JournalFailed,
        JournalRefused,
        MidasError,
        PeerRefused,
        ProcessLost,
        ScriptError,
        UnsendableValue,
        UsageError,
    )
    from midas_mp.executor.broken import BrokenCluster, ExecutorClosed
    from midas_mp.executor.executor import Executor
    from midas_mp.executor.function import LuaFunction, lua_function
    from midas_mp.join.access import Access
    from midas_mp.local_cluster import LocalCluster

__version__ = "0.1.0"

__all__ = [
    "Access",
    "BrokenCluster",
    "ClusterLost",
    "Executor",
    "ExecutorClosed",
    "HostUnreachable",
    "JobKilled",
    "JournalFailed",
    "JournalRefused",
    "LocalCluster",
    "LuaFunction",
    "MidasError",
    "PeerRefused",
    "ProcessLost",
    "ScriptError",
    "UnsendableValue",
    "UsageError",
    "__version__",
    "aio",
    "empty",
    "lua_function",
]

_HOMES: Final = {
    "Access": "midas_mp.join.access",
    "BrokenCluster": "midas_mp.executor.broken",
    "ClusterLost": "midas_mp.errors",
    "Executor": "midas_mp.executor.executor",
    "ExecutorClosed": "midas_mp.executor.broken",
    "HostUnreachable": "midas_mp.errors",
    "JobKilled": "midas_mp.errors",
    "JournalFailed": "midas_mp.errors",
    "JournalRefused": "midas_mp.errors",
    "LocalCluster": "midas_mp.local_cluster",
    "LuaFunction": "midas_mp.executor.function",
    "MidasError": "midas_mp.errors",
    "PeerRefused": "midas_mp.errors",
    "ProcessLost": "midas_mp.errors",
    "ScriptError": "midas_mp.errors",
    "UnsendableValue": "midas_mp.errors",
    "UsageError": "midas_mp.errors",
    "aio": "midas_mp.aio",
    "empty": "midas_mp.client.arrays",
    "lua_function": "midas_mp.executor.function",
}
"""Where the public names live.  They are fetched when they are asked for: the command line needs
none of them, and starts in less time than they take."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "aio":
        return import_module(home)
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
