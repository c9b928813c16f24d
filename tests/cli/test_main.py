"""The command as a whole: usage, exit codes, streams that are closed, full or gone."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys

import pytest

from midas_mp import __version__
from midas_mp.cli.main import cli, main

MIDAS = (sys.executable, "-m", "midas_mp")
COMMANDS = ["run", "host", "participant"]


def shell(line):
    """A prefix that runs the command under a line of shell, where "$@" is the command."""
    return ("bash", "-c", line, "bash")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_tells_its_options(midas, command):
    ended = midas(command, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: midas {command} [OPTIONS]")
    for option in cli.commands[command].params:
        if option.param_type_name == "option" and not option.hidden:
            assert option.opts[0] in ended.out
            assert option.help


def test_help_of_the_whole_shows_the_commands_as_one_types_them(midas):
    ended = midas("--help")
    assert (ended.code, ended.err) == (0, "")
    usage, *lines = ended.out.splitlines()
    assert usage == "Usage: midas [OPTIONS] COMMAND [ARGS]..."
    assert any(line.startswith("    midas run primes.lua    ") for line in lines)
    assert any(line.startswith("    midas participant --workers auto    ") for line in lines)
    assert not any(line.endswith("...") for line in lines)
    assert "\\b" not in ended.out
    assert "\b" not in ended.out


def test_help_is_shown_where_there_is_no_utf_8(midas):
    ended = midas("run", "--help", env={"PYTHONIOENCODING": "latin-1"})
    assert ended.code == 0
    assert "[-- ARG \\u2026]" in ended.out


def test_the_version_is_told(midas):
    assert midas("--version") == (0, f"midas, version {__version__}\n", "")


def test_the_installed_command_is_this_one():
    (entry,) = (
        entry
        for entry in importlib.metadata.entry_points(group="console_scripts")
        if entry.name == "midas"
    )
    assert entry.load() is main


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "Usage: midas"),
        (["frob"], "No such command 'frob'"),
        (["run"], "Missing argument 'SCRIPT'"),
        (["run", "nowhere.lua"], "File 'nowhere.lua' does not exist"),
        (["run", "."], "File '.' is a directory"),
        (["host", "nowhere.lua"], "File 'nowhere.lua' does not exist"),
        (["run", "job.lua", "--frob"], "No such option '--frob'"),
        (["run", "job.lua", "--tasks", "many"], "'many' is not a number of tasks; write it like"),
        (["run", "job.lua", "--timeout", "soon"], "'soon' is not a duration; write it like 20s"),
        (["run", "job.lua", "--memory", "12"], "'12' is not a memory size from 1MB to 1024TB"),
        (["run", "job.lua", "--seed", "x"], "'x' is not a valid integer"),
        (["run", "job.lua", "--seed", str(2**63)], "is not in the range"),
        (["run", "job.lua", "--", "x" * 60_000], "the script's arguments are 60017 bytes long"),
        (["run", "job.lua", "--on-error", "shrug"], "'shrug' is not one of 'stop', 'continue'"),
        (["run", "job.lua", "--workers", "0"], "'0' is not a number of workers; write auto, or"),
        (["run", "job.lua", "--address", "a:b"], "'b' in 'a:b' is not a port number"),
        (["host", "--address", "nowhere:99999"], "port 99999 in 'nowhere:99999' is over 65535"),
        (["participant", "--address", "3000"], "for a port alone write ':3000'"),
        (["participant", "--name", "a b"], "'a b' is not a name"),
        (["participant", "--name", ""], "'' is not a name"),
    ],
)
def test_wrong_usage_says_what_is_wrong(midas, script, args, told):
    script()
    ended = midas(*args)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("args", [["run", "job.lua", "--", b"\xff"], ["run", b"\xff/job.lua"]])
def test_what_is_not_utf_8_is_refused(midas, script, tmp_path, args):
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")  # noqa: PTH102 - a name that Path takes unwillingly
    script()
    script(name=os.fsdecode(b"\xff/job.lua"))
    ended = midas(*args)
    assert (ended.code, ended.out) == (2, "")
    assert "is not UTF-8; arguments and paths must be" in ended.err


def test_an_argument_of_the_script_is_not_mistaken_for_debug(midas, script):
    path = script(top='error("no luck", 0)')
    ended = midas("run", path, "--", "--debug")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("midas: script error in main chunk\n  no luck\n")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("how", ["option", "variable"])
def test_debug_shows_the_traceback(midas, script, how):
    path = script(top='error("no luck", 0)')
    options = ["--debug"] if how == "option" else []
    variables = {"MIDAS_DEBUG": "1"} if how == "variable" else {}
    ended = midas(*options, "run", path, env=variables)
    assert ended.code == 1
    assert "Traceback (most recent call last)" in ended.err


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
    path = script('print("hi") return global_data.index')
    command = (*shell(closed), *MIDAS)
    ended = start("run", path, "--tasks", "2", command=command).wait()
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


def test_starting_is_cheap():
    """What is not needed to read the command line is imported when it is needed."""
    heavy = ["asyncio", "lupa", "rich", "uvloop", "midas_mp.host", "midas_mp.participant"]
    line = f"import sys, midas_mp.cli.main; print([m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run([MIDAS[0], "-c", line], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
