"""Runs seeds: ``python -m midas_mp.testing.simulator --seeds 1000``.

Each seed is one cluster's life, see ``scenario`` for what it draws and ``world`` for what must
hold.  A seed that fails is printed with the command that plays it again.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import click

from midas_mp.testing import world
from midas_mp.testing.world import Verdict

BLOCK: Final = 50
"""Seeds that a process runs before it reports."""

FAILURES_MAX: Final = 5
"""So many are enough to look at."""


def run_block(seeds: range) -> list[Verdict]:
    """Some seeds, one after the other."""
    return [world.run(seed) for seed in seeds]


@click.command()
@click.option("--seed", type=int, help="Run this one.")
@click.option("--trace", is_flag=True, help="With --seed: print everything that happens.")
@click.option("--seeds", type=int, help="Run so many.")
@click.option("--start", type=int, default=0, show_default=True, help="The first of them.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes.")
def main(seed: int | None, seeds: int | None, start: int, jobs: int, *, trace: bool) -> None:
    """Play the life of whole clusters, faults and all, in virtual time."""
    if seed is not None:
        verdict = world.run(seed, click.echo if trace else None)
        total = _summary([verdict])
        failures = [verdict] if verdict.problem else []
    else:
        failures, total = _run_many(range(start, start + (seeds or BLOCK)), jobs)
    click.echo(total)
    for verdict in failures:
        click.echo(_explain(verdict), err=True)
    if failures:
        sys.exit(1)


def _run_many(seeds: range, jobs: int) -> tuple[list[Verdict], str]:
    began = time.monotonic()
    verdicts: list[Verdict] = []
    failures: list[Verdict] = []
    blocks = [seeds[first : first + BLOCK] for first in range(0, len(seeds), BLOCK)]
    for block in _blocks_done(blocks, jobs):
        verdicts += block
        failures += [verdict for verdict in block if verdict.problem]
        elapsed_s = time.monotonic() - began
        click.echo(f"{len(verdicts)} of {len(seeds)} seeds, {elapsed_s:.0f} s", err=True)
        if len(failures) >= FAILURES_MAX:
            break
    return failures[:FAILURES_MAX], _summary(verdicts)


def _blocks_done(blocks: list[range], jobs: int) -> Iterator[list[Verdict]]:
    if jobs == 1:
        yield from map(run_block, blocks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            yield from pool.map(run_block, blocks)
        finally:
            pool.shutdown(cancel_futures=True)


def _summary(verdicts: Iterable[Verdict]) -> str:
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        counts["seeds"] += 1
        counts["virtual seconds"] += round(verdict.virtual_s)
        counts += verdict.counts
    return "\n".join(f"{number:>12,} {what}" for what, number in sorted(counts.items()))


def _explain(verdict: Verdict) -> str:
    return (
        f"seed {verdict.seed} failed: {verdict.problem}\n"
        f"play it again: python -m midas_mp.testing.simulator --seed {verdict.seed} --trace"
    )


if __name__ == "__main__":
    main()
