"""``midas participant``."""

from __future__ import annotations

import re
from typing import Any

import click

from midas_mp import limits
from midas_mp.cli.network import access_options, address_option, announce, take_badge
from midas_mp.cli.parameters import DURATION, SIZE, WORKERS
from midas_mp.cli.sandbox import (
    allow_option,
    deny_option,
    require_sandbox_option,
)
from midas_mp.errors import UsageError
from midas_mp.permissions import Grant
from midas_mp.transport.address import Address


@click.command()
@address_option("The host to serve.")
@click.option(
    "--workers",
    type=WORKERS,
    default="auto",
    show_default=True,
    envvar="MIDAS_WORKERS",
    metavar="auto|N",
    help="Worker processes; auto is one per usable core.",
)
@click.option(
    "--name",
    envvar="MIDAS_NAME",
    metavar="NAME",
    help="Name of this node; its workers are NAME-000, NAME-001 …  [default: the host name]",
)
@click.option(
    "--memory",
    "memory_bytes",
    type=SIZE,
    envvar="MIDAS_MEMORY",
    metavar="256MB",
    help="Most that each worker may use, whatever a job asks for.  "
    "[default: 80 % of usable memory, shared out]",
)
@click.option(
    "--once",
    is_flag=True,
    envvar="MIDAS_ONCE",
    help="Leave when the first host says goodbye, instead of waiting for the next.",
)
@click.option(
    "--idle-timeout",
    "idle_timeout_s",
    type=DURATION,
    envvar="MIDAS_IDLE_TIMEOUT",
    metavar="10m",
    help="Leave when there was nothing to do for so long, with a host or without.",
)
@click.option(
    "--grace",
    "grace_s",
    type=DURATION,
    envvar="MIDAS_GRACE",
    default=f"{limits.DRAIN_GRACE_S:g}s",
    show_default=True,
    metavar="30s",
    help="After SIGTERM, what runs has so long to end; the rest goes to others at once.",
)
@allow_option
@deny_option
@require_sandbox_option("End at once where workers are confined less.")
@click.option(
    "--sandbox-level-max",
    type=click.IntRange(0, 3),
    default=3,
    envvar="MIDAS_SANDBOX_LEVEL_MAX",
    hidden=True,
)
@access_options
def participant(
    address: str,
    *,
    workers: int | None,
    name: str | None,
    memory_bytes: int | None,
    once: bool,
    idle_timeout_s: float | None,
    grace_s: float,
    allowed: tuple[Grant, ...],
    denied: tuple[str, ...],
    sandbox_level_min: int,
    sandbox_level_max: int,
    **said: Any,
) -> int:
    """Lend this machine's cores to a host.

    Waits for a host that is not up yet, and for the next one when it goes away; what runs goes on
    meanwhile.  SIGTERM lets it end: nothing new is taken, what runs has --grace, and the exit code
    is 0.  Ctrl-C ends it without waiting, as a second SIGTERM does; once more, and it is gone.
    'midas kill' at the host ends it at once, with exit code 0: somebody wanted that.
    """
    where = Address.parse(address)
    if name is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise UsageError(f"{name!r} is not a name; use up to 64 of A-Z a-z 0-9 _ -")
    is_insecure: bool = said["insecure"]
    badge = take_badge(said, where)
    if is_insecure:
        announce(f"warning: --insecure: whoever is at {where} can run scripts on this machine")
    from midas_mp.participant.grants import node_permissions

    permissions = node_permissions(allowed, denied)
    announce(f"tasks may use {permissions}")
    from midas_mp.participant.zygote import Zygote

    zygote = Zygote.start()
    try:
        import asyncio

        from midas_mp.cli.running import until_stopped
        from midas_mp.participant.cpus import default_memory_bytes, usable_cpu_count
        from midas_mp.participant.naming import node_name
        from midas_mp.participant.node_settings import NodeSettings
        from midas_mp.participant.service import serve
        from midas_mp.transport import loop

        count = workers or usable_cpu_count()
        settings = NodeSettings(
            name or node_name(),
            name_is_explicit=name is not None,
            workers=count,
            memory_bytes=memory_bytes or default_memory_bytes(count),
            sandbox_level_max=sandbox_level_max,
            sandbox_level_min=sandbox_level_min,
            permissions=permissions,
        )
        draining = asyncio.Event()
        work = serve(
            where,
            settings,
            zygote,
            badge=badge(),
            announce=announce,
            once=once,
            idle_timeout_s=idle_timeout_s,
            draining=draining,
            grace_s=grace_s,
        )
        ending = until_stopped(
            work, announce=announce, suspending=zygote.paused, drain=draining.set
        )
        loop.run(ending)
    finally:
        zygote.close()
    return 0
