"""A script gets ready to run: its top level runs, and says in ``config`` what nobody else said.

What ``config`` asks for may have had to be known before: other modules, another engine, another
bound of memory.  Then the top level runs once more, under what it said.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from midas_mp.config import JobOptions, parse_engine
from midas_mp.driver.excerpt import source_line
from midas_mp.driver.round import EXECUTE, GENERATE, JobScript
from midas_mp.driver.script_process import Loaded, ScriptProcess
from midas_mp.errors import ScriptError
from midas_mp.lua.bundle import Bundle
from midas_mp.wire.messages import JobSpec

INTERPRET: Final = "interpret_results"
CONTRACT: Final = (GENERATE, EXECUTE, INTERPRET)
"""What a script must define; the others are optional."""

DEFAULT_ENGINE: Final = JobSpec().engine

_SAID_TOO_LATE: Final = re.compile(rb"\b(memory|modules|permissions|requires)\b")
"""Keys of ``config`` that may make the top level run again, under what they say; nobody should
read its prints twice."""


class LoadedScript(NamedTuple):
    """What is to be run, and how.

    Attributes:
        options: with what ``config`` says.
        spec: of its tasks.
        bundle: its source, with its modules.
        orders: by which its own functions are called.
        functions: those that it defines.
    """

    options: JobOptions
    spec: JobSpec
    bundle: Bundle
    orders: JobScript
    functions: frozenset[str]


class ScriptLoader:
    """Of one script, in the process for its own functions.

    Args:
        path: where it lies.
        process: where it is loaded.
        modules: that travel with it, beside those that its source names.

    Raises:
        UsageError: there is no such script.
        ScriptError: it is bytecode.
    """

    def __init__(self, path: Path, process: ScriptProcess, modules: Sequence[str]) -> None:
        self._path = path
        self._process = process
        self._bundle = Bundle.collect(path, modules)
        self._script = JobScript(process, "", self._bundle.digest)
        self._loads = 0

    async def load(self, said: JobOptions) -> LoadedScript:
        """Runs the top level, under these options and what ``config`` adds to them.

        Raises:
            ScriptError: it failed, or a function of the contract is missing.
            UsageError: ``config`` makes no sense, or asks for what is not to be had.
            ProcessLost: the process died.
        """
        self._limit(said)
        if _SAID_TOO_LATE.search(self._bundle.source):
            self._process.hold_prints()
        try:
            loaded = await self._load_with(said)
            options = await self._settle(said, loaded)
            if self._must_load_again(said, options):
                self._process.drop_prints()
                self._bundle = Bundle.collect(self._path, options.modules)
                loaded = await self._load_with(options)
        finally:
            self._process.release_prints()
        if loaded.failure is not None:
            raise explained(loaded.failure, self._bundle)
        self._limit(options)
        for name in CONTRACT:
            if name not in loaded.functions:
                raise ScriptError(
                    "missing_function",
                    f"{self._bundle.main} does not define the function {name}",
                )
        spec = self._spec(options)
        return LoadedScript(options, spec, self._bundle, self._script, loaded.functions)

    async def _settle(self, said: JobOptions, loaded: Loaded) -> JobOptions:
        """The options with what the script's ``config`` says.

        Source that one engine cannot read says nothing: the others then look what it requires.
        """
        is_unread = loaded.failure is not None and loaded.failure.kind == "syntax"
        if is_unread and not said.engine and b"requires" in self._bundle.source:
            for name in self._process.engines:
                trial = dataclasses.replace(said, engine=parse_engine(name))
                config = (await self._load_with(trial)).config
                options = said.with_script_config(config)
                if options.engine == trial.engine:
                    return options
        return said.with_script_config(loaded.config)

    async def _load_with(self, options: JobOptions) -> Loaded:
        """In a new environment; the one before is gone."""
        if self._loads:
            self._process.unload(self._script.job)
        self._loads += 1
        self._script = JobScript(self._process, f"load-{self._loads}", self._bundle.digest)
        # as the script's own process sees it: another memory limit, always one environment
        spec = msgspec.structs.replace(
            self._spec(options),
            memory_bytes=options.driver_memory_bytes or options.memory_bytes or 0,
            isolate=True,
        )
        return await self._process.load(self._script.job, spec, self._bundle)

    def _must_load_again(self, before: JobOptions, options: JobOptions) -> bool:
        """Whether ``config`` asks for what had to be known before the top level ran."""
        return (
            options.modules != before.modules
            or options.permissions != before.permissions
            or self._spec(options).engine != self._spec(before).engine
            or (options.memory_bytes != before.memory_bytes and not options.driver_memory_bytes)
        )

    def _spec(self, options: JobOptions) -> JobSpec:
        return JobSpec(
            engine=options.engine or DEFAULT_ENGINE,
            seed=options.seed or 0,
            timeout_s=options.timeout.seconds if options.timeout else 0.0,
            memory_bytes=options.memory_bytes or 0,
            isolate=options.isolate is not False,
            arg=[os.fspath(self._path), *options.arg],
            directory=os.fspath(self._path.resolve().parent),
            named_arg=dict(options.arg_named),
            timeout_factor=options.timeout.factor if options.timeout else 0.0,
            permissions=options.kinds_asked,
            retries=options.retries or 0,
        )

    def _limit(self, options: JobOptions) -> None:
        """Bounds the calls here, which have no median."""
        self._process.limit(options.timeout.seconds if options.timeout else 0.0)


def explained(error: ScriptError, bundle: Bundle) -> ScriptError:
    """The same error, with the line of source that it points at."""
    error.excerpt = source_line(bundle, error.message)
    return error
