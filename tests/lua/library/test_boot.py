"""Every row of attack that is known, as a script of its own, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import lupa.luajit21
import pytest

LIBRARY = Path(__file__).parents[3] / "midas_mp" / "lua" / "library"
HOSTILE = Path(__file__).parents[1] / "hostile"
SCRIPTS = sorted(HOSTILE.glob("*.lua"))
MEMORY_MB = 64
HANG_TIMEOUT_S = 2.0

SCAN = HOSTILE.parent / "tools" / "globals_used.lua"
BEFORE_LOCKDOWN = {"boot": "assert load"}
"""What functions may still call while the world is being built."""
AFTERWARDS = "then 13233nilX"


def run(path, timeout_s):
    command = [sys.executable, str(HOSTILE / "run_hostile.py"), str(path), str(MEMORY_MB)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def expectation(path):
    first = path.read_text().partition("\n")[0]
    assert first.startswith("-- expect: ")
    return first.removeprefix("-- expect: ")


@pytest.mark.parametrize(
    "path", [p for p in SCRIPTS if expectation(p) != "hang"], ids=lambda p: p.stem
)
def test_a_hostile_script_ends_as_expected_and_harms_nobody(path):
    kind, _, text = expectation(path).partition(" ")
    done = run(path, 30)
    assert done.returncode == 0, done.stderr
    running, outcome, *_, afterwards = done.stdout.splitlines()
    assert running == "running"
    assert outcome.startswith(f"{kind} ")
    assert text in outcome
    assert afterwards == AFTERWARDS


@pytest.mark.parametrize(
    "path", [p for p in SCRIPTS if expectation(p) == "hang"], ids=lambda p: p.stem
)
def test_what_never_returns_can_be_killed(path):
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        run(path, HANG_TIMEOUT_S)
    assert caught.value.stdout == b"running\n"


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.lua")), ids=lambda p: p.stem)
def test_the_library_needs_no_globals_once_they_are_gone(path):
    lua = lupa.luajit21.LuaRuntime(encoding=None)
    globals_used = lua.execute(SCAN.read_bytes())
    found = globals_used(path.read_bytes(), path.name.encode()).decode()
    assert found == BEFORE_LOCKDOWN.get(path.stem, "")
