"""``midas jobs``, ``pause``, ``resume`` and ``kill``: what a host has to do, and to let be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from midas_mp.cli.network import access_options, address_option, announce, make_dial
from midas_mp.cli.table import table
from midas_mp.errors import PeerRefused, UsageError

if TYPE_CHECKING:
    from midas_mp.transport.link import Dial

_HEAD: Final = ("job", "state", "waiting", "with workers", "done", "client", "title")


@click.command(short_help="Show the jobs of a host.")
@address_option("The host to ask.")
@access_options
def jobs(address: str, **said: Any) -> int:
    """Show the jobs of a host, whosever they are, by the names that 'midas pause' and 'midas kill'
    know.
    """
    dial = make_dial(address, said)
    from midas_mp.client.question import list_jobs
    from midas_mp.transport import loop

    rows = [
        (j.job, j.state, j.waiting, j.leased, j.done, j.client, j.title)
        for j in loop.run(list_jobs(dial))
    ]
    click.echo(table(_HEAD, rows) if rows else f"the host at {address} has no jobs")
    return 0


_named = click.argument("name", metavar="JOB|NODE|WORKER")


@click.command(short_help="Have a job, a node or a worker stand still.")
@_named
@address_option("The host that knows it.")
@access_options
def pause(name: str, address: str, **said: Any) -> int:
    """Have a job, a node or a worker stand still until 'midas resume' lets it go on.

    Workers stop in the middle of what they are at, whatever it is, and time limits with them; what
    waits behind them goes to others.  'midas jobs' and 'midas workers' show the names; the workers
    of a node are called NODE-000, NODE-001 …

    Jobs of others, nodes and workers only the host's own user may stop, on its machine and without
    a token, or who has a token for operators.
    """
    return _ask("PAUSE", name, make_dial(address, said))


@click.command(short_help="Let go on what 'midas pause' stopped.")
@_named
@address_option("The host that knows it.")
@access_options
def resume(name: str, address: str, **said: Any) -> int:
    """Let go on what 'midas pause' stopped."""
    return _ask("RESUME", name, make_dial(address, said))


@click.command(short_help="End a job, a node or a worker at once.")
@_named
@address_option("The host that knows it.")
@access_options
def kill(name: str, address: str, **said: Any) -> int:
    """End a job, a node or a worker at once, in the middle of whatever it is at.

    A job is dropped everywhere, and who runs it is told, with exit code 4; with --journal the same
    command goes on from what was done.  A worker is replaced by another process, and its task is
    tried again.  A node's participant ends with exit code 0, and what it had goes to others.  To
    let a node finish what it is at, send its participant SIGTERM instead.

    'midas jobs' and 'midas workers' show the names; the workers of a node are called NODE-000,
    NODE-001 …  Jobs of others, nodes and workers only the host's own user may kill, on its machine
    and without a token, or who has a token for operators.
    """
    return _ask("KILL", name, make_dial(address, said))


def _ask(action: str, name: str, dial: Dial) -> int:
    from midas_mp.client import question
    from midas_mp.transport import loop
    from midas_mp.wire.management import Action, ControlResult

    answer = loop.run(question.control(dial, Action[action], name))
    match answer.result:
        case ControlResult.DONE:
            announce(answer.sentence)
            return 0
        case ControlResult.UNKNOWN:
            raise UsageError(answer.sentence)
        case ControlResult.FORBIDDEN:  # the last there is
            raise PeerRefused(answer.sentence)
