"""What a worker would be, asked of one."""

from __future__ import annotations

import signal

import psutil
import pytest

from midas_mp.errors import ProcessLost
from midas_mp.lua.engines import ENGINES
from midas_mp.participant.probe import probe
from midas_mp.participant.zygote import Zygote


def test_a_worker_tells_its_engines_and_its_level_and_is_gone(run, zygote: Zygote) -> None:
    ready = run(probe(zygote))
    assert ready.engines == list(ENGINES)
    assert ready.sandbox_level in range(4)
    assert not psutil.pid_exists(ready.pid)


def test_a_zygote_that_dies_is_told(run, zygote: Zygote) -> None:
    psutil.Process(zygote.pid).send_signal(signal.SIGKILL)
    with pytest.raises(ProcessLost, match="SIGKILL"):
        run(probe(zygote))
