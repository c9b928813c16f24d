"""``midas token``: who may join the hosts of this user."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from midas_mp.cli.network import announce
from midas_mp.cli.parameters import DURATION
from midas_mp.cli.table import table
from midas_mp.config import VARIABLES

if TYPE_CHECKING:
    from midas_mp.join.ledger import Kind


@click.group(short_help="Make, list and revoke tokens, which let other machines join.")
def token() -> None:
    """Tokens let participants and clients of other machines, or of other users, join a host.

    They are for all hosts of this user on this machine, and are looked up whenever somebody joins.
    """


@token.command()
@click.option(
    "--for",
    "kind",
    type=click.Choice(["participants", "clients", "operators"]),
    default="participants",
    show_default=True,
    help="Participants lend their cores, and see the scripts and data that they work on; clients "
    "run scripts on the cores of others, and may pause and kill what was started with the same "
    "token; operators are clients that may pause and kill everything.",
)
@click.option(
    "--expires",
    "lasts_s",
    type=DURATION,
    metavar="30d",
    help="Lets nobody in after so long.  [default: never]",
)
@click.option("--label", default="", metavar="TEXT", help="Shown by 'midas token list'.")
@click.option(
    "--tls-cert",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar=VARIABLES["tls_cert"],
    metavar="FILE",
    help="The certificate that the host shows, if not its own.",
)
def new(kind: Kind, lasts_s: float | None, label: str, tls_cert: Path | None) -> int:
    """Print a new token.

    Whoever has it is let in by the hosts of this user on this machine: give it away over a channel
    that nobody listens to.
    """
    from midas_mp.join.identity import Identity, own_identity
    from midas_mp.join.ledger import Ledger, date
    from midas_mp.join.token import JoinToken

    identity = own_identity() if tls_cert is None else Identity(tls_cert)
    certificate = identity.fingerprint()
    record = Ledger().make(kind, label=label, lasts_s=lasts_s)
    end = "until it is revoked" if record.expires_s is None else f"until {date(record.expires_s)}"
    announce(f"token {record.id} for {kind}, good {end}")
    sys.stdout.write(JoinToken(record.secret, certificate).text + "\n")
    return 0


@token.command(name="list")
def list_tokens() -> int:
    """Show the tokens that were made here, without their secrets."""
    import time

    from midas_mp.join.ledger import Ledger, date

    rows = []
    for record in Ledger().records():
        lasting = "good" if record.expires_s is None else f"until {date(record.expires_s)}"
        state = record.fault(time.time()) or lasting
        rows.append((record.id, record.kind, date(record.made_s), state, record.label))
    click.echo(table(("token", "for", "made", "state", "label"), rows))
    return 0


@token.command()
@click.argument("token_id", metavar="ID")
def revoke(token_id: str) -> int:
    """Let nobody in any more who has the token ID, or the one whose id begins so.

    Who is in with it has to go within seconds; what ran there is given to others.
    """
    from midas_mp.join.ledger import Ledger

    record = Ledger().revoke(token_id.strip().lower())
    announce(f"token {record.id} for {record.kind} lets nobody in any more")
    return 0
