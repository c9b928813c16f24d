"""The engines that are offered."""

from __future__ import annotations

import pytest

from midas_mp.errors import UsageError
from midas_mp.lua.engines import ENGINES, engine


def test_three_engines_are_offered_and_luajit_first():
    assert ENGINES == ("luajit", "lua5.4", "lua5.5")


@pytest.mark.parametrize(
    ("name", "version"), [("luajit", "Lua 5.1"), ("lua5.4", "Lua 5.4"), ("lua5.5", "Lua 5.5")]
)
def test_an_engine_is_the_one_it_is_called(name, version):
    assert version == engine(name).LuaRuntime().globals()._VERSION


def test_an_engine_that_is_not_here_is_refused_with_those_that_are():
    with pytest.raises(UsageError, match=r"no engine lua5.1 here; there is luajit, lua5.4, lua5.5"):
        engine("lua5.1")
