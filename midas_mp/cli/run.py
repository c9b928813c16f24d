"""``midas run SCRIPT``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from midas_mp.cli.jobs import job_options, make_options, run_script, start_zygote
from midas_mp.cli.network import (
    ACCESS_OPTIONS,
    access_options,
    patience_option,
    take_badge,
    warn_unproven,
)
from midas_mp.cli.parameters import WORKERS
from midas_mp.transport.address import Address


@click.command()
@click.option(
    "--address",
    envvar="MIDAS_ADDRESS",
    metavar="HOST:PORT",
    help="Run at the standing host there instead of on this machine.",
)
@click.option(
    "--workers",
    type=WORKERS,
    default="auto",
    show_default=True,
    envvar="MIDAS_WORKERS",
    metavar="auto|N",
    help="Workers on this machine; auto is one per usable core.  Not with --address.",
)
@patience_option("How long to look for a host that goes away; with --address.")
@access_options
@job_options(script_is_required=True)
def run(
    script: Path, address: str | None, workers: int | None, patience_s: float, **said: Any
) -> int:
    """Run SCRIPT and print its answer.

    Without --address all of it happens on this machine and no port is opened.  What follows
    -- is the script's, as arg[1], arg[2] …
    """
    options = make_options(script, said)
    is_insecure: bool = said["insecure"]
    source = click.get_current_context().get_parameter_source
    said_here = click.core.ParameterSource.COMMANDLINE
    if address is None:
        if any(source(name) is said_here for name in ACCESS_OPTIONS):
            raise click.UsageError("tokens, certificates and --insecure are for an --address")
        if source("patience_s") is said_here:
            raise click.UsageError("--patience is for a host that may go away: say its --address")
        take_badge(said, Address())  # none is shown
        zygote = start_zygote()
        from midas_mp.driver.session import run_on_this_machine

        return run_script(
            script,
            options,
            said,
            zygote,
            lambda run: run_on_this_machine(run, workers=workers),
        )
    if source("workers") is said_here:
        raise click.UsageError("--workers is for this machine; at --address the host has workers")
    target = Address.parse(address)
    badge = take_badge(said, target)
    if is_insecure:
        warn_unproven(target)
    zygote = start_zygote()
    from midas_mp.driver.session import run_at_host

    return run_script(
        script,
        options,
        said,
        zygote,
        lambda run: run_at_host(run, target, badge=badge(), patience_s=patience_s),
    )
