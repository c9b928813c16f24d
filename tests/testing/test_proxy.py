"""What goes through the proxy: all of it, late, in little, spoiled, or not at all."""

from __future__ import annotations

import asyncio
import re
import signal
import sys

import pytest
from click.testing import CliRunner

from midas_mp import testing
from midas_mp.testing import proxy
from midas_mp.testing.proxy import BadLine, Proxy, Way
from midas_mp.testing.spoiling import Spoil
from midas_mp.transport.address import Address

LOOPBACK = "127.0.0.1"
GOOD = BadLine()


class Echo:
    """A host that says what it hears, and remembers who came."""

    def __init__(self):
        self.heard = bytearray()
        self.visits = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.address = Address(LOOPBACK, self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        self.visits += 1
        try:
            while data := await reader.read(65_536):
                self.heard += data
                writer.write(data)
                await writer.drain()
            writer.write_eof()
            writer.close()
        except ConnectionError:
            writer.transport.abort()


class Caller:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, where):
        return cls(*await asyncio.open_connection(where.host, where.port))

    async def exchange(self, data):
        self.writer.write(data)
        return await self.reader.readexactly(len(data))

    async def is_cut(self):
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True
        finally:
            self.writer.transport.abort()

    async def close(self):
        self.writer.close()
        assert await self.reader.read() == b""


def behind(line=GOOD, **options):
    """Runs a scene with an echo and a proxy before it."""

    def decorate(scene):
        async def main():
            async with Echo() as echo, Proxy(echo.address, line, **options) as line_there:
                await scene(echo, line_there)

        return main

    return decorate


def test_what_goes_in_comes_out(run):
    @behind()
    async def scene(echo, there):
        caller = await Caller.to(there.address)
        large = bytes(range(256)) * 4096
        assert await asyncio.gather(caller.exchange(large)) == [large]
        caller.writer.write_eof()
        assert await caller.reader.read() == b""
        caller.writer.close()
        assert there.counts == {"connections": 1}

    run(scene())


def test_latency_holds_both_ways(run):
    @behind(BadLine(latency_s=0.03, jitter_s=0.01))
    async def scene(echo, there):
        caller = await Caller.to(there.address)
        clock = asyncio.get_running_loop().time
        began = clock()
        assert await caller.exchange(b"hello") == b"hello"
        assert clock() - began >= 0.06
        await caller.close()

    run(scene())


def test_a_narrow_line_takes_its_time(run):
    @behind(BadLine(bytes_per_s=1e6))
    async def scene(echo, there):
        caller = await Caller.to(there.address)
        clock = asyncio.get_running_loop().time
        began = clock()
        assert await caller.exchange(bytes(100_000)) == bytes(100_000)
        assert clock() - began >= 0.1
        await caller.close()

    run(scene())


def test_a_line_may_be_made_better_at_any_time(run):
    @behind(BadLine(latency_s=3600))
    async def scene(echo, there):
        there.line = BadLine()
        caller = await Caller.to(there.address)
        assert await caller.exchange(b"x") == b"x"
        await caller.close()

    run(scene())


def test_bits_are_flipped_on_the_seed(run):
    got = []

    @behind(BadLine(spoil=Spoil(flip_every_bytes=100)), seed=5)
    async def scene(echo, there):
        caller = await Caller.to(there.address)
        got.append(await caller.exchange(bytes(5000)))
        assert there.counts["flipped bits"] > 10
        there.line = GOOD
        assert await caller.exchange(bytes(5000)) == bytes(5000)
        await caller.close()

    run(scene())
    run(scene())
    assert got[0] == got[1] != bytes(5000)


def test_a_cut_resets_what_there_is_and_nothing_more(run):
    @behind()
    async def scene(echo, there):
        callers = [await Caller.to(there.address) for _ in range(2)]
        for caller in callers:
            await caller.exchange(b"x")
        assert there.cut() == 2
        for caller in callers:
            assert await caller.is_cut()
        after = await Caller.to(there.address)
        assert await after.exchange(b"y") == b"y"
        await after.close()
        assert there.counts == {"connections": 3, "cut connections": 2}

    run(scene())


def test_connections_are_cut_by_themselves(run):
    @behind(BadLine(cut_every_s=0.001))
    async def scene(echo, there):
        caller = await Caller.to(there.address)
        assert await caller.is_cut()
        assert there.counts["cut connections"] == 1

    run(scene())


@pytest.mark.parametrize("way", Way)
def test_a_black_hole_swallows_one_way_until_it_is_closed(run, eventually, way):
    @behind()
    async def scene(echo, there):
        caller = await Caller.to(there.address)
        await caller.exchange(b"before")
        there.swallow(way)
        answer = asyncio.ensure_future(caller.exchange(b"lost"))
        if way is Way.FROM_HOST:
            await eventually(lambda: echo.heard == b"beforelost")
        else:
            await asyncio.wait([answer], timeout=0.05)
            assert echo.heard == b"before"
        assert not answer.done()
        there.heal()
        assert await answer == b"lost"
        await caller.close()

    run(scene())


def test_who_connects_may_be_refused(run):
    @behind()
    async def scene(echo, there):
        there.refuse()
        assert await (await Caller.to(there.address)).is_cut()
        assert echo.visits == 0
        there.heal()
        caller = await Caller.to(there.address)
        assert await caller.exchange(b"x") == b"x"
        await caller.close()

    run(scene())


def test_a_host_that_is_gone_is_a_reset(run):
    async def main():
        async with Echo() as echo:
            gone = echo.address
        async with Proxy(gone) as there:
            assert await (await Caller.to(there.address)).is_cut()

    run(main())


def test_a_proxy_that_ends_cuts_what_there_is(run):
    async def main():
        async with Echo() as echo:
            async with Proxy(echo.address) as there:
                there.swallow()
                caller = await Caller.to(there.address)
                caller.writer.write(b"x")
                await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0))])
            assert await caller.is_cut()

    run(main())


def test_the_command_is_a_line_to_a_host(start, run):
    async def main():
        async with Echo() as echo:
            command = await asyncio.to_thread(
                start,
                *("-m", "midas_mp.testing.proxy", "--to", str(echo.address), "--latency", "0.01"),
                command=[sys.executable],
            )
            said = await asyncio.to_thread(command.wait_for, r"listening on 127.0.0.1:(\d+)")
            caller = await Caller.to(Address(LOOPBACK, int(said[1])))
            assert await caller.exchange(b"x") == b"x"
            await caller.close()
            command.send(signal.SIGINT)
            assert (await asyncio.to_thread(command.wait)).code == 0

    run(main())


def test_the_command_says_what_is_no_address():
    result = CliRunner().invoke(proxy.main, ["--to", "a:b:c"])
    assert result.exit_code == 2
    assert re.search("not an address", result.output)


def test_the_command_can_be_a_black_hole(monkeypatch):
    served = []

    async def serve(there, holes):
        served.append((there.line, holes))

    monkeypatch.setattr(proxy, "_serve", serve)
    options = ["--flip-every", "1000", "--cut-every", "2", "--rate", "1000"]
    result = CliRunner().invoke(proxy.main, ["--to", ":1", "--black-hole", "to-host", *options])
    assert result.exit_code == 0, result.output
    line = BadLine(bytes_per_s=1000, spoil=Spoil(flip_every_bytes=1000), cut_every_s=2)
    assert served == [(line, (Way.TO_HOST,))]


def test_the_program_starts_without_a_word_of_python(midas):
    ended = midas("--help", command=(sys.executable, "-m", "midas_mp.testing.proxy"))
    assert (ended.code, ended.err) == (0, "")


def test_all_that_the_package_offers_is_there():
    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Proxi'"):
        testing.Proxi  # noqa: B018 - that is the question
