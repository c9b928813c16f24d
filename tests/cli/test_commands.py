"""The command as a whole: help, wrong usage, exit codes."""

from __future__ import annotations

import os
import sys

import pytest

from midas_mp.cli.commands import cli

COMMANDS = ["run", "host", "participant", "jobs", "pause", "resume", "completion"]


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
        (["run", "job.lua", "--lua", "5.1"], "'5.1' is no Lua that Midas runs; choose luajit"),
        (["run", "job.lua", "--arg", "size"], "'size' is no argument by name; write it like"),
        (["run", "job.lua", "--arg", "x=" + "x" * 60_000], "arguments are 60023 bytes long"),
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


@pytest.mark.parametrize("value", ["", "0", "off", "FALSE"])
def test_debug_may_be_switched_off(midas, script, value):
    ended = midas("run", script(top='error("no luck", 0)'), env={"MIDAS_DEBUG": value})
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("midas: script error in main chunk\n  no luck\n")


def test_a_limit_of_the_process_is_no_bug(start, script):
    limited = ("bash", "-c", 'ulimit -f 0; exec "$@"', "bash", sys.executable, "-m", "midas_mp")
    ended = start("run", script(), "--tasks", "1", command=limited).wait()
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == "midas: this machine gives no more: File too large\n"


@pytest.mark.parametrize("how", ["option", "variable"])
def test_debug_shows_the_traceback(midas, script, how):
    path = script(top='error("no luck", 0)')
    options = ["--debug"] if how == "option" else []
    variables = {"MIDAS_DEBUG": "1"} if how == "variable" else {}
    ended = midas(*options, "run", path, env=variables)
    assert ended.code == 1
    assert "Traceback (most recent call last)" in ended.err


def test_debug_leaves_the_exit_code_alone(midas, script):
    ended = midas("--debug", "run", script(), "--address", "127.0.0.1:1")
    assert ended.code == 4
    assert "Traceback (most recent call last)" in ended.err
    assert ended.err.splitlines()[-1].startswith("midas: no host listens at 127.0.0.1:1")
