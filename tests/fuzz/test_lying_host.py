"""Real programs at a host that lies: they end with a sentence, or wait for a better one."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from midas_mp.errors import MidasError
from midas_mp.testing.forgery import forged_word, spoilt
from midas_mp.transport import loop, tcp
from midas_mp.transport.address import Address
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Hello,
    JobOpened,
    JobStarted,
    OpenJob,
    Role,
    Welcome,
)

OPEN = {"MIDAS_INSECURE": "1"}


class Shameless(Conversation):
    """Says whatever it likes, and takes offence at nothing."""

    def sending(self, frame):
        with contextlib.suppress(MidasError):
            super().sending(frame)

    def receive(self, frame):
        with contextlib.suppress(MidasError):
            super().receive(frame)


class LyingHost:
    """Listens, welcomes everybody, and says what no host says."""

    def __init__(self, rng):
        self.rng = rng
        self.address = None
        self.ready = threading.Event()
        self._over = None
        self._loop = None
        self._thread = threading.Thread(target=lambda: loop.run(self._serve()))

    def __enter__(self):
        self._thread.start()
        self.ready.wait()
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self):
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        listener = await tcp.listen(
            Address("127.0.0.1", 0), lambda: (self, Shameless(Role.HOST, None))
        )
        self.address = str(listener.address)
        self.ready.set()
        await self._over.wait()
        listener.close()

    def frames_received(self, link, frames):
        for frame in frames:
            match frame.message:
                case Hello(role=role):
                    link.send([Frame(CONTROL_CHANNEL, Welcome(PROTOCOL_VERSION, "1", "you", 0))])
                    if role is not Role.CLIENT:
                        self._lie(link, role)
                case OpenJob(job=job):
                    link.send([Frame(CONTROL_CHANNEL, JobOpened(job, 10, 1_000))])
                    link.send([Frame(CONTROL_CHANNEL, JobStarted(job, 2))])
                    self._lie(link, Role.CLIENT)

    def _lie(self, link, role):
        for _ in range(self.rng.randrange(10)):
            with contextlib.suppress(MidasError):
                link.send([forged_word(self.rng, Role.HOST, role)])
        if self.rng.happens(0.7) and not link.is_closed:
            link._write([spoilt(self.rng, forged_word(self.rng, Role.HOST, role))])
        link.close()

    def link_lost(self, link, error): ...


@pytest.mark.parametrize("count", [5])
def test_a_script_at_a_host_that_lies_ends_with_a_sentence(fuzz, midas, script, count):
    path = script()

    def case(rng):
        with LyingHost(rng) as host:
            words = ["--address", host.address, "--tasks", "8", "--patience", "1s"]
            check(midas("run", path, *words, env=OPEN), {0, 1, 2, 3, 4})

    fuzz.run(case, count)


@pytest.mark.parametrize("count", [4])
def test_a_participant_at_a_host_that_lies_ends_with_a_sentence(fuzz, midas, count):
    def case(rng):
        with LyingHost(rng) as host:
            words = ["--address", host.address, "--workers", "1", "--once", "--idle-timeout", "2s"]
            check(midas("participant", *words, env=OPEN), {0, 3, 4})

    fuzz.run(case, count)


def check(ended, codes):
    assert ended.code in codes, ended
    assert "Traceback" not in ended.err
    assert "\x1b" not in ended.err
    for line in ended.err.splitlines():
        assert not line.startswith(("midas: all is well", "[host]")), line
