"""Streams that are closed, full or gone, and a process that knows what to do from the start."""

from __future__ import annotations

import importlib.metadata
import signal
import subprocess
import sys

import pytest

from midas_mp.cli.main import main

MIDAS = (sys.executable, "-m", "midas_mp")


def shell(line):
    """A prefix that runs the command under a line of shell, where "$@" is the command."""
    return ("bash", "-c", line, "bash")


def test_help_is_shown_where_there_is_no_utf_8(midas):
    ended = midas("run", "--help", env={"PYTHONIOENCODING": "latin-1"})
    assert ended.code == 0
    assert "[-- ARG \\u2026]" in ended.out


def test_the_installed_command_is_this_one():
    (entry,) = (
        entry
        for entry in importlib.metadata.entry_points(group="console_scripts")
        if entry.name == "midas"
    )
    assert entry.load() is main


@pytest.mark.parametrize(
    ("closed", "out", "err"),
    [
        ('exec "$@" >&-', "", "["),
        ('exec "$@" 2>&-', "0,1\n", ""),
        ('exec "$@" <&-', "0,1\n", "["),
        ('exec "$@" <&- >&- 2>&-', "", ""),
        ('exec "$@" 2> /dev/full', "0,1\n", ""),
    ],
)
def test_streams_that_are_closed_are_no_error(start, script, closed, out, err):
    generate = "assert(not arg.closed or io.read() == nil) return { index = index }"
    path = script('print("hi") return global_data.index', generate=generate)
    command = (*shell(closed), *MIDAS)
    words = ["--arg", "closed=stdin"] if "<&-" in closed else []
    ended = start("run", path, "--tasks", "2", *words, command=command).wait()
    assert (ended.code, ended.out) == (0, out)
    assert ended.err.startswith(err)
    assert "Traceback" not in ended.err


def test_an_answer_that_the_disk_does_not_take_is_told(start, script):
    command = (*shell('exec "$@" > /dev/full'), *MIDAS)
    ended = start("run", script(), "--tasks", "2", command=command).wait()
    assert ended.code == 4
    assert ended.err == "midas: cannot write the answer to stdout: No space left on device\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error_worth_a_word(start, script, unbuffered):
    path = script(interpret='return ("a long line\\n"):rep(1e6)')
    command = (*shell('"$@" | head -1; exit ${PIPESTATUS[0]}'), *MIDAS)
    env = {"PYTHONUNBUFFERED": unbuffered}
    ended = start("run", path, "--tasks", "1", command=command, env=env).wait()
    assert ended == (4, "a long line\n", "")


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_text_survives_a_terminal_that_knows_no_utf_8(midas, script, variables):
    path = script('print("größer") return "größer"')
    ended = midas("run", path, "--tasks", "1", env=variables)
    assert (ended.code, ended.out) == (0, "größer\n")
    assert "gr" in ended.err
    assert "Traceback" not in ended.err


def modules_after(statement):
    """What is imported when the statement has run."""
    line = f"import sys; {statement}; print(*sys.modules)"
    ended = subprocess.run([MIDAS[0], "-c", line], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def test_the_entry_imports_nothing_that_takes_time():
    """An interrupt before it has begun is Python's to handle, with a traceback."""
    usual = modules_after("import signal, __future__")
    added = modules_after("import midas_mp.cli.main") - usual
    assert added == {"midas_mp", "midas_mp.cli", "midas_mp.cli.main"}


def test_reading_the_command_line_imports_little():
    loaded = modules_after("import midas_mp.cli.commands")
    heavy = {"asyncio", "lupa", "rich", "uvloop", "midas_mp.host", "midas_mp.participant"}
    assert loaded & heavy == set()
    assert "click" in loaded


INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupter:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "midas_mp.cli.commands":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupter)
from midas_mp.cli.main import main
main()
"""


def test_an_interrupt_from_then_on_ends_the_process_as_the_shell_expects():
    command = [MIDAS[0], "-c", INTERRUPTED_IMPORT]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
