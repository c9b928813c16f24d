"""What scripts may use, on the command line: ``--allow``, ``--deny``, ``--allow-write`` and
``--require-sandbox``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from midas_mp.cli.parameters import GRANT, KIND


def require_sandbox_option(text: str) -> Callable[[Any], Any]:
    """``--require-sandbox``, whoever it is that must reach the level."""
    return click.option(
        "--require-sandbox",
        "sandbox_level_min",
        type=click.IntRange(0, 3),
        default=0,
        envvar="MIDAS_REQUIRE_SANDBOX",
        metavar="LEVEL",
        help=f"{text}  1 is resource limits, 2 adds landlock, 3 adds seccomp.  [default: whatever"
        " the kernel gives]",
    )


deny_option = click.option(
    "--deny",
    "denied",
    type=KIND,
    multiple=True,
    envvar="MIDAS_DENY",
    metavar="KIND",
    help="What scripts may not use: read, write, clock or jit (machine code); may be said several"
    " times.",
)

allow_option = click.option(
    "--allow",
    "allowed",
    type=GRANT,
    multiple=True,
    envvar="MIDAS_ALLOW",
    metavar="read[=DIR]|write=DIR",
    help="What tasks may use besides the clock and machine code; may be said several times.",
)

allow_write_option = click.option(
    "--allow-write",
    "allow_write",
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    multiple=True,
    envvar="MIDAS_ALLOW_WRITE",
    metavar="DIR",
    help="The script's own functions may write below it, too; may be said several times.",
)
