"""Damaged journals hold nothing but the truth; and the judge of them is no fool."""

from __future__ import annotations

import msgspec
import pytest
from click.testing import CliRunner

from midas_mp.testing import journal_faults
from midas_mp.testing.disk import NAME
from midas_mp.testing.journal_faults import (
    FAULTS,
    Found,
    describe,
    judge,
    main,
    make_specimen,
    try_faults,
)


@pytest.mark.parametrize("kind", FAULTS)
def test_no_damage_makes_a_journal_say_what_was_not_written(kind):
    found = try_faults(kind, range(200))
    print(f"200 {kind}s: {describe(found.values())}")  # noqa: T201 - a figure
    assert {number: each.problem for number, each in found.items() if each.problem} == {}
    verdicts = {each.verdict for each in found.values()}
    assert {"refused", "end lost", "whole"} <= verdicts, "all of them happen"


@pytest.mark.parametrize("seed", range(6))
def test_a_journal_that_is_not_damaged_is_whole(tmp_path, seed):
    specimen = make_specimen(tmp_path, seed)
    assert judge(tmp_path / NAME, specimen) == Found("whole")


def test_other_results_than_were_written_are_wrong(tmp_path):
    specimen = make_specimen(tmp_path, 0)
    assert specimen.written > 1
    (record, buffers), *others = specimen.batches[1]
    changed = [b"\0" + bytes(buffers[0])[1:], *buffers[1:]]
    batches = [specimen.batches[0], [(record, changed), *others], *specimen.batches[2:]]
    found = judge(tmp_path / NAME, specimen._replace(batches=batches))
    assert found == Found("wrong", "it holds something that was not written")


def test_a_part_of_a_commit_is_wrong(tmp_path):
    specimen = make_specimen(tmp_path, 0)
    joined = [[record for batch in specimen.batches for record in batch] + [("", ())]]
    specimen = specimen._replace(batches=joined, written=1)
    assert judge(tmp_path / NAME, specimen).problem == "it holds a part of a commit"


def test_another_job_is_wrong(tmp_path):
    specimen = make_specimen(tmp_path, 0)
    other = specimen._replace(job=msgspec.structs.replace(specimen.job, seed=99))
    assert judge(tmp_path / NAME, other).problem == "it is said to be of another job"


def test_the_command_tells_counts():
    result = CliRunner().invoke(main, ["--cuts", "3", "--flips", "2", "--tears", "1"])
    assert result.exit_code == 0
    assert result.output.startswith("cuts: wrong 0, ")


def test_the_command_says_how_to_see_a_wrong_answer_again(monkeypatch):
    def find(kind, numbers):
        problem = "bit 3 flipped: wrong" if kind == "flip" else ""
        return {number: Found("whole", problem) for number in numbers}

    monkeypatch.setattr(journal_faults, "try_faults", find)
    result = CliRunner().invoke(
        main, ["--cuts", "1", "--flips", "1", "--tears", "1", "--start", "7"]
    )
    assert result.exit_code == 1
    for line in ("cuts: wrong 0, whole 1", "flips: wrong 1", "tears: wrong 0, whole 1"):
        assert f"{line}\n" in result.output
    assert "flip 7: bit 3 flipped: wrong\n" in result.output
    assert "journal_faults --start 7 --cuts 0 --flips 1 --tears 0\n" in result.output
