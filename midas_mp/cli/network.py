"""Addresses on the command line, and the rule that nothing but loopback is open by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from midas_mp import limits
from midas_mp.cli.parameters import DURATION
from midas_mp.cli.report import write_line
from midas_mp.client.printable import printable
from midas_mp.errors import UsageError
from midas_mp.transport.address import Address


def address_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--address``, by default the one where host and participant meet."""
    return click.option(
        "--address",
        envvar="MIDAS_ADDRESS",
        default=str(Address()),
        show_default=True,
        metavar="HOST:PORT",
        help=text,
    )


def patience_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--patience``, for connections that break and may come back."""
    return click.option(
        "--patience",
        "patience_s",
        type=DURATION,
        envvar="MIDAS_PATIENCE",
        default=f"{limits.CLIENT_PATIENCE_S:g}s",
        show_default=True,
        metavar="60s",
        help=text,
    )


def insecure_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--insecure",
        is_flag=True,
        envvar="MIDAS_INSECURE",
        help="Allow an address that other machines reach, without any authentication.",
    )(command)


def guard(address: Address, *, insecure: bool) -> None:
    """Refuses an address that is open to others, or warns.

    Raises:
        UsageError: it is not loopback and ``insecure`` was not said.
    """
    if address.is_loopback:
        return
    if not insecure:
        raise UsageError(
            f"{address} can be reached from other machines, and there is no authentication yet: "
            "anybody there could run scripts and read results.  Use 127.0.0.1, or add --insecure "
            "on a network that you trust"
        )
    announce(f"warning: --insecure: whoever reaches {address} can take part and read everything")


def announce(text: str) -> None:
    """One line of news on stderr."""
    write_line(f"midas: {printable(text)}")
