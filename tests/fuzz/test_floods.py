"""A real host under floods by those who were let in: what it keeps for them has bounds."""

from __future__ import annotations

import asyncio
import itertools

import psutil
import pytest

from midas_mp import limits
from midas_mp.transport import loop, tcp
from midas_mp.transport.address import Address
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Hello,
    Role,
    TaskPrinted,
    WorkerUp,
)

OPEN = {"MIDAS_INSECURE": "1"}
GROWTH_MAX = 150 * limits.MB
"""64 MB of prints, and what allocators keep."""

UP = Frame(CONTROL_CHANNEL, WorkerUp(1, "w-1", 0, 3, ["luajit"]))
TEXT = bytes(limits.MB)


class Flooder:
    """Says much and hears nothing but that it is welcome, or that it is over."""

    def __init__(self):
        self.welcomed = asyncio.Event()
        self.lost = asyncio.Event()

    def frames_received(self, link, frames):
        self.welcomed.set()

    def link_lost(self, link, error):
        self.welcomed.set()
        self.lost.set()


def prints_of_jobs_that_nobody_opened():
    yield UP
    for job, _ in itertools.product(range(20), range(16)):
        yield Frame(1, TaskPrinted(f"job-{job}", 0, 0, "w"), [TEXT])


def jobs_that_nobody_opened():
    yield UP
    for job in range(20_000):
        yield Frame(1, TaskPrinted(f"job-{job}", 0, 0, "w"), [bytes(1_000)])


async def flood(address, frames):
    """Until the host has heard all."""
    flooder = Flooder()
    link = await tcp.connect(address, flooder, Conversation(Role.LAUNCHER, Role.HOST))
    hello = Hello(PROTOCOL_VERSION, Role.LAUNCHER, "1", "f100d", "flooder")
    link.send([Frame(CONTROL_CHANNEL, hello)])
    await flooder.welcomed.wait()
    said_bytes = 0
    for frame in frames:
        link.send([frame])
        said_bytes += 100 + sum(map(len, frame.buffers))
        await link.drained()
    link.close()
    await flooder.lost.wait()
    return said_bytes


@pytest.mark.figures
@pytest.mark.parametrize("kind", [prints_of_jobs_that_nobody_opened, jobs_that_nobody_opened])
def test_a_node_that_floods_it_fills_no_host(start, midas, script, kind):
    host = start("host", "--address", "127.0.0.1:0", env=OPEN)
    where = host.address()
    before = psutil.Process(host.pid).memory_info().rss
    said_bytes = loop.run(flood(Address.parse(where), kind()))
    growth = psutil.Process(host.pid).memory_info().rss - before
    said = f"{said_bytes / limits.MB:.0f} MB said, {growth / limits.MB:.0f} MB more"
    print(f"{kind.__name__}: {said}")  # noqa: T201
    assert growth < GROWTH_MAX
    node = start("participant", "--address", where, "--workers", "1", env=OPEN)
    node.wait_for("joined")
    ended = midas("run", script(), "--address", where, "--tasks", "5", env=OPEN)
    assert (ended.code, ended.out) == (0, "0,1,2,3,4\n")
