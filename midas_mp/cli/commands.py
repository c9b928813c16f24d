"""The commands of ``midas``, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import itertools
import os
import traceback
from typing import Any, Final

import click

from midas_mp.cli.completion import completion
from midas_mp.cli.control import jobs, kill, pause, resume
from midas_mp.cli.host import host
from midas_mp.cli.journal import journal
from midas_mp.cli.original import translate
from midas_mp.cli.participant import participant
from midas_mp.cli.report import describe, write_line
from midas_mp.cli.run import run
from midas_mp.cli.token import token
from midas_mp.cli.version import version_option
from midas_mp.cli.workers import workers
from midas_mp.config import is_set
from midas_mp.errors import MidasError, WorldError

EXIT_BUG = 70
EXIT_INTERRUPTED = 130

_EXHAUSTED: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
)
"""Files, memory or room that the machine, or a limit on this process, does not give."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@version_option
@click.option(
    "--debug", is_flag=True, envvar="MIDAS_DEBUG", help="Show Python tracebacks of errors."
)
def cli(*, debug: bool) -> None:
    """Run one Lua script on every core of this machine, or of a fleet.

    A script defines three functions: generate_data(index, count) makes the data of each task,
    execute_code() works on it on some worker, interpret_results() makes the answer of all
    results.

    \b
      midas run primes.lua                          here, on all cores
      midas host primes.lua                         as coordinator: waits for participants
      midas participant --workers auto              lends this machine's cores to a host
      midas run primes.lua --address 127.0.0.1      at a standing host

    Every option of a command can be set by a variable too, such as MIDAS_TASKS for --tasks.

    Exit codes: 0 ok, 1 the script failed, 2 wrong usage, 3 refused by a peer, 4 the port, the
    host or the workers are missing, or somebody killed the job, 70 a bug in Midas, 130 Ctrl-C,
    143 SIGTERM.
    """  # noqa: D301 - click wants the very character, to keep the lines as they are
    del debug  # run_command() looks for it, since an error may come before it is parsed


cli.add_command(run)
cli.add_command(host)
cli.add_command(participant)
cli.add_command(workers)
cli.add_command(jobs)
cli.add_command(pause)
cli.add_command(resume)
cli.add_command(kill)
cli.add_command(journal)
cli.add_command(token)
cli.add_command(completion)


def run_command(args: list[str]) -> int:
    """Does what the command line says; the exit code.  Every error has been told."""
    args = translate(args)
    try:
        result: Any = cli.main(args, prog_name="midas", standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever it is becomes an exit code
        if _wants_traceback(args):
            traceback.print_exception(error)
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            error = WorldError(f"this machine gives no more: {error.strerror}")
        write_line(describe(error))
        return error.exit_code if isinstance(error, MidasError) else EXIT_BUG
    return result if isinstance(result, int) else 0


def _wants_traceback(args: list[str]) -> bool:
    """Looks only in front of the command: what follows may be the script's."""
    own = itertools.takewhile(lambda arg: arg.startswith("-"), args)
    return "--debug" in own or is_set(os.environ.get("MIDAS_DEBUG", ""))
