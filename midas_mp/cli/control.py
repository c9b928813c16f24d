"""``midas jobs``, ``midas pause`` and ``midas resume``: what a host has to do, and its pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from midas_mp.cli.network import access_options, address_option, announce, make_dial
from midas_mp.cli.table import table
from midas_mp.errors import UsageError

if TYPE_CHECKING:
    from midas_mp.transport.link import Dial

_HEAD: Final = ("job", "state", "waiting", "leased", "done", "client", "title")


@click.command(short_help="Show the jobs of a host.")
@address_option("The host to ask.")
@access_options
def jobs(address: str, **said: Any) -> int:
    """Show the jobs of a host, whosever they are, by the names that 'midas pause' knows."""
    dial = make_dial(address, said)
    from midas_mp.client.question import list_jobs
    from midas_mp.transport import loop

    rows = [
        (j.job, j.state, j.waiting, j.leased, j.done, j.client, j.title)
        for j in loop.run(list_jobs(dial))
    ]
    click.echo(table(_HEAD, rows) if rows else f"the host at {address} has no jobs")
    return 0


@click.command(short_help="Have a job, a node or a worker stand still.")
@click.argument("name", metavar="JOB|NODE|WORKER")
@address_option("The host that knows it.")
@access_options
def pause(name: str, address: str, **said: Any) -> int:
    """Have a job, a node or a worker stand still until 'midas resume' lets it go on.

    Workers stop in the middle of what they are at, whatever it is, and time limits with them; what
    waits behind them goes to others.  'midas jobs' and 'midas workers' show the names; the workers
    of a node are called NODE-000, NODE-001 …
    """
    return _ask(name, make_dial(address, said), is_paused=True)


@click.command(short_help="Let go on what 'midas pause' stopped.")
@click.argument("name", metavar="JOB|NODE|WORKER")
@address_option("The host that knows it.")
@access_options
def resume(name: str, address: str, **said: Any) -> int:
    """Let go on what 'midas pause' stopped."""
    return _ask(name, make_dial(address, said), is_paused=False)


def _ask(name: str, dial: Dial, *, is_paused: bool) -> int:
    from midas_mp.client import question
    from midas_mp.transport import loop

    answer = loop.run(question.pause(dial, name, is_paused=is_paused))
    if not answer.is_done:
        raise UsageError(answer.sentence)
    announce(answer.sentence)
    return 0
