"""What the network between two machines does, a job outlives; where there are namespaces."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from midas_mp.testing import two_machines
from midas_mp.testing.two_machines import MISHAPS, Journey, TwoMachines, lacking, main, travel

KNOCK = f"""
import socket, sys
try:
    socket.create_connection(("{two_machines.HERE}", 9), 1)
except ConnectionRefusedError:
    sys.exit(0)
except OSError:
    sys.exit(1)
"""

USUAL = ["cut", "narrow"]

needs_namespaces = pytest.mark.skipif(bool(lacking("cut")), reason=lacking("cut"))


def outlive(what):
    if lacking(what):
        pytest.skip(lacking(what))
    journey = travel(what)
    print(journey)  # noqa: T201 - a figure
    assert journey.problem == ""


@pytest.mark.figures
@pytest.mark.timeout(200)
@pytest.mark.parametrize("what", USUAL)
def test_a_job_outlives_its_network(what):
    outlive(what)


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", sorted(set(MISHAPS) - set(USUAL)))
def test_a_job_outlives_a_worse_one(what):
    outlive(what)


@needs_namespaces
def test_two_machines_hear_each_other_until_they_do_not():
    def is_heard(machines):
        knock = ["ip", "netns", "exec", machines.there, sys.executable, "-c", KNOCK]
        return subprocess.run(knock, check=False).returncode == 0

    with TwoMachines() as machines:
        for harm in (TwoMachines.cut, TwoMachines.deafen):
            assert is_heard(machines)
            harm(machines)
            assert not is_heard(machines)
            machines.mend()
        assert is_heard(machines)
    names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert machines.here not in names.stdout


@needs_namespaces
def test_machines_that_cannot_be_made_leave_nothing(monkeypatch):
    monkeypatch.setattr(TwoMachines, "mend", lambda self: 1 / 0)
    machines = TwoMachines()
    with pytest.raises(ZeroDivisionError):
        machines.__enter__()
    names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert machines.here not in names.stdout


def test_what_is_lacking_is_said(monkeypatch):
    monkeypatch.setattr(two_machines.os, "geteuid", lambda: 1000)
    assert lacking("cut") == "only root on Linux can have network namespaces"
    monkeypatch.setattr(two_machines.os, "geteuid", lambda: 0)
    monkeypatch.setattr(two_machines.shutil, "which", lambda word: word if word != "nft" else None)
    assert lacking("cut") == ""
    assert lacking("loss") == "there is no nft here"


@pytest.mark.parametrize(("problem", "code"), [("", 0), ("exit code 4, b''", 1)])
def test_the_command_tells_what_came_of_it(monkeypatch, problem, code):
    monkeypatch.setattr(two_machines, "lacking", lambda what: "no luck" * (what == "loss"))
    monkeypatch.setattr(two_machines, "travel", lambda what: Journey(what, 61, 2.0, problem))
    result = CliRunner().invoke(main, ["--repeat", "2"])
    assert result.exit_code == code
    line = f"cut: 60 tasks ran 61 times, 2.0 s: {problem or 'the right answer'}\n"
    assert result.output.count(line) >= 2
    assert "loss: not tried, no luck\n" in result.output
