"""Every row of attack that is known, as a script of its own, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import lupa.lua54
import lupa.luajit21
import pytest

from midas_mp.lua.engines import ENGINES

LIBRARY = Path(__file__).parents[3] / "midas_mp" / "lua" / "library"
HOSTILE = Path(__file__).parents[1] / "hostile"
ABOUT_ARRAYS = sorted(HOSTILE.glob("a*.lua"))
SCRIPTS = sorted(set(HOSTILE.glob("*.lua")) - set(ABOUT_ARRAYS))
MEMORY_MB = 64
HANG_TIMEOUT_S = 2.0
END_TIMEOUT_S = 50.0  # some take 3 s of CPU, and many run at once

SCAN = HOSTILE.parent / "tools" / "globals_used.lua"
EXPECT = re.compile(r"-- expect( \((?P<family>luajit|plain)\))?: (?P<outcome>.*)")
AFTERWARDS = "then 13233nilXnilnil"


def run(paths, timeout_s, engine="luajit"):
    command = [sys.executable, HOSTILE / "run_hostile.py", str(MEMORY_MB), engine, *paths]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def expectation(path, engine="luajit"):
    """What the script's first lines say of the engine; None: it is nothing to it."""
    said = {}
    for line in path.read_text().splitlines():
        if match := EXPECT.fullmatch(line):
            said[match["family"] or "all"] = match["outcome"]
    assert said, path
    family = "luajit" if engine == "luajit" else "plain"
    outcome = said.get(family, said.get("all"))
    return None if outcome in (None, "nothing") else outcome


CASES = [
    pytest.param(path, engine, id=f"{path.stem}-{engine}")
    for path in SCRIPTS
    for engine in ENGINES
    if expectation(path, engine) not in (None, "hang")
]


@pytest.mark.parametrize(("path", "engine"), CASES)
def test_a_hostile_script_ends_as_expected_and_harms_nobody(path, engine):
    kind, _, text = expectation(path, engine).partition(" ")
    done = run([path], END_TIMEOUT_S, engine)
    assert done.returncode == 0, done.stderr
    running, outcome, *_, afterwards = done.stdout.splitlines()
    assert running == "running"
    assert outcome.startswith(f"{kind} ")
    assert text in outcome
    assert afterwards == AFTERWARDS


@pytest.mark.parametrize("engine", ENGINES)
def test_scripts_that_are_hostile_to_arrays_end_as_expected_and_harm_nobody(engine):
    """In one process: what each of them does takes less than the start of one."""
    paths = [path for path in ABOUT_ARRAYS if expectation(path, engine)]
    done = run(paths, END_TIMEOUT_S, engine)
    blocks = done.stdout.split("running\n")[1:]
    assert done.returncode == 0, (paths[len(blocks) - 1], done.stderr)
    for path, block in zip(paths, blocks, strict=True):
        kind, _, text = expectation(path, engine).partition(" ")
        outcome, *_, afterwards = block.splitlines()
        assert outcome.startswith(f"{kind} "), (path.stem, outcome)
        assert text in outcome, (path.stem, outcome)
        assert afterwards == AFTERWARDS, path.stem


@pytest.mark.parametrize(
    "path", [p for p in SCRIPTS if expectation(p) == "hang"], ids=lambda p: p.stem
)
def test_what_never_returns_can_be_killed(path):
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        run([path], HANG_TIMEOUT_S)
    assert caught.value.stdout == b"running\n"


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
