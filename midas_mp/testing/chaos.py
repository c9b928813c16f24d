"""Harms clusters of real processes while they work: ``python -m midas_mp.testing.chaos --what
workers --count 5000 --tasks 200000``.

A job runs on a host and two participants, all of them processes of their own, and each time that so
many of its results have come, somebody is killed or frozen, or the network does its worst.  In the
end each result must be there once and be right, and soon after the last blow.

This is a program that uses Midas as any other does, by its public names.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

import midas_mp
from midas_mp.errors import MidasError
from midas_mp.testing.chance import Chance
from midas_mp.testing.injection import Blow, Faults
from midas_mp.testing.proxy import BadLine
from midas_mp.testing.spoiling import Spoil

if TYPE_CHECKING:
    from midas_mp import Executor, LocalCluster, LuaFunction

TASK_S: Final = 0.002
"""What a task takes, so that some are under way whenever something happens."""

WORDS_BYTES: Final = 1_000
"""What a task is given to turn round."""

SPOILT_BYTES: Final = 400_000
"""From one place that is spoiled to the next, on average: what some hundred tasks take and give."""

SAMPLE_TASKS: Final = 200
"""From these is known how long a job takes in calm times."""

RECOVERY_FACTOR: Final = 2
RECOVERY_S: Final = 30.0
"""After the last blow a job must be over within so many calm times and so long."""


class Trial(NamedTuple):
    """What is done to a cluster.

    Attributes:
        blows: dealt in turn.
        tasks_per_blow: so many results lie between two of them.
        line: what its network is like, from the beginning until the last blow.
        counted: what the figure counts, where it is the network that deals the blows.
        open_max: tasks that were submitted and are not done; None is as many as there are.  What is
            open is submitted again after each cut, so on a line that spoils all of it at some place
            a job would never get ahead.
    """

    blows: tuple[Blow, ...] = ()
    tasks_per_blow: int = 40
    line: BadLine = BadLine()
    counted: str = ""
    open_max: int | None = None


_KILL, _FREEZE = Blow.KILL_PARTICIPANT, Blow.FREEZE_PARTICIPANT

TRIALS: Final[dict[str, Trial]] = {
    "workers": Trial((Blow.KILL_WORKER,)),
    "participants": Trial((_KILL, _KILL, _FREEZE, _KILL, _KILL), 200),
    "hosts": Trial((Blow.KILL_HOST,), 200),
    "frozen-hosts": Trial((Blow.FREEZE_HOST,), 200),
    "cuts": Trial((Blow.CUT,), 100),
    "black-holes": Trial((Blow.BLACK_HOLE,), 200),
    "flips": Trial((), 40, BadLine(spoil=Spoil(SPOILT_BYTES, 0, 0)), "flipped bits", 64),
    "doubles": Trial((), 40, BadLine(spoil=Spoil(0, SPOILT_BYTES, 0)), "doubled stretches", 64),
    "disorder": Trial(
        (), 40, BadLine(spoil=Spoil(0, 0, SPOILT_BYTES)), "stretches out of order", 64
    ),
    "slow": Trial((), 40, BadLine(latency_s=0.5)),
    "narrow": Trial((), 40, BadLine(bytes_per_s=125_000)),
}


class Outcomes:
    """What came of a job's tasks."""

    def __init__(self, tasks: int, seed: int) -> None:
        rng = Chance(f"words {seed}")
        self._words = rng.randbytes(WORDS_BYTES // 2).hex()
        self.tasks = tasks
        self._came: Counter[int] = Counter()
        self._wrong = 0

    def items(self) -> Iterator[dict[str, Any]]:
        return ({"index": index, "words": self._of(index)} for index in range(self.tasks))

    def note(self, result: Any) -> None:
        """One came."""
        index = result["index"] if isinstance(result, dict) else None
        if isinstance(index, int) and 0 <= index < self.tasks:
            self._came[index] += 1
            self._wrong += result != {"index": index, "words": self._of(index)[::-1]}
        else:
            self._wrong += 1

    @property
    def counts(self) -> dict[str, int]:
        """What must not be."""
        return {
            "lost": self.tasks - len(self._came),
            "twice": sum(count - 1 for count in self._came.values()),
            "wrong": self._wrong,
        }

    def _of(self, index: int) -> str:
        place = index % WORDS_BYTES
        return f"{index} {self._words[place:]}{self._words[:place]}"


class Ordeal(NamedTuple):
    """What came of a trial.

    Attributes:
        what: the trial.
        tasks: how many.
        counts: of all that was done to the cluster.
        outcomes: of the tasks.
        calm_s: what the job takes in calm times, by a sample.
        recovery_s: from the last blow to the end.
        error: what ended the job before it was done.
    """

    what: str
    tasks: int
    counts: Counter[str]
    outcomes: dict[str, int]
    calm_s: float
    recovery_s: float
    error: str = ""

    @property
    def problems(self) -> list[str]:
        """Empty if all is well."""
        problems = [f"{count} {what}" for what, count in self.outcomes.items() if count]
        bound_s = RECOVERY_FACTOR * self.calm_s + RECOVERY_S
        if self.recovery_s > bound_s:
            problems.append(f"it took {self.recovery_s:.1f} s to recover, over {bound_s:.1f} s")
        if self.error:
            problems.append(self.error)
        return problems

    def __str__(self) -> str:
        done = ", ".join(f"{count:,} {what}" for what, count in self.counts.items())
        came = ", ".join(f"{count} {what}" for what, count in self.outcomes.items())
        return (
            f"{self.what}: {done or 'nothing'} over {self.tasks:,} tasks: {came}; "
            f"over {self.recovery_s:.1f} s after the last, {self.calm_s:.1f} s in calm times"
        )


def run_trial(
    what: str, count: int, *, tasks: int | None = None, seed: int = 0, standstill_s: float = 20.0
) -> Ordeal:
    """Has a cluster work while so many things go wrong.

    Args:
        what: one of ``TRIALS``.
        count: of the blows; where the network deals them, only how many are worth so many tasks.
        tasks: how many there are; None is what the trial says for each blow.
        seed: of whatever is left to chance.
        standstill_s: how long what is frozen may stand still.
    """
    trial = TRIALS[what]
    tasks = tasks or count * trial.tasks_per_blow
    faults = Faults(seed=seed, line=trial.line, standstill_s_max=standstill_s)
    outcomes = Outcomes(tasks, seed)
    with midas_mp.LocalCluster(workers=1, participants=2, faults=faults) as cluster:
        source = resources.files("midas_mp.testing").joinpath("chaos.lua")
        with resources.as_file(source) as path:
            turn = midas_mp.lua_function(path, "turn")
        with cluster.executor() as executor:
            calm_s = _sampled_s(executor, turn, seed) * tasks
            error, recovery_s = "", 0.0
            try:
                recovery_s = _endure(
                    cluster, executor, turn, outcomes=outcomes, trial=trial, count=count
                )
            except (MidasError, TimeoutError) as failure:
                error = f"{type(failure).__name__}: {failure}"
            counts = cluster.calm()
    wanted = {trial.counted, *trial.blows}
    told = Counter({kind: n for kind, n in counts.items() if kind in wanted})
    return Ordeal(what, tasks, told, outcomes.counts, calm_s, recovery_s, error)


def _sampled_s(executor: Executor, turn: LuaFunction, seed: int) -> float:
    """What a task takes."""
    sample = Outcomes(SAMPLE_TASKS, seed)
    began_s = time.monotonic()
    for _ in executor.map(turn, sample.items(), [TASK_S] * SAMPLE_TASKS, chunksize=1):
        pass
    return (time.monotonic() - began_s) / SAMPLE_TASKS


def _endure(
    cluster: LocalCluster,
    executor: Executor,
    turn: LuaFunction,
    *,
    outcomes: Outcomes,
    trial: Trial,
    count: int,
) -> float:
    """Runs the job; how long it still took when nothing went wrong any more."""
    blows = list(itertools.islice(itertools.cycle(trial.blows), count))
    results = executor.map(
        turn,
        outcomes.items(),
        itertools.repeat(TASK_S),
        chunksize=1,
        buffersize=trial.open_max,
        unordered=True,
    )
    due = [outcomes.tasks * n // (len(blows) + 1) for n in range(1, len(blows) + 1)]
    calm_at = due[-1] if due else outcomes.tasks // 2
    calm_since_s = time.monotonic()
    for came, result in enumerate(results, 1):
        outcomes.note(result)
        for blow, at in zip(blows, due, strict=True):
            if at == came:
                cluster.strike(blow)
        if came == calm_at:
            cluster.calm()
            calm_since_s = time.monotonic()
    return time.monotonic() - calm_since_s


@click.command()
@click.option("--what", type=click.Choice(["all", *TRIALS]), default="all", help="What goes wrong.")
@click.option("--count", default=10, show_default=True, help="How often.")
@click.option("--tasks", type=int, help="Over so many tasks; each kind has its own usual number.")
@click.option("--seed", default=0, show_default=True, help="Of all that is left to chance.")
@click.option(
    "--repeat", default=1, show_default=True, help="So often, with the seeds that follow."
)
def main(what: str, count: int, tasks: int | None, seed: int, repeat: int) -> None:
    """Harm clusters while they work, and see that nothing is lost, doubled or wrong."""
    is_wrong = False
    for each in TRIALS if what == "all" else [what]:
        for number in range(seed, seed + repeat):
            ordeal = run_trial(each, count, tasks=tasks, seed=number)
            click.echo(str(ordeal))
            for problem in ordeal.problems:
                is_wrong = True
                click.echo(f"{each}, seed {number}: {problem}", err=True)
    if is_wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
