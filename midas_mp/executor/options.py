"""What users say of an executor and of a map, checked and in our own words."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from midas_mp import limits
from midas_mp.config import (
    JobOptions,
    OnError,
    TaskCount,
    TimeLimit,
    check_arguments,
    parse_duration,
    parse_engine,
    parse_size,
)
from midas_mp.driver.loading import DEFAULT_ENGINE
from midas_mp.errors import UsageError
from midas_mp.executor.collector import Collector
from midas_mp.executor.feed import MapPlan
from midas_mp.executor.function import LuaFunction
from midas_mp.executor.items import REFILL_PARTS
from midas_mp.executor.progress import Told
from midas_mp.executor.scripts import ScriptPlan
from midas_mp.executor.workplace import WorkplaceSpec
from midas_mp.join.access import Access
from midas_mp.participant.grants import node_permissions
from midas_mp.permissions import KINDS, SANDBOX_LEVELS, Grant, Permissions, parse_kind
from midas_mp.transport.address import Address
from midas_mp.wire.messages import JobSpec

_log = logging.getLogger("midas_mp")

Word = str | int | float | os.PathLike[str]
"""What may be an argument of a script, which reads all of them as text."""

_PARTS_PER_WORKER: Final = 4
"""Tasks of each worker that a full buffer shall make."""


class MapOptions(NamedTuple):
    """What ``map`` and ``starmap`` understand alike."""

    timeout: float | None
    chunksize: int | None
    buffersize: int | None
    unordered: bool
    progress: Told | bool

    def plan(self, function: LuaFunction, arity: int, workers: int) -> MapPlan:
        """What the feed must know, on so many workers.

        Raises:
            ValueError: a size below 1.
        """
        for name, size in (("chunksize", self.chunksize), ("buffersize", self.buffersize)):
            if size is not None and (not isinstance(size, int) or size < 1):
                raise ValueError(f"{name} must be a whole number of 1 or more, not {size!r}")
        size_max = 0
        if self.buffersize is not None:  # every worker shall have some of it
            size_max = max(1, self.buffersize // (_PARTS_PER_WORKER * max(1, workers)))
        return MapPlan(function, arity, self.chunksize, size_max)

    def collector(self, *, raw: bool) -> Collector:
        """What puts the results in order."""
        is_single = self.chunksize == 1
        if self.buffersize is None:
            return Collector(is_single=is_single, unordered=self.unordered, raw=raw)
        # else workers would wait until all that was given together is read
        run_max = max(1, self.buffersize // REFILL_PARTS)
        return Collector(is_single=is_single, unordered=self.unordered, raw=raw, run_max=run_max)


def make_site(
    address: str | None,
    workers: int | None,
    memory: int | str | None,
    sandbox_level_max: int,
    *,
    host_process: bool = False,
    token: str | Access | None = None,
    allow: Collection[str] = (),
    deny: Collection[str] = (),
    sandbox_level_min: int = 0,
) -> WorkplaceSpec:
    """Where calls run.

    Raises:
        UsageError: an option makes no sense.
    """
    if address is not None and workers is not None:
        raise UsageError("max_workers is for this machine; at an address the host has workers")
    if address is not None and host_process:
        raise UsageError("host_process is for this machine; at an address there is a host")
    if address is not None and allow:
        raise UsageError("allow is for this machine; at an address the owners of nodes grant")
    if address is None and token is not None:
        raise UsageError("a token is for a host: say its address")
    most = limits.WORKERS_PER_NODE_MAX
    if workers is not None and (not isinstance(workers, int) or not 1 <= workers <= most):
        raise UsageError(f"max_workers must be a whole number from 1 to {most}, not {workers!r}")
    access = token if isinstance(token, Access) else Access.of_environment(token)
    if address is not None and access.is_insecure:
        _log.warning("insecure: whoever is between here and %s can change everything", address)
    return WorkplaceSpec(
        Address.parse(address) if address is not None else None,
        workers,
        memory_bytes(memory) or None,
        sandbox_level_max,
        host_process,
        access,
        granted(allow, deny),
        check_level(sandbox_level_min),
    )


def granted(allow: Collection[str], deny: Collection[str]) -> Permissions:
    """What tasks may use on nodes of ours.

    Raises:
        TypeError: one word instead of a list of them.
        UsageError: a word that is no permission, or a folder that is none.
    """
    if isinstance(allow, str):
        raise TypeError("allow must be a list, such as ['read=/data']")
    return node_permissions(map(Grant.parse, allow), denied_kinds(deny))


def denied_kinds(deny: Collection[str]) -> tuple[str, ...]:
    """What nobody may use.

    Raises:
        TypeError: one word instead of a list of them.
        UsageError: a word that is none of them.
    """
    if isinstance(deny, str):
        raise TypeError("deny must be a list, such as ['clock']")
    return tuple(map(parse_kind, deny))


def check_level(level: int) -> int:
    """One of those that a sandbox has.

    Raises:
        UsageError: there is no such level.
    """
    if level not in range(len(SANDBOX_LEVELS)):
        raise UsageError(f"sandbox_level_min must be 0 to {len(SANDBOX_LEVELS) - 1}, not {level!r}")
    return level


def make_spec(
    timeout: float | str | None,
    memory: int | str | None,
    seed: int,
    lua: str,
    retries: int = 0,
    *,
    deny: Collection[str] = (),
) -> JobSpec:
    """What the workers are told of the calls.

    Raises:
        UsageError: an option makes no sense.
    """
    if retries not in range(limits.RETRIES_MAX + 1):
        raise UsageError(f"retries must be 0 to {limits.RETRIES_MAX}, not {retries!r}")
    return JobSpec(
        engine=parse_engine(lua),
        seed=seed,
        timeout_s=0.0 if timeout is None else parse_duration(_plain(timeout)),
        memory_bytes=memory_bytes(memory),
        retries=retries,
        permissions=JobOptions(denied=denied_kinds(deny)).kinds_asked,
    )


class ScriptOptions(NamedTuple):
    """What ``run`` understands."""

    args: tuple[Word, ...] = ()
    tasks: int | str | None = None
    arg: Mapping[str, Word] | None = None
    on_error: OnError | None = None
    modules: Iterable[str] = ()
    journal: str | os.PathLike[str] | None = None
    allow_write: Iterable[str | os.PathLike[str]] = ()

    def plan(self, path: str | os.PathLike[str], spec: JobSpec) -> ScriptPlan:
        """How the script is run, where an executor's calls run so.

        What the executor was not told is up to the script.

        Raises:
            TypeError: an argument is neither text nor a number.
            UsageError: an option makes no sense, or arguments cannot travel.
        """
        if self.on_error not in (None, "stop", "continue"):
            raise UsageError(f"on_error must be 'stop' or 'continue', not {self.on_error!r}")
        if isinstance(self.modules, str):
            raise TypeError("modules must be a list of names")
        if isinstance(self.allow_write, str):
            raise TypeError("allow_write must be a list of folders")
        if self.arg is not None and not isinstance(self.arg, Mapping):
            raise TypeError(f"arg must be a dict of names and values, not {self.arg!r}")
        asked = spec.permissions
        options = JobOptions(
            tasks=None if self.tasks is None else TaskCount.parse(str(self.tasks)),
            timeout=TimeLimit(spec.timeout_s) if spec.timeout_s else None,
            memory_bytes=spec.memory_bytes or None,
            on_error=self.on_error,
            seed=spec.seed or None,
            arg=tuple(map(_text, self.args)),
            arg_named={_text(name): _text(word) for name, word in (self.arg or {}).items()},
            engine=None if spec.engine == DEFAULT_ENGINE else parse_engine(spec.engine),
            modules=tuple(self.modules),
            retries=spec.retries or None,
            denied=() if asked is None else tuple(kind for kind in KINDS if kind not in asked),
            allow_write=tuple(map(_folder, self.allow_write)),
        )
        script = Path(path)
        check_arguments(script, options)
        journal = None if self.journal is None else Path(self.journal)
        return ScriptPlan(script, options, str(Path.cwd()), journal)


def _text(word: Word) -> str:
    if isinstance(word, os.PathLike):
        return os.fspath(word)
    if isinstance(word, bool) or not isinstance(word, str | int | float):
        raise TypeError(f"an argument of a script must be text or a number, not {word!r}")
    return str(word)


def _folder(path: str | os.PathLike[str]) -> str:
    if not Path(path).is_dir():
        raise UsageError(f"allow_write: there is no folder {os.fspath(path)}")
    return str(Path(path).resolve())


def memory_bytes(memory: int | str | None) -> int:
    """What somebody said of memory; 0 is nothing.

    Raises:
        UsageError: that is no size.
    """
    return 0 if memory is None else parse_size(_plain(memory))


def _plain(said: float | str) -> str:
    """A number in plain digits."""
    return f"{said:.9f}" if isinstance(said, float) else str(said)
