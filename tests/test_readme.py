"""What README.md shows is true: its script runs, its commands, options and files exist."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from midas_mp.cli.commands import cli
from midas_mp.cli.original import translate
from midas_mp.config import _CONFIG_READERS
from midas_mp.errors import PeerError, ScriptError, UsageError, WorldError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip()
    for kind, text in BLOCKS
    if kind == "sh"
    for line in text.splitlines()
]


def options_of(command):
    return {opt for p in cli.commands[command].params for opt in p.opts if opt.startswith("--")}


def test_the_script_gives_the_answer_that_is_shown(midas, tmp_path):
    (source,) = (text for kind, text in BLOCKS if kind == "lua")
    (tmp_path / "sum.lua").write_text(source, encoding="utf-8")
    command, answer = re.search(
        r"^midas (run sum\.lua.*?)# prints (\d+)$", README, re.MULTILINE
    ).groups()
    assert answer == str(sum(range(100_000)))
    assert midas(*shlex.split(command)) == (0, answer + "\n", "")


@pytest.mark.parametrize(
    "program", [text for kind, text in BLOCKS if kind == "python" and "# prints" in text]
)
def test_programs_print_what_is_shown(start, program):
    ended = start("-c", program, command=[sys.executable], cwd=ROOT).wait()
    shown = re.findall(r"# prints (.*)$", program, re.MULTILINE)
    assert ended == (0, "\n".join(shown) + "\n", "")


def test_the_first_command_runs_an_example(midas):
    first = COMMANDS[0].split(" && ")[-1].split()
    assert first[0].endswith("/midas")
    assert midas(*first[1:], cwd=ROOT).code == 0


def test_host_and_participant_meet_as_shown(start, commands):
    """Both as in the block, but for a port of the test's own."""
    lines = [line.split() for line in COMMANDS if line.startswith(("midas host", "midas part"))]
    (_, *host), (_, *participant) = lines
    coordinator = start(*host, "--address", "127.0.0.1:0", "--", "1e6", cwd=ROOT)
    start(*participant, "--address", coordinator.address(), cwd=ROOT)
    ended = coordinator.wait()
    assert ended.code == 0
    assert ended.out.startswith("pi = 3.1")


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.startswith("midas ")])
def test_commands_that_are_shown_exist(line):
    command, *words = translate(shlex.split(line)[1:])
    assert {word for word in words if word.startswith("--") and word != "--"} <= options_of(command)
    assert all((ROOT / word).exists() for word in words if word.startswith("examples/"))


@pytest.mark.parametrize("name", ["run", "host", "participant"])
def test_options_that_are_named_exist_and_have_a_variable(name):
    for option in cli.commands[name].params:
        if option.param_type_name == "option":
            word = max(option.opts, key=len).removeprefix("--").replace("-", "_").upper()
            assert option.envvar == f"MIDAS_{word}"


def test_options_that_the_prose_names_exist():
    named = set(re.findall(r"`(--[a-z-]+)", README))
    known = options_of("run") | options_of("host") | options_of("participant")
    assert named
    assert named <= known


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_exit_codes_are_those_of_the_errors():
    table = dict(re.findall(r"^\| (\d+(?:, \d+)?) \| (.*) \|$", README, re.MULTILINE))
    assert set(table) == {"0", "1", "2", "3", "4", "70", "130, 143"}
    codes = [error.exit_code for error in (ScriptError, UsageError, PeerError, WorldError)]
    assert [str(code) for code in codes] == ["1", "2", "3", "4"]


def test_the_config_that_is_shown_is_all_there_is(midas, script):
    shown = re.search(r"`config = (\{ tasks = .*? \})`", README)[1]
    nested = {"midas", "lua"}
    assert set(re.findall(r"(\w+) =", shown)) - nested == set(_CONFIG_READERS)
    path = script(top=f"config = {shown}", name="shown.lua")
    (path.parent / "name.lua").write_text("return 1", encoding="utf-8")
    ended = midas("run", path, "--workers", "1")
    assert ended == (0, "0,1,2,3\n", "")


def test_the_error_that_is_shown_is_the_one_that_comes(midas, script):
    shown = re.search(r"`(execute_code\(\) result: .*?)`", README)[1]
    path = script("return { rows = { 1, 2, { callback = print } } }")
    assert shown in midas("run", path, "--tasks", "1").err
