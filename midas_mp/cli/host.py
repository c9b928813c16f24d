"""``midas host [SCRIPT]``."""

from __future__ import annotations

import resource
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from midas_mp.cli.jobs import job_options, make_options, run_script, start_zygote
from midas_mp.cli.network import (
    address_option,
    announce,
    certificate_options,
    insecure_option,
    invite,
    patience_option,
    warn_insecure,
)
from midas_mp.cli.parameters import DURATION
from midas_mp.transport.address import Address

if TYPE_CHECKING:
    from midas_mp.driver.job import Answer
    from midas_mp.driver.session import Run
    from midas_mp.join.entrance import Entrance
    from midas_mp.join.ledger import Kind

OWN_OPTIONS = frozenset(
    {"address", "insecure", "patience_s", "sandbox_level_min", "tls_cert", "tls_key", "tls_ca"}
)
"""All others are about the SCRIPT."""

FILES_MAX: Final = 65_536
"""Connections of a large fleet."""

COMMANDS: Final[dict[Kind, str]] = {
    "participants": "midas participant",
    "clients": "midas run SCRIPT",
}
"""What each kind of token is for."""


@click.command(short_help="Coordinate participants, for one script or for many.")
@address_option("Where to listen.")
@click.option(
    "--workers-min",
    type=click.IntRange(1, 65_535),
    default=1,
    show_default=True,
    envvar="MIDAS_WORKERS_MIN",
    metavar="N",
    help="Start SCRIPT when so many workers are there.",
)
@click.option(
    "--wait",
    "wait_s",
    type=DURATION,
    envvar="MIDAS_WAIT",
    metavar="60s",
    help="Give up when they are not there after so long.  [default: wait for ever]",
)
@patience_option("How long a job waits for its client whose connection broke.")
@certificate_options("Who must have signed those of participants and clients; else none is wanted.")
@insecure_option
@job_options(script_is_required=False)
def host(
    script: Path | None,
    address: str,
    patience_s: float,
    *,
    insecure: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_ca: Path | None,
    **said: Any,
) -> int:
    """Coordinate participants: with SCRIPT run it on them and end, else stand ready for jobs.

    A standing host takes scripts from 'midas run SCRIPT --address …'.  What follows -- is the
    script's, as arg[1], arg[2] …
    """
    where = Address.parse(address)
    if script is None:
        _refuse_job_options()
    if insecure:
        warn_insecure(where)
    _allow_many_connections()

    def entrance() -> Entrance:
        from midas_mp.join.entrance import make_entrance
        from midas_mp.join.tls import TlsFiles

        return make_entrance(where, tls=TlsFiles(tls_cert, tls_key, tls_ca), is_insecure=insecure)

    if script is None:
        return _stand(where, entrance(), patience_s, said["sandbox_level_min"])
    options = make_options(script, said)
    zygote = start_zygote()
    from midas_mp.driver.session import run_as_host

    def session(run: Run) -> Coroutine[Any, Any, Answer]:
        way_in = entrance()
        return run_as_host(
            run,
            where,
            way_in.entry,
            patience_s=patience_s,
            announce=run.view.noticed,  # above the bar
            invite=partial(invite, way_in, {"participants": COMMANDS["participants"]}),
        )

    return run_script(script, options, said, zygote, session)


def _allow_many_connections() -> None:
    """Each peer has one or two, and a shell's usual limit is a thousand files."""
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if allowed == resource.RLIM_INFINITY else min(allowed, FILES_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, allowed))


def _refuse_job_options() -> None:
    """A standing host takes a job's options from its clients: here they would do nothing."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name not in OWN_OPTIONS and source is click.core.ParameterSource.COMMANDLINE:
            shown = "/".join([*parameter.opts, *parameter.secondary_opts])
            raise click.UsageError(
                f"{shown} belongs to a job: name a SCRIPT, or say it to midas run"
            )


def _stand(address: Address, entrance: Entrance, patience_s: float, sandbox_level_min: int) -> int:
    from midas_mp.cli.running import until_stopped
    from midas_mp.host.service import serve
    from midas_mp.transport import loop

    work = serve(
        address,
        entrance.entry,
        patience_s=patience_s,
        sandbox_level_min=sandbox_level_min,
        announce=announce,
        invite=partial(invite, entrance, COMMANDS),
    )
    loop.run(until_stopped(work, announce=announce))
    return 0
