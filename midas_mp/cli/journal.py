"""``midas journal show FILE``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from midas_mp.client.printable import printable_line

if TYPE_CHECKING:
    from midas_mp.journal.summary import JournalSummary, RoundSummary

ROUNDS_SHOWN_MAX: Final = 10
"""The last ones; a job may have thousands."""


@click.group(short_help="Look into journals.")
def journal() -> None:
    """Look into the files that --journal writes."""


@journal.command()
@click.option("--json", "wants_json", is_flag=True, help="All of it, for programs.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def show(file: Path, *, wants_json: bool) -> int:
    """Show of which job FILE is, and how far that is.

    All that is in it is checked; what is damaged is an error.  It may be in use meanwhile.
    """
    from midas_mp.journal.file import JournalFile

    with JournalFile(file, read_only=True) as opened:
        opened.verify()
        summary = opened.summary
    if wants_json:
        click.echo(json.dumps(_facts(file, summary), indent=2))
    else:
        click.echo("\n".join(_lines(file, summary)))
    return 0


def _facts(file: Path, summary: JournalSummary | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": str(file), "size_bytes": file.stat().st_size}
    if summary is None:
        return facts | {"script": None}
    job = summary.job
    return facts | {
        "script": job.script,
        "digest": job.digest,
        "lua": job.engine,
        "arg": job.arg,
        "named_arg": job.named_arg,
        "seed": job.seed,
        "tasks": job.tasks or None,
        "began": _iso(job.recorded_s),
        "last_recorded": _iso(summary.last_s),
        "rounds": [
            {
                "round": each.number,
                "count": each.count,
                "done": each.done,
                "failed": each.failed,
                "began": _iso(each.began_s),
            }
            for each in summary.rounds
        ],
    }


def _lines(file: Path, summary: JournalSummary | None) -> list[str]:
    if summary is None:
        return [f"{printable_line(str(file))}: nothing is recorded"]
    job = summary.job
    rows = [
        ("script", f"{job.script}, {job.digest[:12]}"),
        ("arguments", job.words),
        ("Lua", f"{job.engine}, seed {job.seed}"),
        ("tasks", job.tasks or "one for each worker"),
        ("begun", _local(job.recorded_s)),
        ("last", _local(summary.last_s)),
        ("size", _size(file.stat().st_size)),
    ]
    hidden = len(summary.rounds) - ROUNDS_SHOWN_MAX
    if hidden > 0:
        rows.append(("rounds", f"{hidden} before these, all done"))
    rows += [(f"round {r.number}", _progress(r)) for r in summary.rounds[-ROUNDS_SHOWN_MAX:]]
    return [f"{name:<10} {printable_line(text)}" for name, text in rows if text]


def _progress(round_: RoundSummary) -> str:
    failed = f", {round_.failed} failed" if round_.failed else ""
    return f"{round_.done} of {round_.count} tasks done{failed}"


def _size(size_bytes: int) -> str:
    size: float = size_bytes
    for unit in ("bytes", "KB", "MB"):
        if size < 1024:  # noqa: PLR2004 - what a KB is, said in the next line
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GB"


def _local(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
