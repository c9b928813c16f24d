"""Where calls run."""

from __future__ import annotations

import pytest

from midas_mp import Executor, HostUnreachable, ScriptError

SQUARE = "function(x) return x * x end"


def test_a_standing_host_is_a_workplace(standing_host):
    with Executor(standing_host) as executor:
        assert executor.submit(SQUARE, 7).result() == 49
        assert repr(executor) == f"<midas_mp.Executor on {standing_host}, 2 workers>"
        assert list(executor.map(SQUARE, range(1000))) == [x * x for x in range(1000)]
        with pytest.raises(ScriptError, match="deliberate"):
            executor.submit("function() error('deliberate') end").result()


def test_nobody_there_is_said_at_once():
    with pytest.raises(HostUnreachable):
        Executor("127.0.0.1:1")


def test_calls_of_several_programs_share_a_host(standing_host):
    with Executor(standing_host) as one, Executor(standing_host) as other:
        futures = [(e.submit(SQUARE, x), x) for x in range(20) for e in (one, other)]
        assert all(future.result() == x * x for future, x in futures)
