"""The command lines that the first Midas printed in its README, and scripts of its kind."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp.cli.original import translate

WHERE = "127.0.0.1:3000"

SCRIPT = """
_print("the top level runs everywhere")
prime = tonumber(arg.number)

function generate_data(endpoint_index, endpoint_count)
  if endpoint_index == 0 then _print("Script Version 0.1.1") end
  data = {}
  upper = prime
  width = math.floor((upper - 2) / endpoint_count)
  data.lower = width * endpoint_index + 2
  data.upper = data.lower + width - 1
  return data
end

function execute_code()
  _print("Message from script")
  participant_result = {}
  participant_result.divisor = 0
  lower = global_data.lower
  upper = global_data.upper
  for i = lower, upper, 1 do
    if i % 100000 == 0 then _check() end
    if i % 100000 == 0 then _progress((i - lower) / (upper - lower) * 100, 1000) end
    if participant_result.divisor == 0 and prime % i == 0 then
      participant_result.divisor = i
    end
  end
  return participant_result
end

function interpret_results()
  for i, v in pairs(results) do
    if v.divisor ~= 0 then
      return "The number is divisible by " .. v.divisor
    end
  end
  return "The number is prime."
end
"""
"""In the style of the first Midas: globals everywhere, ticks in the loop."""


@pytest.mark.parametrize(
    ("printed", "today"),
    [
        (f"--mode=host --address={WHERE} --script=job.lua", f"host --address {WHERE} job.lua"),
        (f'--mode=host --address={WHERE} --script"job.lua"', f"host --address {WHERE} job.lua"),
        (f"--mode=participant --address={WHERE}", f"participant --address {WHERE}"),
        (f"--address={WHERE} host --script job.lua", f"host --address {WHERE} job.lua"),
        (f'--address={WHERE} host --script"job.lua"', f"host --address {WHERE} job.lua"),
        (
            f"--address={WHERE} participant --name=laptop --threads 4",
            f"participant --address {WHERE} --name laptop --workers 4",
        ),
        (
            f'--address={WHERE} participant --name="laptop"',
            f"participant --address {WHERE} --name laptop",
        ),
        (f"-a {WHERE} host -s job.lua", f"host --address {WHERE} job.lua"),
        (
            f"-a {WHERE} participant -n x -t 2",
            f"participant --address {WHERE} --name x --workers 2",
        ),
        ("--mode host --script job.lua -- --script x", "host job.lua -- --script x"),
        (f"--debug --address {WHERE} run job.lua", f"--debug run --address {WHERE} job.lua"),
        ("--mode=frob", "frob"),
        ("participant --threads", "participant --workers ''"),
    ],
)
def test_printed_command_lines_become_those_of_today(printed, today):
    assert translate(shlex.split(printed)) == shlex.split(today)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--help",
        "--version",
        "run job.lua --tasks 4 -- --script x -t 3",
        "run -- -s",
        "host job.lua --workers-min 2 -- --threads 3",
        "participant --address :3000 --workers 3",
        "--frob run job.lua",
        "--address :3000",
    ],
)
def test_command_lines_of_today_stay(line):
    assert translate(shlex.split(line)) == shlex.split(line)


WORDS = ["-a", "--mode", "--mode=host", "--script", "--scriptx", "x", "host", "run", "-t", ""]


@given(st.lists(st.sampled_from(WORDS)), st.lists(st.sampled_from([*WORDS, "--"])))
def test_what_follows_two_dashes_is_the_scripts(words, scripts):
    assert translate(["host", "job.lua", *words, "--", *scripts])[-len(scripts) - 1 :] == [
        "--",
        *scripts,
    ]


@pytest.mark.parametrize(
    ("number", "answer"),
    [("96174894", "The number is divisible by 2"), ("104729", "The number is prime.")],
)
def test_results_can_be_walked_by_pairs(midas, tmp_path, number, answer):
    """Nothing else is in them."""
    (tmp_path / "job.lua").write_text(SCRIPT, encoding="utf-8")
    for engine in ("luajit", "5.4", "5.5"):
        ended = midas("run", "job.lua", "--tasks=3", f"--arg=number={number}", f"--lua={engine}")
        assert (ended.code, ended.out) == (0, answer + "\n")


@pytest.mark.parametrize(
    ("host", "participant"),
    [
        ("--mode=host --address={} --script=job.lua", "--mode=participant --address={}"),
        ("--address={} host --script job.lua", "--address={} participant --name=pc --threads 2"),
        ('--address={} host --script"job.lua"', '--address={} participant --name="pc"'),
    ],
)
def test_scripts_of_its_kind_run_by_its_commands(start, tmp_path, host, participant):
    (tmp_path / "job.lua").write_text(SCRIPT, encoding="utf-8")
    words = ["--arg", "number=96174894"]
    coordinator = start(*shlex.split(host.format("127.0.0.1:0")), *words)
    node = start(*shlex.split(participant.format(coordinator.address())))
    ended = coordinator.wait()
    assert (ended.code, ended.out) == (0, "The number is divisible by 2\n")
    assert "Script Version 0.1.1" in ended.err
    assert "Message from script" in ended.err
    node.wait_for("is gone")
