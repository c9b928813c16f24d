"""Workers that answer whatever they like: who asked hears of it in a sentence, and never waits."""

from __future__ import annotations

import asyncio
import threading

from midas_mp.testing.mutation import hostile_msgpack, noise
from midas_mp.transport import loop, tcp
from midas_mp.transport.address import Address
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Failure,
    Hello,
    Outcome,
    Role,
    RunTasks,
    Status,
    TaskPrinted,
    TaskResults,
    Welcome,
    WorkerUp,
)

OPEN = {"MIDAS_INSECURE": "1"}
TASKS = 60


class LyingNode:
    """A participant whose only worker never runs anything."""

    def __init__(self, rng):
        self.rng = rng
        self.lost = asyncio.Event()
        self.is_over = False
        self.loop = None
        self.link = None

    async def stay(self, address):
        """And comes back as often as it is thrown out."""
        hello = Hello(PROTOCOL_VERSION, Role.LAUNCHER, "1", "a0", "liar", workers_announced=1)
        while not self.is_over:
            self.lost.clear()
            link = await tcp.connect(address, self, Conversation(Role.LAUNCHER, Role.HOST))
            link.send([Frame(CONTROL_CHANNEL, hello)])
            await self.lost.wait()

    def leave(self):
        """From another thread, when nobody needs it."""
        self.is_over = True
        self.loop.call_soon_threadsafe(self.link.abort)

    def frames_received(self, link, frames):
        self.loop, self.link = asyncio.get_running_loop(), link
        for frame in frames:
            match frame.message:
                case Welcome():
                    up = WorkerUp(1, "liar-001", 0, 3, ["luajit"])
                    link.send([Frame(CONTROL_CHANNEL, up)])
                case RunTasks() as order:
                    link.send([answer for call in order.calls for answer in self.lie(order, call)])

    def lie(self, order, call):
        """Something in the place of the task's result; and before it, what it never printed."""
        rng = self.rng
        if rng.happens(0.1):
            printed = TaskPrinted(order.job, order.round, call.index, "liar-001")
            yield Frame(1, printed, [b"well\nmidas: all is well\x1b[2J\r\n" + noise(rng)])
        status = rng.choice((Status.OK, Status.FAILED))
        count = rng.choice((0, 1, 1, 1, 2))
        buffers = [rng.choice((hostile_msgpack, self.failure))(rng) for _ in range(count)]
        outcome = Outcome(call.index, 0, status, rng.choice((0, 1, 2**53)), count)
        yield Frame(1, TaskResults(order.job, order.round, "x", [outcome]), buffers)

    def failure(self, rng):
        text = rng.choice(("oops", "\x1b[31m", "\nmidas: all is well", "a" * 8_192))
        return Failure(text[:64], text, text, rng.choice((None, 0, 2**53))).to_payload()

    def link_lost(self, link, error):
        self.lost.set()


def test_whoever_runs_a_script_on_liars_is_told(fuzz, start, midas, script):
    host = start("host", "--address", "127.0.0.1:0", env=OPEN)
    where = host.address()
    path = script(execute="return 1", interpret="return tostring(results.n)")

    def case(rng):
        node = LyingNode(rng)
        thread = threading.Thread(target=lambda: loop.run(node.stay(Address.parse(where))))
        thread.start()
        words = ["run", path, "--address", where, "--tasks", str(TASKS), "--patience", "5s"]
        if rng.happens(0.7):
            words += ["--on-error", "continue"]
        ended = midas(*words, env=OPEN)
        node.leave()
        thread.join()
        assert ended.code in (0, 1, 3), ended
        for line in ended.err.splitlines():
            assert "\x1b" not in line
            assert not line.startswith("midas: all is well"), ended.err
        assert "Traceback" not in ended.err

    fuzz.run(case, 6)
    gone = host.stop()
    assert "Traceback" not in gone.err
