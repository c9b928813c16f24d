"""What the kernel tells of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from midas_mp.participant import vital_signs
from midas_mp.participant.vital_signs import RUNNABLE, STOPPED


def test_who_computes_gains_processor_time():
    before = vital_signs.read(os.getpid())
    while vital_signs.read(os.getpid()).cpu_ticks == before.cpu_ticks:
        sum(range(100_000))
    assert vital_signs.read(os.getpid()).state == RUNNABLE


def test_who_is_stopped_is_seen_to_be():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        first, second = (vital_signs.read(process.pid) for _ in range(2))
        assert first.state in STOPPED
        assert first == second
        process.kill()


def test_a_command_may_hold_anything(tmp_path):
    odd = tmp_path / ") R 1 (x"
    odd.symlink_to(sys.executable)
    command = [odd, "-c", "import time; print(1, flush=True); time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.read(1) == b"1"
        while vital_signs.read(process.pid).state == RUNNABLE:
            pass  # it is about to sleep
        assert vital_signs.read(process.pid).state == "S"
        process.kill()


def test_of_who_is_gone_nothing_is_known():
    with subprocess.Popen(["true"]) as process:
        process.wait()
        assert vital_signs.read(process.pid) is None


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
