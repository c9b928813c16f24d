"""``midas jobs``, ``midas pause`` and ``midas resume``: what a host has to do, and its pause."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from midas_mp.cli.network import address_option, announce
from midas_mp.client.printable import printable_line
from midas_mp.errors import UsageError
from midas_mp.transport.address import Address

if TYPE_CHECKING:
    from midas_mp.transport.link import Dial
    from midas_mp.wire.messages import JobReport


@click.command(short_help="List the jobs of a host.")
@address_option("The host to ask.")
def jobs(address: str) -> int:
    """List the jobs of a host, whosever they are, as 'midas pause' calls them."""
    from midas_mp.client.control import ask_jobs
    from midas_mp.transport import loop

    for line in _table(loop.run(ask_jobs(_dial(address)))):
        click.echo(printable_line(line))
    return 0


@click.command(short_help="Have a job, a node or a worker stand still.")
@click.argument("name", metavar="JOB|NODE|WORKER")
@address_option("The host that knows it.")
def pause(name: str, address: str) -> int:
    """Have a job, a node or a worker stand still until 'midas resume' lets it go on.

    Workers stop in the middle of what they are at, whatever it is, and time limits with them; what
    waits behind them goes to others.  'midas jobs' lists jobs; the workers of a node are called
    NODE-000, NODE-001 …
    """
    return _ask(name, address, is_paused=True)


@click.command(short_help="Let go on what 'midas pause' stopped.")
@click.argument("name", metavar="JOB|NODE|WORKER")
@address_option("The host that knows it.")
def resume(name: str, address: str) -> int:
    """Let go on what 'midas pause' stopped."""
    return _ask(name, address, is_paused=False)


def _ask(name: str, address: str, *, is_paused: bool) -> int:
    from midas_mp.client.control import ask_pause
    from midas_mp.transport import loop

    answer = loop.run(ask_pause(_dial(address), name, is_paused=is_paused))
    if not answer.is_done:
        raise UsageError(f"{answer.sentence}")
    announce(answer.sentence)
    return 0


def _dial(address: str) -> Dial:
    from midas_mp.transport import tcp

    return partial(tcp.connect, Address.parse(address))


def _table(jobs: list[JobReport]) -> Iterator[str]:
    """In columns as wide as they must be."""
    head = ("JOB", "STATE", "WAITING", "LEASED", "DONE", "CLIENT", "TITLE")
    rows = [
        (j.job, j.state, str(j.waiting), str(j.leased), str(j.done), j.client, j.title)
        for j in jobs
    ]
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
