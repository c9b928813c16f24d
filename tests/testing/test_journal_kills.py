"""Runs that are killed go on where they were; and what does not is noticed."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from midas_mp.testing import journal_kills
from midas_mp.testing.journal_kills import KilledJob, Tally, kill_at_random, main

KILLS = 10


@pytest.fixture
def job(tmp_path):
    return KilledJob(tmp_path, tasks=6, steps=10)


def test_no_task_that_is_recorded_runs_again_after_a_sigkill():
    tally = kill_at_random(KILLS, seed=1)
    print(f"{KILLS} SIGKILLs: {tally.recorded} recorded results, 0 of them run again")  # noqa: T201 - a figure
    assert tally.kills == KILLS
    assert tally.recorded > 0
    assert tally.problems == []


def test_a_job_whose_journal_is_taken_away_is_noticed(job):
    job.killed(job.start())
    assert job.recorded == set(range(6))
    job.journal.unlink()
    job.killed(job.start())
    assert job.problems == ["a task ran again"]


def test_results_that_go_are_noticed(job):
    job.finish()
    job.journal.unlink()
    job._said().write_text("")
    run = job.start()
    run.kill()
    job.killed(run)
    assert "a result is gone" in job.problems


def test_a_wrong_answer_is_noticed(job):
    job.killed(job.start())
    job._tasks = 7
    job.finish()
    assert [problem[:13] for problem in job.problems] == ["the answer is", "other tasks r"]


def test_the_command_tells_counts(monkeypatch):
    monkeypatch.setattr(journal_kills, "kill_at_random", lambda kills, seed: Tally(kills, 9, []))
    result = CliRunner().invoke(main, ["--random", "3", "--seed", "4"])
    assert result.exit_code == 0
    line = "3 SIGKILLs at random moments, seed 4: 9 recorded results, 0 problems\n"
    assert result.output == line


def test_the_command_tells_problems(monkeypatch):
    monkeypatch.setattr(journal_kills.shutil, "which", lambda name: "/usr/bin/strace")
    monkeypatch.setattr(journal_kills, "kill_at_every_write", lambda: Tally(2, 5, ["gone"]))
    result = CliRunner().invoke(main, ["--every-write"])
    assert result.exit_code == 1
    assert result.output.endswith("before each write: 5 recorded results, 1 problems\ngone\n")


def test_the_command_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(journal_kills.shutil, "which", lambda name: None)
    result = CliRunner().invoke(main, ["--every-write"])
    assert result.exit_code == 2
    assert "needs strace" in result.output
