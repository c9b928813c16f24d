"""Addresses on the command line, and how to be let in there."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from midas_mp import limits
from midas_mp.cli.parameters import DURATION
from midas_mp.cli.report import write_line
from midas_mp.client.printable import printable_line
from midas_mp.config import VARIABLES
from midas_mp.transport.address import Address

if TYPE_CHECKING:
    from midas_mp.join.entrance import Entrance
    from midas_mp.join.ledger import Kind
    from midas_mp.transport.joining import Badge
    from midas_mp.transport.link import Dial


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
        envvar=VARIABLES["insecure"],
        help="Neither prove anything nor ask for it, in plain: for networks that you trust.",
    )(command)


def certificate_options(authority: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--tls-cert``, ``--tls-key`` and ``--tls-ca``, for sites with authorities of their own."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, text in (
            ("ca", authority),
            ("key", "Its key, unless that is in the same file."),
            ("cert", "Certificate that this side shows, in PEM, where a site makes its own."),
        ):
            command = click.option(
                f"--tls-{name}",
                type=click.Path(dir_okay=False, path_type=Path),
                envvar=VARIABLES[f"tls_{name}"],
                metavar="FILE",
                help=text,
            )(command)
        return command

    return add


def access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How to be let in by a host.  There is none that takes a token itself: every user of a machine
    can read command lines.
    """
    command = insecure_option(command)
    command = certificate_options("Who must have signed the host's; else its token knows it.")(
        command
    )
    return click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar=VARIABLES["token_file"],
        metavar="FILE",
        help="Where the token is; the variable MIDAS_TOKEN can hold it too.  A host of the same "
        "user at 127.0.0.1 needs none.",
    )(command)


ACCESS_OPTIONS: Final = ("token_file", "tls_cert", "tls_key", "tls_ca", "insecure")


def take_badge(said: dict[str, Any], address: Address) -> Callable[[], Badge | None]:
    """How to make what is to be shown there: the options are taken out of what was said, and
    MIDAS_TOKEN, which no process that is started from here shall see, out of the environment.

    To be called when others start beside this one, since much is imported for it.
    """
    token = os.environ.pop(VARIABLES["token"], None)
    source = click.get_current_context().get_parameter_source("token_file")
    if source is click.core.ParameterSource.COMMANDLINE:
        token = None
    token_file, tls_cert, tls_key, tls_ca, is_insecure = (said.pop(n) for n in ACCESS_OPTIONS)
    for path in (token_file, tls_key or tls_cert):
        if path is not None:  # whether it is shown or not
            from midas_mp.join import state

            state.keep_from_scripts(path)

    def badge() -> Badge | None:
        from midas_mp.join.access import Access

        access = Access(
            token=token or None,
            token_file=None if token else token_file,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_ca=tls_ca,
            is_insecure=is_insecure,
        )
        return access.badge(address)

    return badge


def make_dial(address: str, said: dict[str, Any]) -> Dial:
    """How to reach the host of whom something is asked; takes the options out of what was said."""
    where = Address.parse(address)
    if said["insecure"]:
        warn_unproven(where)
    badge = take_badge(said, where)()
    from midas_mp.transport import tcp

    return functools.partial(tcp.connect, where, badge=badge, timeout_s=limits.CONNECT_TIMEOUT_S)


def warn_unproven(address: Address) -> None:
    announce(f"warning: --insecure: whoever is between here and {address} can change everything")


def warn_insecure(address: Address) -> None:
    announce(
        f"warning: --insecure: whoever reaches {address} can take part, run scripts and read "
        "everything"
    )


def invite(entrance: Entrance, kinds: Mapping[Kind, str], address: Address) -> None:
    """One line to paste on another machine, for each of these commands.

    Tokens are for people, and stay out of logs: where stderr is no terminal, but a file or a pipe
    to who knows where, the line tells how to get one.
    """
    from midas_mp.join.entrance import name_for_others

    if entrance.identity is None:
        return
    asked = " --tls-cert FILE" if entrance.wants_certificates else ""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    for kind, command in kinds.items():
        token = entrance.token(kind) if is_terminal else f"$(midas token new --for {kind})"
        announce(
            f"{kind} on other machines: MIDAS_TOKEN={token} {command} "
            f"--address {name_for_others(address)}{asked}"
        )


def announce(text: str) -> None:
    """One line of news on stderr."""
    write_line(f"midas: {printable_line(text)}")
