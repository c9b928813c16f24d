"""What does TLS cost, beside the records that protect from flipped bits where there is none?"""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import Any

import pytest

from benchmarks.echo_host import Peer, with_peer
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Outcome, Status, TaskResults, TasksReturned

WAYS = {"plain": "Midas TCP, CRC-32", "tls": "Midas TCP, TLS 1.3"}

PING = Frame(1, TasksReturned([]))
LARGE_BYTES = 16 * 2**20

pytestmark = pytest.mark.parametrize("way", WAYS)


def test_round_trip(way: str, record: Any, quick: bool) -> None:
    async def work(peer: Peer) -> float:
        times = []
        for _ in range(20 if quick else 2_000):
            begin = perf_counter()
            await peer.say(PING)
            times.append(perf_counter() - begin)
        return statistics.median(times)

    record(WAYS[way], "a frame there and one back", lambda: with_peer(way, work), unit="µs")


def test_throughput(way: str, record: Any, quick: bool) -> None:
    count = 2 if quick else 32
    outcome = Outcome(0, 0, Status.OK, 0)
    frame = Frame(1, TaskResults("job", 0, "w", [outcome]), [bytes(LARGE_BYTES)])

    async def work(peer: Peer) -> float:
        await peer.say(frame)
        begin = perf_counter()
        await peer.say(frame, count)
        return perf_counter() - begin

    record(
        WAYS[way],
        "results of 16 MB, one after the other",
        lambda: with_peer(way, work),
        unit="GB/s",
        amount=float(count * LARGE_BYTES),
    )


def test_small_frames(way: str, record: Any, quick: bool) -> None:
    count = 100 if quick else 50_000

    async def work(peer: Peer) -> float:
        begin = perf_counter()
        await peer.say(PING, count)
        return perf_counter() - begin

    record(
        WAYS[way],
        "small frames, one after the other",
        lambda: with_peer(way, work),
        unit="/s",
        amount=float(count),
    )


def test_joining(way: str, record: Any, quick: bool) -> None:
    """From dialling to the answer to Hello: what a fleet that comes back costs."""
    count = 2 if quick else 100

    async def work(peer: Peer) -> float:
        begin = perf_counter()
        for _ in range(count):
            await peer.join_again()
        return perf_counter() - begin

    record(
        WAYS[way],
        "connections, one after the other",
        lambda: with_peer(way, work),
        unit="/s",
        amount=float(count),
    )
