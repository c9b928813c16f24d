"""Every way out of Lua that is known, on every engine: rows L1 to L29 of what was found once.

A script ``lNN_*.lua`` is about row NN, ``aNN_*.lua`` about arrays, ``x_*.lua`` about what no row
has; its first lines say how it must end.  Each runs in a process of its own, and an innocent script
after it in the same state.  Those of ``dNN_*.lua`` are about a script's own functions, in a real
run.  Rows that are about Python's side are functions below.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgpack
import pytest

from midas_mp import Executor, limits
from midas_mp.errors import ScriptError
from midas_mp.lua import engines
from midas_mp.lua.bundle import Bundle
from midas_mp.lua.engines import ENGINES
from midas_mp.lua.runtime import Context, Profile, Runtime
from midas_mp.wire.messages import JobSpec

HOSTILE = Path(__file__).parent
ABOUT_ARRAYS = sorted(HOSTILE.glob("a*.lua"))
SCRIPTS = sorted(HOSTILE.glob("[lx]*.lua"))
MEMORY_MB = 64
END_TIMEOUT_S = 50.0  # some take 3 s of CPU, and many run at once

EXPECT = re.compile(r"-- expect( \((?P<family>luajit|plain)\))?: (?P<outcome>.*)")
AFTERWARDS = "then 13233nilXnilnil"

ROWS = range(1, 30)


def run(paths, engine="luajit"):
    command = [sys.executable, HOSTILE / "run_hostile.py", str(MEMORY_MB), engine, *paths]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=END_TIMEOUT_S, check=False
    )


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
    done = run([path], engine)
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
    done = run(paths, engine)
    blocks = done.stdout.split("running\n")[1:]
    assert done.returncode == 0, (paths[len(blocks) - 1], done.stderr)
    for path, block in zip(paths, blocks, strict=True):
        kind, _, text = expectation(path, engine).partition(" ")
        outcome, *_, afterwards = block.splitlines()
        assert outcome.startswith(f"{kind} "), (path.stem, outcome)
        assert text in outcome, (path.stem, outcome)
        assert afterwards == AFTERWARDS, path.stem


@pytest.mark.parametrize("engine", ENGINES)
def test_what_never_returns_is_killed_and_the_next_call_runs(engine):
    """Rows 9, 10 and 12: nothing inside the process, a signal's handler least of all, would."""
    endless = [path for path in SCRIPTS if expectation(path) == "hang"]
    assert {path.stem[:3] for path in endless} == {"l09", "l10", "l12"}
    with Executor(max_workers=2, timeout=0.3, lua=engine) as many:
        futures = [many.submit(path.read_text() + "return execute_code") for path in endless]
        for future in futures:
            error = future.exception(timeout=30)
            assert isinstance(error, ScriptError)
            assert error.kind == "timeout"
        assert many.submit("return function(x) return x + 1 end", 1).result(timeout=30) == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_a_script_s_own_functions_find_no_way_out_either(midas, tmp_path, engine):
    inside, state = tmp_path / "inside", tmp_path / "state" / "midas"
    inside.mkdir()
    state.mkdir(parents=True, mode=0o700)
    (state / "secret").write_text("secret")
    (tmp_path / "outside.txt").write_text("outside")
    token, key = inside / "token", tmp_path / "key.pem"
    token.write_text("midas1.x")
    key.write_text("a key")
    ended = midas(
        *("run", HOSTILE / "d01_out_of_the_script_process.lua"),
        *("--lua", engine, "--workers", "1", "--require-sandbox", "3"),
        *("--arg", f"secret={state}/secret", "--arg", f"inside={inside}"),
        *("--arg", f"outside={tmp_path}/outside.txt"),
        *("--arg", f"token={token}", "--arg", f"key={key}"),
        cwd=inside,
        env={
            "XDG_STATE_HOME": str(state.parent),
            "MIDAS_TOKEN_FILE": "token",
            "MIDAS_TLS_KEY": str(key),
        },
    )
    assert (ended.code, ended.out) == (0, "\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("inside", "key.pem", "outside.txt", "state")
    ]
    assert list(inside.iterdir()) == [token]


def rows_shown():
    by_script = {int(path.name[1:3]) for path in SCRIPTS if path.name.startswith("l")}
    names = " ".join(name for name in globals() if name.startswith("test_"))
    return by_script | {int(row) for row in re.findall(r"_l(\d\d)", names)}


def test_every_row_is_shown():
    assert rows_shown() == set(ROWS)


# -- rows about Python's side ------------------------------------------------------------------


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture
def make(engine):
    """A state with one script, and what calls its execute_code."""
    opened = []

    def make_state(source, memory_mb=MEMORY_MB):
        runtime = Runtime(
            profile=Profile.WORKER,
            job="j",
            spec=JobSpec(engine=engine),
            worker="w",
            node="n",
            output_fd=os.open(os.devnull, os.O_WRONLY),
            memory_bytes=memory_mb * limits.MB,
        )
        opened.append(runtime)
        bundle = Bundle.from_sources("s.lua", [], [source.encode()])
        runtime.load(bundle)

        def call():
            (result,) = runtime.call(bundle.digest, "execute_code", Context(0, 1))
            return msgpack.unpackb(result)

        return runtime, call

    yield make_state
    for runtime in opened:
        runtime.close()


def test_l11_the_interpreter_is_free_while_lua_runs(make):
    _, call = make(
        "function execute_code() local t = os.clock() + 0.2 while os.clock() < t do end end"
    )
    ticks, is_over = 0, threading.Event()

    def tick():
        nonlocal ticks
        while not is_over.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    call()
    seen = ticks
    is_over.set()
    thread.join()
    assert seen > 5


@pytest.mark.parametrize("dumped", ["luajit", "lua5.4", "lua5.5"])
def test_l13_bytecode_never_reaches_an_engine(dumped):
    lua = engines.engine(dumped).LuaRuntime(encoding=None)
    bytecode = lua.execute(b"return string.dump(function() return 1 end)")
    for prefix in (b"", b"\xef\xbb\xbf", b"#!/usr/bin/lua\n", b"\xef\xbb\xbf#!x\r\n"):
        with pytest.raises(ScriptError, match="bytecode"):
            Bundle.from_sources("s.lua", [], [prefix + bytecode])
        with pytest.raises(ScriptError, match="bytecode"):
            Bundle.from_sources("s.lua", ["m"], [b"", prefix + bytecode])


def test_l15_a_python_object_in_lua_would_have_no_attributes_and_no_items(make):
    """The second wall: none gets there, so one is put there here."""
    runtime, _ = make("")
    secret = {"key": "value"}
    for attempt in ("o.key", "o['key']", "o.__class__", "o.items"):
        look = runtime._lua.eval(b"function(o) return %s end" % attempt.encode())
        with pytest.raises((AttributeError, runtime._error_type)):
            look(secret)
    write = runtime._lua.eval(b"function(o) o.key = 'evil' end")
    with pytest.raises((AttributeError, runtime._error_type)):
        write(secret)
    assert secret == {"key": "value"}


def test_l26_what_a_state_uses_is_never_negative(make):
    runtime, call = make(
        "function execute_code() local t = {} for i = 1, 2e5 do t[i] = { i } end return #t end"
    )
    assert call() == 200_000
    runtime._memory.collect()
    assert 0 < runtime._memory.used_bytes < MEMORY_MB * limits.MB


def test_l29_memory_is_counted_also_where_it_is_not_bound(make):
    runtime, call = make("kept = ('x'):rep(5e6) function execute_code() return #kept end", 0)
    before = runtime._memory.used_bytes
    assert call() == 5_000_000
    assert runtime._memory.used_bytes - before > 4_000_000
