"""Kills runs that keep a journal: ``python -m midas_mp.testing.journal_kills --random 500``.

``midas run`` is killed with SIGKILL, at moments that are drawn or (``--every-write``, with strace)
just before each of its writes to the journal.  The next run of the same command must go on: no task
whose result is recorded runs again, nothing that was recorded is gone, and the answer is right.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

import click

from midas_mp.journal.file import JournalFile
from midas_mp.testing.chance import Chance

SCRIPT: Final = "steps.lua"

WRITES: Final = ("pwrite64", "fdatasync", "ftruncate", "unlink")
"""System calls by which SQLite, and the lock beside it, change files."""

PATIENCE_S: Final = 120.0
"""For a run that is not killed; it takes a second or two."""

LINES_SHOWN: Final = 3
"""Of what a run said that went wrong: the last ones."""

_RAN: Final = re.compile(r"\] ran (\d+)$", re.MULTILINE)


class Tally(NamedTuple):
    """What came of kills.

    Attributes:
        kills: how many.
        recorded: results that the journals held after each of them, in all.
        problems: empty if all is well.
    """

    kills: int
    recorded: int
    problems: list[str]


class KilledJob:
    """One job and its journal, from its first run to its answer."""

    def __init__(self, folder: Path, tasks: int, steps: int) -> None:
        self.journal = folder / "run.journal"
        self.recorded: frozenset[int] = frozenset()
        """What the journal held after the last run."""
        self.problems: list[str] = []
        self._folder = folder
        self._tasks = tasks
        self._steps = steps

    def start(self, *before: str) -> subprocess.Popen[bytes]:
        """The command, behind such words as those of strace.  The number of tasks is said once:
        after that the journal knows it.
        """
        script = resources.files("midas_mp.testing").joinpath(SCRIPT)
        tasks = [] if self._is_begun() else ["--tasks", str(self._tasks)]
        command = [sys.executable, "-m", "midas_mp", "run", str(script), *tasks]
        options = ["--journal", str(self.journal), "--workers", "1", "--no-progress"]
        with self._said().open("wb") as said:
            return subprocess.Popen(  # noqa: S603 - a command of ours
                [*before, *command, *options, "--", str(self._steps)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
            )

    def ran(self) -> frozenset[int]:
        """Tasks that the present run has said that it runs."""
        text = self._said().read_text(encoding="utf-8", errors="replace")
        return frozenset(int(index) for index in _RAN.findall(text))

    def killed(self, run: subprocess.Popen[bytes]) -> None:
        """A run is over, and had no time to say so."""
        run.communicate()
        self._expect(not self.ran() & self.recorded, "a task ran again")
        now = self._read()
        self._expect(self.recorded <= now, "a result is gone")
        self.recorded = now

    def finish(self) -> None:
        """Goes on to the end."""
        run = self.start()
        out, _ = run.communicate(timeout=PATIENCE_S)
        everything = range(self._tasks)
        answer = ",".join(map(str, everything)).encode() + b"\n"
        said = self._said().read_text(encoding="utf-8", errors="replace").splitlines()
        is_right = (run.returncode, out) == (0, answer)
        self._expect(is_right, f"the answer is {out!r}; {' | '.join(said[-LINES_SHOWN:])}")
        self._expect(self.ran() == set(everything) - self.recorded, "other tasks ran than had to")
        self.recorded = self._read()

    def _expect(self, holds: bool, problem: str) -> None:  # noqa: FBT001 - as assert has it
        if not holds:
            self.problems.append(problem)

    def _is_begun(self) -> bool:
        if not self.journal.exists():
            return False
        with JournalFile(self.journal, read_only=True) as file:
            return file.summary is not None

    def _read(self) -> frozenset[int]:
        if not self._is_begun():
            return frozenset()
        with JournalFile(self.journal, read_only=True) as file:
            file.verify()
            rounds = file.summary.rounds if file.summary else []
            return frozenset(i for r in rounds for i in range(r.count) if r.digest(i))

    def _said(self) -> Path:
        return self._folder / "stderr"


def kill_at_random(kills: int, seed: int, *, tasks: int = 60, steps: int = 5_000) -> Tally:
    """Kills runs when they have done some tasks, or none; each job as often as it takes to end."""
    rng = Chance(f"kills {seed}")
    done = recorded = 0
    problems: list[str] = []
    while done < kills:
        with _job(tasks, steps) as job:
            while done < kills and len(job.recorded) < tasks:
                run = job.start()
                _wait_for_tasks(job, run, rng.randint(0, 15))
                time.sleep(rng.uniform(0, 0.02))
                run.kill()
                job.killed(run)
                done += 1
                recorded += len(job.recorded)
            job.finish()
            problems += job.problems
    return Tally(done, recorded, problems)


def kill_at_every_write(tasks: int = 50, steps: int = 10_000) -> Tally:
    """Kills a run just before its n-th write of each kind, for every n that there is."""
    kills = recorded = 0
    problems: list[str] = []
    for call in WRITES:
        was_killed = True
        number = 0
        while was_killed:
            number += 1
            with _job(tasks, steps) as job:
                run = job.start(*_strace(job.journal, call, number))
                job.killed(run)
                was_killed = run.returncode != 0
                kills += was_killed
                recorded += len(job.recorded)
                job.finish()
                problems += [f"at {call} {number}: {problem}" for problem in job.problems]
    return Tally(kills, recorded, problems)


def _strace(journal: Path, call: str, number: int) -> list[str]:
    names = [f"{journal}{suffix}" for suffix in ("", "-wal", "-journal", "-lock", "-shm")]
    paths = [word for name in names for word in ("-P", name)]
    return [
        *("strace", "-f", "-qq", "-o", "/dev/null"),
        *("-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"),
        *paths,
    ]


def _wait_for_tasks(job: KilledJob, run: subprocess.Popen[bytes], count: int) -> None:
    while len(job.ran()) < count and run.poll() is None:
        time.sleep(0.002)


@contextlib.contextmanager
def _job(tasks: int, steps: int) -> Iterator[KilledJob]:
    with tempfile.TemporaryDirectory(prefix="midas-kills-") as folder:
        yield KilledJob(Path(folder), tasks, steps)


@click.command()
@click.option("--random", "kills", type=int, default=0, help="Kill so often at random moments.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of those moments.")
@click.option("--every-write", is_flag=True, help="Kill once before every write; needs strace.")
def main(kills: int, seed: int, *, every_write: bool) -> None:
    """Kill runs that keep a journal, and see that they go on where they were."""
    if every_write and shutil.which("strace") is None:
        raise click.UsageError("--every-write needs strace")
    tallies = {}
    if kills:
        tallies[f"at random moments, seed {seed}"] = kill_at_random(kills, seed)
    if every_write:
        tallies["before each write"] = kill_at_every_write()
    for when, tally in tallies.items():
        click.echo(
            f"{tally.kills} SIGKILLs {when}: {tally.recorded} recorded results, "
            f"{len(tally.problems)} problems"
        )
        for problem in tally.problems:
            click.echo(problem, err=True)
    if any(tally.problems for tally in tallies.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
