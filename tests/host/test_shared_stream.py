from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from midas_mp import limits
from midas_mp.host.shared_stream import SharedStream, parts
from midas_mp.scheduler.events import Transfer
from midas_mp.transport import memory
from midas_mp.transport.link import Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import PROTOCOL_VERSION, Hello, Role, SharedPart, Welcome

DATA = [bytes(range(250)), bytes(range(7)) * 100]


class Listener:
    """A bulk connection's far end: keeps what it hears."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def frames_received(self, _link: Link, frames: list[Frame]) -> None:
        self.frames += frames

    def link_lost(self, link: Link, error) -> None:
        pass

    def heard(self, job: str) -> bytes:
        """What came of a job, which must be in order and without gaps."""
        data = b""
        first = None
        for frame in self.frames:
            message = frame.message
            if isinstance(message, SharedPart) and message.job == job:
                first = message.offset if first is None else first
                assert message.offset == first + len(data)
                data += bytes(frame.buffers[0])
        return data


def greeted_pair() -> tuple[Link, Listener, Link]:
    """A host's link to a listener that has been welcomed."""
    listener = Listener()
    far, near = memory.pair(
        listener, Conversation(Role.BULK, Role.HOST), Listener(), Conversation(Role.HOST, None)
    )
    far.send([Frame(0, Hello(PROTOCOL_VERSION, Role.BULK, "1", "ab", "lab"))])
    return near, listener, far


async def welcomed() -> tuple[Link, Listener, Link]:
    near, listener, far = greeted_pair()
    while near.conversation.is_greeting_due:  # noqa: ASYNC110 - one turn of the loop
        await asyncio.sleep(0)
    near.send([Frame(0, Welcome(PROTOCOL_VERSION, "1", "lab", 0))])
    return near, listener, far


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHARED_PART_BYTES", 100)


def test_parts_are_slices_of_the_buffers_from_any_byte_on() -> None:
    whole = b"".join(DATA)
    for offset in (0, 1, 99, 100, 249, 250, 251, 949):
        pieces = list(parts(DATA, offset))
        assert b"".join(pieces) == whole[offset:]
        assert max(map(len, pieces)) <= 100
        assert all(piece.obj is DATA[0] or piece.obj is DATA[1] for piece in pieces)
    assert list(parts(DATA, len(whole))) == []


def test_transfers_of_several_jobs_all_arrive(run: Callable, eventually: Callable) -> None:
    async def main() -> None:
        link, listener, _ = await welcomed()
        stream = SharedStream(link)
        for job in "abc":
            stream.begin(Transfer(1, job, 0, 10, DATA))
        await eventually(lambda: all(listener.heard(j) == b"".join(DATA)[10:] for j in "abc"))
        stream.begin(Transfer(1, "later", 0, 0, DATA))
        await eventually(lambda: listener.heard("later") == b"".join(DATA))
        stream.close()

    run(main())


def test_a_peer_that_takes_nothing_gets_little(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEND_BUFFER_BYTES_HIGH", 5_000)

    async def main() -> None:
        link, _, far = await welcomed()
        far.pause_reading()
        stream = SharedStream(link)
        stream.begin(Transfer(1, "a", 0, 0, [bytes(100_000)]))
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert 5_000 <= link.unsent_bytes < 6_000
        stream.close()

    run(main())


@pytest.mark.parametrize("ending", ["stop", "replace", "close", "link"])
def test_a_transfer_ends_in_the_middle(
    ending: str, run: Callable, eventually: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEND_BUFFER_BYTES_HIGH", 1_000)

    async def main() -> None:
        link, listener, far = await welcomed()
        far.pause_reading()
        stream = SharedStream(link)
        stream.begin(Transfer(1, "a", 3, 0, [bytes(100_000)]))
        while link.unsent_bytes < 1_000:  # noqa: ASYNC110 - one turn of the loop
            await asyncio.sleep(0)
        if ending == "stop":
            stream.stop("a", 2)
            stream.stop("a", 3)
        elif ending == "replace":
            stream.begin(Transfer(1, "a", 4, 0, DATA))
        elif ending == "close":
            stream.close()
        else:
            link.abort()
        far.resume_reading()
        if ending == "replace":
            await eventually(
                lambda: SharedPart("a", 4, 850) in [frame.message for frame in listener.frames]
            )
        else:
            for _ in range(1_000):
                await asyncio.sleep(0)
        sent = [f.message for f in listener.frames if isinstance(f.message, SharedPart)]
        assert sum(message.round == 3 for message in sent) < 20
        stream.close()

    run(main())


def test_a_small_transfer_does_not_wait_behind_a_large_one(
    run: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        link, listener, _ = await welcomed()
        stream = SharedStream(link)
        stream.begin(Transfer(1, "large", 0, 0, [bytes(100_000)]))
        stream.begin(Transfer(1, "small", 0, 0, [bytes(300)]))
        await eventually(lambda: len(listener.heard("large")) == 100_000)
        first = [frame.message.job for frame in listener.frames[1:7]]
        assert first == ["large", "small"] * 3
        assert len(listener.heard("small")) == 300

    run(main())


def test_a_transfer_that_goes_wrong_is_reported_and_ends_the_connection(
    run: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        complaints: list[dict] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context)
        )
        link, _, _ = await welcomed()
        stream = SharedStream(link)
        stream.begin(Transfer(1, "a", 0, 0, ["no buffer"]))
        await eventually(lambda: link.is_closed)
        (complaint,) = complaints
        assert complaint["message"] == "sending shared data failed"
        assert isinstance(complaint["exception"], TypeError)

    run(main())
