"""A thousand clusters, and the command that plays them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from midas_mp.testing import simulator, world
from midas_mp.testing.trace import Trace
from midas_mp.testing.world import Verdict

SEEDS = 1_000
BLOCK = 50

BLOCKS = [
    0,
    *(pytest.param(first, marks=pytest.mark.figures) for first in range(BLOCK, SEEDS, BLOCK)),
]


@pytest.mark.parametrize("first", BLOCKS)
def test_nothing_that_must_never_happen_does(first):
    """On a failure: ``python -m midas_mp.testing.simulator --seed N --trace``."""
    verdicts = simulator.run_block(range(first, first + BLOCK))
    assert {verdict.seed: verdict.problem for verdict in verdicts if verdict.problem} == {}


@pytest.mark.parametrize("seed", [3, 7, 20])
def test_a_seed_gives_the_same_trace_in_every_process(seed):
    def lines(hash_seed: str) -> bytes:
        return subprocess.run(
            [sys.executable, "-m", "midas_mp.testing.simulator", "--seed", str(seed), "--trace"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout

    one = lines("1")
    assert one.count(b"\n") > 100
    assert one == lines("2")


def invoke(*arguments: str):
    return CliRunner().invoke(simulator.main, list(arguments))


def test_one_seed_prints_what_happened_in_numbers():
    result = invoke("--seed", "3")
    assert result.exit_code == 0
    assert "1 seeds\n" in result.stdout
    assert "results\n" in result.stdout


def test_a_trace_has_every_event_with_its_time():
    result = invoke("--seed", "3", "--trace")
    assert "   0.000000      host starts\n" in result.stdout
    assert "runs client1-job0 0 1 attempt=0" in result.stdout


def test_many_seeds_add_up_and_tell_how_far_they_are():
    result = invoke("--seeds", "4", "--start", "3")
    assert result.exit_code == 0
    assert "4 of 4 seeds" in result.stderr
    assert "4 seeds\n" in result.stdout


def test_processes_share_the_seeds(monkeypatch):
    monkeypatch.setattr(simulator, "BLOCK", 1)
    result = invoke("--seeds", "2", "--jobs", "2")
    assert result.exit_code == 0
    assert "2 of 2 seeds" in result.stderr


def test_a_seed_that_fails_comes_with_the_command_that_plays_it_again(monkeypatch):
    def run(seed: int, write: object = None) -> Verdict:
        problem = "a result for the second time" if seed == 5 else ""
        return Verdict(seed, problem, Trace(lambda: 0.0, None).counts, 1.0, "")

    monkeypatch.setattr(world, "run", run)
    result = invoke("--seeds", "10")
    assert result.exit_code == 1
    assert "seed 5 failed: a result for the second time" in result.stderr
    assert "python -m midas_mp.testing.simulator --seed 5 --trace" in result.stderr
