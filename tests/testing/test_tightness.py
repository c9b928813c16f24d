"""Limits of one run."""

from __future__ import annotations

import pytest

from midas_mp import limits
from midas_mp.testing import tightness
from midas_mp.testing.chance import Chance


def test_what_is_narrowed_is_a_limit_and_narrower():
    for name, values in tightness.CHOICES.items():
        assert all(0 <= value < getattr(limits, name) for value in values)


def test_a_share_of_the_limits_is_drawn():
    rng = Chance("test")
    assert tightness.draw(rng, 0.0) == {}
    assert set(tightness.draw(rng, 1.0)) == set(tightness.CHOICES)
    assert 0 < len(tightness.draw(rng, 0.5)) < len(tightness.CHOICES)


def test_limits_are_as_usual_again_whatever_happened():
    usual = limits.CREDIT_TASKS
    seen: list[int] = []

    def look_and_fail() -> None:
        seen.append(limits.CREDIT_TASKS)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), tightness.tightened({"CREDIT_TASKS": 5}):
        look_and_fail()
    assert [*seen, limits.CREDIT_TASKS] == [5, usual]
