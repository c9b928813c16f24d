"""``midas workers``: which nodes a host has, and what each lets its tasks use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from midas_mp.cli.network import access_options, address_option, make_dial
from midas_mp.cli.table import table
from midas_mp.transport.address import Address

if TYPE_CHECKING:
    from midas_mp.wire.management import NodeReport

_HEAD: Final = ("node", "workers", "busy", "paused", "sandbox", "Lua", "tasks may use")


@click.command(short_help="Show who works for a host, and what tasks may use there.")
@address_option("The host to ask.")
@access_options
@click.option("--json", "wants_json", is_flag=True, help="For programs.")
def workers(address: str, *, wants_json: bool, **said: Any) -> int:
    """Show which nodes a host has: how many workers each, how far they are confined, and what their
    owners let tasks use.
    """
    dial = make_dial(address, said)
    from midas_mp.client.question import list_nodes
    from midas_mp.transport import loop

    nodes = loop.run(list_nodes(dial))
    if wants_json:
        click.echo(json.dumps([_facts(node) for node in nodes], indent=2))
    elif nodes:
        click.echo(table(_HEAD, map(_row, nodes)))
    else:
        click.echo(f"nobody works for the host at {Address.parse(address)}")
    return 0


def _facts(node: NodeReport) -> dict[str, Any]:
    return {name: getattr(node, name) for name in node.__struct_fields__}


def _row(node: NodeReport) -> tuple[object, ...]:
    level = f"{node.sandbox_level} of 3"
    engines = ", ".join(node.engines)
    return (node.name, node.workers, node.busy, node.paused, level, engines, node.permits)
