"""``midas host [SCRIPT]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from midas_mp.cli.jobs import job_options, make_options, run_script, start_zygote
from midas_mp.cli.network import address_option, announce, guard, insecure_option, patience_option
from midas_mp.cli.parameters import DURATION
from midas_mp.transport.address import Address

OWN_OPTIONS = frozenset({"address", "insecure", "patience_s", "sandbox_level_min"})
"""All others are about the SCRIPT."""


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
@insecure_option
@job_options(script_is_required=False)
def host(
    script: Path | None, address: str, patience_s: float, *, insecure: bool, **said: Any
) -> int:
    """Coordinate participants: with SCRIPT run it on them and end, else stand ready for jobs.

    A standing host takes scripts from 'midas run SCRIPT --address …'.  What follows -- is the
    script's, as arg[1], arg[2] …
    """
    where = Address.parse(address)
    guard(where, insecure=insecure)
    if script is None:
        _refuse_job_options()
        return _stand(where, patience_s, said["sandbox_level_min"])
    options = make_options(script, said)
    zygote = start_zygote()
    from midas_mp.driver.session import run_as_host

    return run_script(
        script,
        options,
        said,
        zygote,
        lambda run: run_as_host(run, where, patience_s=patience_s, announce=announce),
    )


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


def _stand(address: Address, patience_s: float, sandbox_level_min: int) -> int:
    from midas_mp.cli.running import until_stopped
    from midas_mp.host.service import serve
    from midas_mp.transport import loop

    work = serve(
        address,
        patience_s=patience_s,
        sandbox_level_min=sandbox_level_min,
        announce=announce,
    )
    loop.run(until_stopped(work, announce=announce))
    return 0
