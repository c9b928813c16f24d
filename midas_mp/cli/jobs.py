"""What ``run`` and ``host`` share: the options of a job, and running a script under a display."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midas_mp import limits
from midas_mp.cli.parameters import ENGINE, NAMED, SIZE, TASKS, TIME_LIMIT
from midas_mp.cli.report import write_line
from midas_mp.cli.sandbox import allow_write_option, deny_option, require_sandbox_option
from midas_mp.config import JobOptions, check_arguments
from midas_mp.errors import JournalFailed, WorldError

if TYPE_CHECKING:
    from midas_mp.cli.display import Display
    from midas_mp.driver.job import Answer
    from midas_mp.driver.session import Run
    from midas_mp.participant.zygote import Zygote

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--tasks",
        type=TASKS,
        envvar="MIDAS_TASKS",
        metavar="N|4x",
        help="Number of tasks, or so many for each worker.  [default: one per worker]",
    ),
    click.option(
        "--timeout",
        type=TIME_LIMIT,
        envvar="MIDAS_TIMEOUT",
        metavar="20s|5x",
        help="Bound of each call: a task, generate_data, interpret_results; 5x bounds tasks only, "
        "by five times their median.  [default: none]",
    ),
    click.option(
        "--memory",
        "memory_bytes",
        type=SIZE,
        envvar="MIDAS_MEMORY",
        metavar="256MB",
        help="Bound of each Lua state: a worker's, and the script's own process'.  "
        "[default: 80 % of usable memory, shared out]",
    ),
    click.option(
        "--driver-memory",
        "driver_memory_bytes",
        type=SIZE,
        envvar="MIDAS_DRIVER_MEMORY",
        metavar="1GB",
        help="Another bound for the script's own process.",
    ),
    click.option(
        "--on-error",
        type=click.Choice(["stop", "continue"]),
        envvar="MIDAS_ON_ERROR",
        help="What the first failed task does: stop the job, or leave nil in results and its "
        "message in errors.  [default: stop]",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0, limits.RETRIES_MAX),
        envvar="MIDAS_RETRIES",
        metavar="N",
        help="How often a task that failed is tried again, on another node if there is one; what "
        "was lost with its worker is tried again in any case.  [default: 0]",
    ),
    click.option(
        "--lua",
        "engine",
        type=ENGINE,
        envvar="MIDAS_LUA",
        metavar="luajit|5.4|5.5",
        help="Which Lua runs the script, here and on the workers.  [default: luajit]",
    ),
    click.option(
        "--arg",
        "named",
        type=NAMED,
        multiple=True,
        envvar="MIDAS_ARG",
        metavar="NAME=VALUE",
        help="What the script reads as arg.NAME; may be said several times.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(-(2**63), 2**63 - 1),
        envvar="MIDAS_SEED",
        metavar="N",
        help="Seed of math.random; same seed, same answer.  [default: 0]",
    ),
    allow_write_option,
    deny_option,
    require_sandbox_option("Give up where processes that run SCRIPT are confined less."),
    click.option(
        "--journal",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="MIDAS_JOURNAL",
        metavar="FILE",
        help="Record finished results there; the same command again goes on where it was.",
    ),
    click.option(
        "--progress/--no-progress",
        default=True,
        envvar="MIDAS_PROGRESS",
        help="Show how far the job is, on stderr.  [default: --progress]",
    ),
    click.option(
        "--sandbox-level-max",
        type=click.IntRange(0, 3),
        default=3,
        envvar="MIDAS_SANDBOX_LEVEL_MAX",
        hidden=True,
    ),
)


def job_options(*, script_is_required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options of a job, the script and its arguments."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        words = click.argument("args", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARG …]")
        command = words(command)
        for option in reversed(_OPTIONS):
            command = option(command)
        kind = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
        return click.argument("script", type=kind, required=script_is_required)(command)

    return add


def make_options(script: Path, said: Mapping[str, Any]) -> JobOptions:
    """The options of a job out of what the command line said.

    Raises:
        UsageError: its path or its arguments cannot travel.
    """
    names = JobOptions.__dataclass_fields__.keys() & said.keys()
    chosen = {name: said[name] for name in names}
    options = JobOptions(**chosen, arg=tuple(said["args"]), arg_named=dict(said["named"]))
    check_arguments(script, options)
    return options


def start_zygote() -> Zygote:
    """Starts it first: its imports then run beside ours, on another core."""
    from midas_mp.participant.zygote import Zygote

    return Zygote.start(pass_stdin=True)


@contextlib.contextmanager
def _suspended(zygote: Zygote, display: Display) -> Iterator[None]:
    """The terminal is another command's: no bar, and nobody computes behind its back."""
    display.finish()
    with zygote.paused():
        yield


def run_script(
    script: Path,
    options: JobOptions,
    said: Mapping[str, Any],
    zygote: Zygote,
    session: Callable[[Run], Coroutine[Any, Any, Answer]],
) -> int:
    """Runs a session under a display and prints the answer; the exit code."""
    from midas_mp.cli.display import make_display
    from midas_mp.cli.running import Stopped, print_answer, until_stopped
    from midas_mp.driver.session import Run
    from midas_mp.transport import loop

    try:
        with make_display(wants_progress=said["progress"]) as display:
            run = Run(
                script,
                options,
                display,
                zygote,
                sandbox_level_max=said["sandbox_level_max"],
                sandbox_level_min=said["sandbox_level_min"],
                journal=said["journal"],
            )
            answer = loop.run(
                until_stopped(session(run), suspending=lambda: _suspended(zygote, display))
            )
    except (Stopped, WorldError) as error:
        journal: Path | None = said["journal"]
        if journal is not None and journal.exists() and not isinstance(error, JournalFailed):
            error.add_note(f"the same command goes on from {journal}")
        raise
    finally:
        zygote.close()
    print_answer(answer.value)
    if answer.failed:
        plural = "" if answer.failed == 1 else "s"
        write_line(f"midas: {answer.failed} task{plural} failed")
        return 1
    return 0
