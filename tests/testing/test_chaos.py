"""Clusters that are harmed while they work lose nothing, and what would be wrong is noticed.

Those marked ``figures`` are for CI and ``tox -e figures``, those marked ``chaos`` for ``tox -e
chaos``, larger ones for ``tox -e long``.
"""

from __future__ import annotations

from collections import Counter

import pytest
from click.testing import CliRunner

from midas_mp.testing import chaos
from midas_mp.testing.chaos import TRIALS, Ordeal, Outcomes, main, run_trial

USUAL = {
    "workers": (110, 5_000, 100),
    "participants": (10, 1_000, 5),
    "hosts": (12, 1_000, 10),
    "flips": (5, 1_500, 1),
    "black-holes": (1, 300, 1),
}
"""How often over how many tasks, and how often at least: nobody can be killed twice in a row."""

MORE = {
    "frozen-hosts": (2, 400, 1),
    "cuts": (20, 2_000, 15),
    "doubles": (5, 1_500, 1),
    "disorder": (5, 1_500, 1),
    "slow": (5, 200, 0),
    "narrow": (5, 200, 0),
}


def endure(what, count, tasks, least):
    ordeal = run_trial(what, count, tasks=tasks, seed=1)
    print(ordeal)  # noqa: T201 - a figure
    assert ordeal.problems == []
    assert sum(ordeal.counts.values()) >= least


@pytest.mark.figures
@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", USUAL)
def test_nothing_is_lost_doubled_or_wrong(what):
    endure(what, *USUAL[what])


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", MORE)
def test_nothing_is_lost_doubled_or_wrong_in_worse_times(what):
    endure(what, *MORE[what])


def test_every_trial_is_tried():
    assert {*USUAL, *MORE} == {*TRIALS}


def test_what_is_lost_doubled_or_wrong_is_noticed():
    outcomes = Outcomes(5, seed=1)
    right = [{"index": item["index"], "words": item["words"][::-1]} for item in outcomes.items()]
    for result in right[1:]:
        outcomes.note(result)
    assert outcomes.counts == {"lost": 1, "twice": 0, "wrong": 0}
    outcomes.note(right[1])
    outcomes.note(right[0] | {"words": right[2]["words"]})
    assert outcomes.counts == {"lost": 0, "twice": 1, "wrong": 1}
    for nonsense in (None, {"index": 5}, {"index": "1"}):
        outcomes.note(nonsense)
    assert outcomes.counts == {"lost": 0, "twice": 1, "wrong": 4}


def ordeal_of(*, lost=0, recovery_s=1.0, error=""):
    outcomes = {"lost": lost, "twice": 0, "wrong": 0}
    return Ordeal("cuts", 9, Counter({"cuts": 3}), outcomes, 2.0, recovery_s, error)


def test_problems_are_named():
    assert ordeal_of(recovery_s=34).problems == []
    assert ordeal_of(lost=2).problems == ["2 lost"]
    assert ordeal_of(recovery_s=34.1).problems == ["it took 34.1 s to recover, over 34.0 s"]
    assert ordeal_of(error="ClusterLost: gone").problems == ["ClusterLost: gone"]


def test_an_error_ends_a_trial_and_is_its_problem(monkeypatch):
    def endure(cluster, executor, turn, **_):
        return list(executor.map("function() error('mine') end", [1]))

    monkeypatch.setattr(chaos, "_endure", endure)
    ordeal = run_trial("cuts", 1, tasks=10)
    assert ordeal.problems == ["10 lost", ordeal.error]
    assert ordeal.error.startswith("ScriptError: ")
    assert "mine" in ordeal.error


def test_the_command_prints_figures(monkeypatch):
    monkeypatch.setattr(chaos, "run_trial", lambda what, count, tasks, seed: ordeal_of())
    result = CliRunner().invoke(main, ["--what", "cuts", "--repeat", "2"])
    assert result.exit_code == 0
    figure = "cuts: 3 cuts over 9 tasks: 0 lost, 0 twice, 0 wrong; "
    assert result.output.count(figure) == 2


def test_the_command_fails_with_what_is_wrong(monkeypatch):
    monkeypatch.setattr(chaos, "run_trial", lambda what, count, tasks, seed: ordeal_of(lost=1))
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 1
    assert "disorder, seed 0: 1 lost\n" in result.output
