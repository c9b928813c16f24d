"""What stands where the real globals were, once the library is loaded.

That scripts cannot get out of it is shown in tests/hostile.
"""

from pathlib import Path

import lupa.lua54
import lupa.luajit21
import pytest

LIBRARY = Path(__file__).parents[3] / "midas_mp" / "lua" / "library"
SCAN = Path(__file__).parents[1] / "tools" / "globals_used.lua"


def library(family):
    """The files that an engine of this family loads; boot loads them all."""
    other = "plain_*.lua" if family == "luajit" else "luajit_*.lua"
    return sorted(set(LIBRARY.glob("*.lua")) - set(LIBRARY.glob(other)))


@pytest.mark.parametrize("path", library("luajit"), ids=lambda p: p.stem)
def test_the_library_needs_no_globals_once_they_are_gone(path):
    lua = lupa.luajit21.LuaRuntime(encoding=None)
    globals_used = lua.execute(SCAN.read_bytes())
    found = globals_used(path.read_bytes(), path.name.encode()).decode()
    assert found == ""


@pytest.mark.parametrize("path", library("plain"), ids=lambda p: p.stem)
def test_the_library_needs_no_globals_of_other_engines_either(path):
    # 5.4 writes the names of a function's upvalues into its bytecode: one _ENV is the chunk's own
    lua = lupa.lua54.LuaRuntime(encoding=None)
    bytecode = lua.eval(b"function(text) return string.dump(assert(load(text))) end")
    nested = bytecode(path.read_bytes()).count(b"_ENV") - 1
    assert nested == 0
