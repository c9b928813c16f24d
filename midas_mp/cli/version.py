"""``midas --version``: the release, the Lua engines, and how far scripts are confined here.

A worker is started to tell the last two: what it reports is what any worker on this machine would.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import click

from midas_mp import __version__
from midas_mp.errors import MidasError

LEVELS: Final = (
    "0 of 3: the Lua sandbox alone",
    "1 of 3: resource limits",
    "2 of 3: resource limits, landlock",
    "3 of 3: resource limits, landlock, seccomp",
)

PATIENCE_S: Final = 10.0
"""For a worker to start; it takes a tenth of a second."""


def version_option(command: Any) -> Any:
    return click.option(
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_tell,
        help="Show the release, the Lua engines and the sandbox level, and exit.",
    )(command)


def _tell(context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's order
    if not value or context.resilient_parsing:
        return
    click.echo(f"midas, version {__version__}")
    click.echo(_abilities())
    context.exit()


def _abilities() -> str:
    """Two lines, or one that says why there cannot be any worker here."""
    from midas_mp.participant.zygote import Zygote
    from midas_mp.transport import loop

    try:
        zygote = Zygote.start()
        try:
            ready = loop.run(_first_words(zygote))
        finally:
            zygote.close()
    except (MidasError, OSError, TimeoutError) as error:
        return f"no worker can be started here: {error}"
    engines = ", ".join(ready.engines)
    return f"Lua engines: {engines}\nsandbox level: {LEVELS[ready.sandbox_level]}"


async def _first_words(zygote: Any) -> Any:
    """The WorkerReady of a worker that has nothing to do."""
    from midas_mp.errors import ProcessLost
    from midas_mp.participant.process import LuaProcess, ProcessEnd, Supervisor
    from midas_mp.participant.zygote import ChildSpec
    from midas_mp.wire.framing import Frame
    from midas_mp.wire.messages import WorkerReady

    ready: asyncio.Future[WorkerReady] = asyncio.get_running_loop().create_future()

    def fail(error: ProcessLost) -> None:
        if not ready.done():
            ready.set_exception(error)

    class FirstWords:
        def process_frames(self, _process: LuaProcess, frames: list[Frame]) -> None:
            for frame in frames:
                if isinstance(frame.message, WorkerReady) and not ready.done():
                    ready.set_result(frame.message)

        def process_output(self, _process: LuaProcess, _records: Sequence[Any]) -> None: ...

        def process_ended(self, _process: LuaProcess, end: ProcessEnd) -> None:
            fail(ProcessLost(end.cause))

    supervisor = Supervisor(zygote, zygote_lost=fail)
    try:
        spec = ChildSpec(
            name="version",
            node="version",
            profile="worker",
            memory_bytes=0,
            memory_hard_bytes=0,
            sandbox_level_max=3,
        )
        supervisor.start(spec, FirstWords())
        async with asyncio.timeout(PATIENCE_S):
            return await ready
    finally:
        with contextlib.suppress(MidasError):
            supervisor.close()
