from __future__ import annotations

from midas_mp.scheduler.standings import Standings


def test_nothing_is_known_against_anybody_at_first() -> None:
    standings = Standings()
    assert (standings.strikes, standings.set_aside) == ({}, {})
