"""Luck that repeats itself."""

from __future__ import annotations

import pytest

from midas_mp.testing.chance import Chance


def test_the_same_name_gives_the_same_luck():
    assert Chance("a").random() == Chance("a").random()
    assert Chance("a").random() != Chance("b").random()


def test_its_luck_is_the_same_in_every_process_and_version():
    assert Chance("seed 1").random() == pytest.approx(0.24781907594693053)


def test_what_is_certain_happens_and_what_is_impossible_does_not():
    chance = Chance("a")
    assert all(chance.happens(1.0) for _ in range(100))
    assert not any(chance.happens(0.0) for _ in range(100))
    assert 20 < sum(chance.happens(0.3) for _ in range(100)) < 40


def test_a_branch_does_not_follow_its_trunk():
    one, other = Chance("a"), Chance("a")
    branch = one.branch()
    assert other.branch().random() == branch.random()
    assert one.random() == other.random()
