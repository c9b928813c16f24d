"""Lua processes are started by a zygote, and end with it or with who holds it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import psutil
import pytest

from midas_mp.errors import ProcessLost
from midas_mp.participant.process import LuaProcess
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote import Zygote
from tests.participant.listener import LOOP, SPEC, Listener, call, open_descriptors


def test_who_lives_by_the_zygote_hears_of_its_end_before_who_wants_a_process(
    run: Callable,
) -> None:
    async def main() -> None:
        losses: list[ProcessLost] = []
        zygote = Zygote.start()
        supervisor = Supervisor(zygote, zygote_lost=losses.append)
        psutil.Process(zygote.pid).kill()

        def start_until_it_is_dead() -> None:
            while True:  # what it is told before is lost with it
                supervisor.start(SPEC, Listener())

        with pytest.raises(ProcessLost, match="the zygote ended: killed by SIGKILL"):
            start_until_it_is_dead()
        with pytest.raises(ProcessLost, match="the zygote ended: killed by SIGKILL"):
            supervisor.start(SPEC, Listener())
        assert len(losses) == 1
        supervisor.close()

    run(main())


def test_the_loss_of_the_zygote_is_the_end_of_all(run: Callable) -> None:
    async def main() -> None:
        zygote = Zygote.start()
        lost: asyncio.Future[ProcessLost] = asyncio.get_running_loop().create_future()
        supervisor = Supervisor(zygote, zygote_lost=lost.set_result)
        idle, busy = Listener(), Listener()
        supervisor.start(SPEC, idle)
        process = supervisor.start(SPEC, busy)
        await idle.ready()
        await busy.ready()
        process.limit(60)
        call(process, LOOP)
        await busy.printed()
        os.kill(zygote.pid, signal.SIGKILL)
        assert "the zygote ended: killed by SIGKILL" in str(await lost)
        assert (await busy.ended()).exit.signal == signal.SIGKILL
        assert (await idle.ended()).exit.signal == signal.SIGKILL
        with pytest.raises(ProcessLost, match="the zygote ended"):
            supervisor.start(SPEC, Listener())
        supervisor.close()
        supervisor.close()

    run(main())


def test_a_closed_supervisor_starts_nothing(run: Callable) -> None:
    async def main() -> None:
        supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
        supervisor.close()
        with pytest.raises(ProcessLost, match="closing"):
            supervisor.start(SPEC, Listener())

    run(main())


async def _at_once(_listener: Listener, _process: LuaProcess) -> None:
    """Before the process is even attached."""


async def _when_attached(_listener: Listener, process: LuaProcess) -> None:
    await process.attaching


async def _when_ready(listener: Listener, _process: LuaProcess) -> None:
    await listener.ready()


async def _when_busy(listener: Listener, process: LuaProcess) -> None:
    await listener.ready()
    call(process, LOOP)
    await listener.printed()


async def _when_being_judged(listener: Listener, process: LuaProcess) -> None:
    await _when_busy(listener, process)
    process.limit(0.001)
    while process._suspect is None:  # noqa: ASYNC110 - the moment that nobody is told of
        await asyncio.sleep(0)


async def _when_dying(listener: Listener, process: LuaProcess) -> None:
    await listener.ready()
    process.kill()


@pytest.mark.parametrize(
    "moment",
    [_at_once, _when_attached, _when_ready, _when_busy, _when_being_judged, _when_dying],
)
def test_closing_leaves_no_process_descriptor_or_task(moment: Callable, run: Callable) -> None:
    async def main() -> None:
        before: list[str] = []
        for round_ in range(6):
            supervisor = Supervisor(Zygote.start(), zygote_lost=pytest.fail)
            zygote_pid = supervisor._zygote.pid
            listeners = [Listener(), Listener()]
            processes = [supervisor.start(SPEC, listener) for listener in listeners]
            await asyncio.gather(*map(moment, listeners, processes))
            told = [list(listener.ends) for listener in listeners]
            supervisor.close()
            supervisor.close()
            attaching = [p.attaching for p in processes if p.attaching is not None]
            await asyncio.gather(*attaching, return_exceptions=True)
            await asyncio.sleep(0)  # what was due to happen to them must do no harm now
            assert not psutil.pid_exists(zygote_pid)
            assert [listener.ends for listener in listeners] == told, "nobody hears more"
            if round_ == 0:
                before = open_descriptors()
        assert open_descriptors() == before
        assert len(asyncio.all_tasks()) == 1

    run(main())
