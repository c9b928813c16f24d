"""``midas --version``: the release, the Lua engines, and how far scripts are confined here.

A worker is started to tell the last two: what it reports is what any worker on this machine would.
"""

from __future__ import annotations

from typing import Any

import click

from midas_mp import __version__
from midas_mp.errors import MidasError
from midas_mp.permissions import SANDBOX_LEVELS


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
    from midas_mp.participant.probe import probe
    from midas_mp.participant.zygote import Zygote
    from midas_mp.transport import loop

    try:
        zygote = Zygote.start()
        try:
            ready = loop.run(probe(zygote))
        finally:
            zygote.close()
    except (MidasError, OSError) as error:  # a TimeoutError is an OSError
        return f"no worker can be started here: {error}"
    engines = ", ".join(ready.engines)
    return f"Lua engines: {engines}\nsandbox level: {SANDBOX_LEVELS[ready.sandbox_level]}"
