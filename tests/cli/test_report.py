"""What a person reads when something went wrong."""

from __future__ import annotations

import io
import sys

import pytest

from midas_mp.cli.report import describe, lua_number, write_line
from midas_mp.errors import ClusterLost, IllegalTransition, ScriptError, UsageError

PLACES = {
    "top": "",
    "generate": "generate_data, task 0",
    "execute": "execute_code, task 0, on ",
    "interpret": "interpret_results",
}


class SlowTerminal(io.RawIOBase):
    """Takes seven bytes at a time; what an unbuffered text stream writes to."""

    def __init__(self):
        self.taken = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.taken += data[:7]
        return min(7, len(data))


def test_a_line_is_written_whole_behind_what_was_there(monkeypatch):
    terminal = SlowTerminal()
    stream = io.TextIOWrapper(terminal, "utf-8", write_through=True)
    monkeypatch.setattr(sys, "stderr", stream)
    sys.stderr.write("before\n")
    write_line("a rather long line, and\nanother with \u2713")
    assert terminal.taken.decode() == "before\na rather long line, and\nanother with \u2713\n"


def test_a_script_error_is_one_block():
    error = ScriptError(
        "runtime",
        "job.lua:7: no\x1b luck",
        "stack traceback:\n\tjob.lua:7: in function 'f'",
        function="execute_code",
        index=17,
        worker="laptop-000",
        excerpt="7 | error('no luck')",
    )
    assert describe(error) == (
        "midas: script error in execute_code, task 17, on laptop-000\n"
        "  job.lua:7: no\\x1b luck\n"
        "    7 | error('no luck')\n"
        "  stack traceback:\n"
        "  \tjob.lua:7: in function 'f'"
    )


def test_what_is_nobodys_bug_is_one_sentence():
    assert describe(UsageError("bad\x1b")) == "midas: bad\\x1b"
    assert describe(ClusterLost("gone")) == "midas: gone"


@pytest.mark.parametrize("error", [IllegalTransition("task 1", "DONE", "start"), KeyError("x")])
def test_a_bug_asks_to_be_reported(error):
    told = describe(error)
    assert told.startswith("midas: this is a bug in Midas: please report it")
    assert type(error).__name__ in told


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (-0.0, "-0"), (0.1, "0.1"), (1e100, "1e+100"), (float("inf"), "inf"), (2.5, "2.5")],
)
def test_numbers_look_as_in_lua(value, text):
    assert lua_number(value) == text


@pytest.mark.parametrize("place", PLACES)
def test_an_error_names_function_task_worker_and_line(midas, script, place):
    path = script(**{place: "local t = nil; t.x = 1"})
    ended = midas("run", path, "--tasks", "1")
    assert (ended.code, ended.out) == (1, "")
    head, message, excerpt, *trace = ended.err.splitlines()
    line = 1 + list(PLACES).index(place)
    assert head.startswith(f"midas: script error in {PLACES[place] or 'main chunk'}")
    assert message.startswith(f"  job.lua:{line}: attempt to index local 't' (a nil value)")
    assert excerpt.startswith(f"    {line} | ")
    assert "local t = nil; t.x = 1" in excerpt
    assert trace[0] == "  stack traceback:"
    assert trace[1].startswith(f"  \tjob.lua:{line}: in ")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("bodies", "told"),
    [
        ({"top": "local ="}, "  job.lua:1: '<name>' expected near '='"),
        ({"top": "\x1bLJ"}, "  job.lua is Lua bytecode; only Lua source is run"),
        (
            {"interpret": "end interpret_results = nil do"},
            "  job.lua does not define the function interpret_results",
        ),
        (
            {"generate": "return { f = print }"},
            "generate_data() result: .f: cannot send a function",
        ),
        (
            {"execute": "return { rows = { 1, 2, { cb = function() end } } }"},
            "  execute_code() result: .rows[3].cb: cannot send a function",
        ),
        (
            {"execute": "local t = {} t.t = t return t"},
            "  execute_code() result: .t: ",
        ),
        ({"interpret": "return {}"}, "interpret_results() result: a table cannot be printed"),
        (
            {"top": 'require "price"', "execute": 'return require("pri" .. "ze")'},
            "module 'prize' is missing (shipped with the script: price)",
        ),
        ({"execute": "error({ code = 7 })"}, "script error in execute_code, task 0, on"),
        ({"execute": "error()"}, "script error in execute_code, task 0, on"),
        ({"execute": r"error(('\255'):rep(4000))"}, r"  job.lua:"),
        ({"generate": r"error(('\255'):rep(4000))"}, r"\xff\xff\xff"),
        ({"interpret": r"error(('\255'):rep(4000))"}, r"\xff\xff\xff"),
        ({"execute": "os.exit(0)"}, "os.exit is not available in a task"),
        ({"top": "os.exit(0)"}, "os.exit is not available in a script"),
    ],
)
def test_what_a_script_can_do_wrong_is_explained(midas, script, tmp_path, bodies, told):
    (tmp_path / "price.lua").write_text("return 1")
    ended = midas("run", script(**bodies), "--tasks", "1")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("midas: script error")
    assert told in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("{ taks = 1 }", "midas: config.taks is unknown; known are: isolate, memory"),
        ('{ tasks = "many" }', "midas: config.tasks: 'many' is not a number of tasks"),
        ("7", "midas: config must be a table with names as keys"),
        ('{ modules = { "nowhere" } }', "midas: the module 'nowhere' is not beside job.lua"),
    ],
)
def test_a_config_that_means_nothing_is_wrong_usage(midas, script, config, told):
    ended = midas("run", script(top=f"config = {config}"))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(told)
