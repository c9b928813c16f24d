"""Shared data on its way: one copy, in parts, over a connection that may break at any byte."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import msgpack
import pytest

from midas_mp import limits
from midas_mp.blobs.mapping import locate
from midas_mp.errors import ProtocolError
from midas_mp.participant import shared
from midas_mp.participant.shared import SharedCopy, SharedFetcher
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    EndJob,
    FetchShared,
    Goodbye,
    Hello,
    OfferShared,
    Refused,
    Role,
    SharedHeld,
    TaskRef,
    TasksReturned,
    WorkerUp,
)

ECHO = "function execute_code() return global_data end"

# -- at a launcher with real workers -------------------------------------------------------------

SUM = """
function execute_code()
  local sum = 0
  for _, x in ipairs(shared_data) do sum = sum + x end
  return { midas.round, global_data, sum }
end
"""


async def share(n, host, numbers: list[int], round_: int = 0, asked: int = 1) -> int:
    """Offers shared data and sends what is asked for, in parts; how many bytes they are."""
    data = msgpack.packb(numbers)
    host.say(OfferShared("job", round_, [len(data)]))
    question = await n.bulk.asked(asked)
    assert question == FetchShared("job", round_, 0)
    for start in range(0, len(data), 1_000):
        n.bulk.send_part(question, start, data[start : start + 1_000])
    await held(host, round_, len(data))
    return len(data)


async def held(host, round_: int, size: int) -> None:
    wanted = SharedHeld("job", round_, "laptop", size)
    await host.until(lambda: wanted in host.heard(SharedHeld))


def test_shared_data_come_once_for_all_workers(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(SUM, workers=2) as (n, host):
            await share(n, host, [1] * 10_000)
            host.submit(1, {0: "a", 1: "b"})
            host.submit(2, {2: "c"})
            sums = {0: ("OK", [0, "a", 10_000]), 1: ("OK", [0, "b", 10_000])}
            assert await host.results(3) == sums | {2: ("OK", [0, "c", 10_000])}
            (hello,) = n.bulk.hellos
            assert (hello.role, hello.node_id, hello.name) == (Role.BULK, "ab12", "laptop")
            assert len(n.bulk.questions) == 1
            n.worker().kill()
            await host.hear(WorkerUp, 3)
            host.submit(1, {3: "d"})
            assert (await host.results(4))[3] == ("OK", [0, "d", 10_000]), "its successor's too"

    run(main())


def test_the_next_round_has_its_own_shared_data(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(SUM) as (n, host):
            for round_ in range(3):
                await share(n, host, [round_] * 100, round_, asked=round_ + 1)
                host.submit(1, {round_: "x"}, round_=round_)
                results = await host.results(round_ + 1)
                assert results[round_] == ("OK", [round_, "x", 100 * round_])
            assert len(n.bulk.links) == 1, "the same connection"

    run(main())


def test_tasks_do_not_come_before_their_shared_data(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(SUM) as (_, host):
            host.say(OfferShared("job", 0, [100]))
            host.submit(1, {0: 0})
            error = await host.lost
            assert isinstance(error, ProtocolError)
            assert "shared data of round 0 is not here" in str(error)

    run(main())


def test_tasks_that_came_before_their_shared_data_was_offered_go_back(
    run: Callable, at_work: Callable
) -> None:
    """No honest host does that, and no worker runs them without the data."""
    loop = 'function execute_code() print("looping") while true do end end'

    async def main() -> None:
        async with at_work(loop) as (_, host):
            host.submit(1, {0: 0})
            await host.printed(b"looping")
            host.submit(1, {1: 1}, round_=1)
            host.submit(1, {2: 2})
            host.say(OfferShared("job", 1, [100]))
            (returned,) = await host.hear(TasksReturned)
            assert returned.tasks == [TaskRef("job", 1, 1)]

    run(main())


def test_a_broken_bulk_connection_goes_on_where_it_was(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(SUM) as (n, host):
            data = msgpack.packb([2] * 1_000)
            host.say(OfferShared("job", 0, [len(data)]))
            n.bulk.send_part(await n.bulk.asked(), 0, data[:400])
            await held(host, 0, 400)
            n.bulk.links[-1].abort()
            again = await n.bulk.asked(2)
            assert again.offset == 400
            n.bulk.send_part(again, 400, data[400:])
            await held(host, 0, len(data))
            host.submit(1, {0: "x"})
            assert await host.results(1) == {0: ("OK", [0, "x", 2_000])}

    run(main())


def test_a_host_that_is_back_is_told_what_shared_data_are_here(
    run: Callable, at_work: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with at_work(SUM) as (n, host):
            size = await share(n, host, [3] * 100)
            process = n.worker()
            process.suspend()
            host.submit(1, {0: "x"})
            await eventually(lambda: n.launcher.held_count)
            host.link.abort()
            await host.lost
            await n.bulk.until(lambda: n.bulk.lost == 1)
            second = n.meet()
            await second.welcome(epoch=1)
            second.begin(SUM)
            second.say(OfferShared("job", 0, [size]))
            await held(second, 0, size)
            second.submit(1, {1: "y"})
            process.resume()
            sums = {0: ("OK", [0, "x", 300]), 1: ("OK", [0, "y", 300])}
            assert await second.results(2) == sums
            assert len(n.bulk.questions) == 1

    run(main())


def test_the_end_of_a_job_ends_its_fetching(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(ECHO) as (n, host):
            host.say(OfferShared("job", 0, [100]))
            question = await n.bulk.asked()
            assert n.launcher.idle_s == 0
            host.say(EndJob("job"))
            n.bulk.send_part(question, 0, b"x" * 50)  # it was on its way
            host.begin(ECHO, job="next")
            host.say(OfferShared("next", 0, [100]))
            assert await n.bulk.asked(2) == FetchShared("next", 0, 0)
            assert len(n.bulk.links) == 1

    run(main())


# -- a copy --------------------------------------------------------------------------------------


def whole(copy: SharedCopy) -> list[bytes]:
    return [bytes(buffer) for buffer in copy.frame().buffers]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("buffers", [[b"abc"], [b"abc", b"", b"defgh", b"i"], [b"", b"a", b""]])
def test_a_copy_is_the_same_however_it_was_cut(buffers: list[bytes], size: int) -> None:
    data = b"".join(buffers)
    copy = SharedCopy(OfferShared("job", 0, [len(buffer) for buffer in buffers]))
    for start in range(0, len(data), size):
        assert not copy.is_complete
        copy.put(start, memoryview(data)[start : start + size])
    assert copy.is_complete
    assert whole(copy) == buffers


def test_the_large_buffers_of_a_copy_lie_where_all_workers_read_them() -> None:
    buffers = [b"small", bytes(limits.BLOB_BYTES_MIN), b"", bytes(limits.BLOB_BYTES_MIN + 1)]
    copy = SharedCopy(OfferShared("job", 0, list(map(len, buffers))))
    data = b"".join(buffers)
    for start in range(0, len(data), 50_000):
        copy.put(start, data[start : start + 50_000])
    kept = copy.frame().buffers
    assert list(map(bytes, kept)) == buffers
    assert [locate(buffer) is not None for buffer in kept if buffer] == [False, True, True]


def test_a_copy_of_nothing_is_complete() -> None:
    assert SharedCopy(OfferShared("job", 0, [0, 0])).is_complete


@pytest.mark.parametrize(("offset", "size"), [(1, 1), (5, 1), (3, 8), (0, 3)])
def test_a_part_that_does_not_follow_is_refused(offset: int, size: int) -> None:
    copy = SharedCopy(OfferShared("job", 0, [4, 6]))
    copy.put(0, b"xyz")
    with pytest.raises(ProtocolError, match="do not follow 3 of 10"):
        copy.put(offset, b"x" * size)
    assert copy.received_bytes == 3


def test_a_copy_is_of_one_offer() -> None:
    copy = SharedCopy(OfferShared("job", 1, [4]))
    assert copy.is_of(OfferShared("job", 1, [4]))
    others = [OfferShared("job", 2, [4]), OfferShared("job", 1, [5]), OfferShared("job2", 1, [4])]
    assert not any(copy.is_of(other) for other in others)


# -- the fetcher ---------------------------------------------------------------------------------


class Fetching:
    """A fetcher at a bulk host that the test plays."""

    def __init__(self, bulk) -> None:
        self.bulk = bulk
        self.progress: list[tuple[str, int]] = []
        self.said: list[str] = []
        self._changed = asyncio.Event()
        self.fetcher = SharedFetcher(
            bulk.dial,
            hello=lambda: Hello(PROTOCOL_VERSION, Role.BULK, "1", "ab12", "laptop"),
            announce=self.said.append,
            jitter=random.Random(1),
            progressed=self._note,
        )

    def _note(self, copy: SharedCopy) -> None:
        self.progress.append((copy.job, copy.received_bytes))
        self._changed.set()

    async def until(self, job: str, size: int) -> None:
        while (job, size) not in self.progress:
            self._changed.clear()
            await self._changed.wait()

    def want(self, job: str, size: int, round_: int = 0) -> SharedCopy:
        copy = SharedCopy(OfferShared(job, round_, [size]))
        self.fetcher.fetch(copy)
        return copy


@pytest.fixture
def fetching(run: Callable, bulk_side: Callable) -> Callable:
    """``fetching(story)`` runs ``story(Fetching)`` and hangs up."""

    def play(story: Callable) -> None:
        async def main() -> None:
            it = Fetching(bulk_side())
            await story(it)
            it.fetcher.stop()
            assert not it.fetcher.is_busy

        run(main())

    return play


def test_one_copy_after_the_other_is_fetched(fetching: Callable) -> None:
    async def story(it: Fetching) -> None:
        first, second = it.want("a", 10), it.want("b", 10)
        it.bulk.send_part(await it.bulk.asked(1), 0, b"x" * 10)
        it.bulk.send_part(await it.bulk.asked(2), 0, b"y" * 10)
        await it.until("b", 10)
        assert (whole(first), whole(second)) == ([b"x" * 10], [b"y" * 10])
        assert len(it.bulk.links) == 1

    fetching(story)


def test_a_newer_round_is_wanted_instead(fetching: Callable) -> None:
    async def story(it: Fetching) -> None:
        old = it.want("a", 10)
        question = await it.bulk.asked(1)
        new = it.want("a", 5, round_=1)
        it.bulk.send_part(question, 0, b"o" * 10)
        question = await it.bulk.asked(2)
        assert question == FetchShared("a", 1, 0)
        it.bulk.send_part(question, 0, b"n" * 5)
        await it.until("a", 5)
        assert whole(new) == [b"nnnnn"]
        assert old.received_bytes == 0

    fetching(story)


def test_who_is_turned_away_or_hears_nonsense_knocks_again(fetching: Callable) -> None:
    async def story(it: Fetching) -> None:
        it.bulk.refused = Refused("unknown_node", "who are you?")
        it.want("a", 10)
        await it.bulk.until(lambda: len(it.bulk.hellos) == 2)
        it.bulk.refused = None
        it.bulk.send_part(await it.bulk.asked(1), 0, b"x" * 4)
        it.bulk.send_part(await it.bulk.asked(1), 7, b"x")
        again = await it.bulk.asked(2)
        assert again.offset == 4
        it.bulk.links[-1].send([Frame(0, Goodbye("restarting"))])
        it.bulk.links[-1].close()
        assert (await it.bulk.asked(3)).offset == 4
        assert it.said == ["cannot fetch shared data: who are you?; trying again"], "only once"

    fetching(story)


@pytest.mark.parametrize(
    ("hang_up", "reason"),
    [("close", "this process hung up"), ("abort", "this process broke off")],
)
def test_who_hangs_up_before_anything_came_is_told_of(
    hang_up: str, reason: str, fetching: Callable
) -> None:
    async def story(it: Fetching) -> None:
        it.want("a", 10)
        await it.bulk.asked(1)
        getattr(it.bulk.links[0], hang_up)()
        it.bulk.send_part(await it.bulk.asked(2), 0, b"x" * 4)
        await it.until("a", 4)
        assert it.said == [f"cannot fetch shared data: {reason}; trying again"]

    fetching(story)


def test_a_connection_that_breaks_in_the_middle_is_not_worth_a_word(fetching: Callable) -> None:
    async def story(it: Fetching) -> None:
        it.want("a", 10)
        it.bulk.send_part(await it.bulk.asked(1), 0, b"x" * 4)
        await it.until("a", 4)
        it.bulk.links[0].abort()
        await it.bulk.asked(2)
        assert it.said == []

    fetching(story)


def test_nobody_there_is_tried_again_and_told_of_once(fetching: Callable) -> None:
    async def story(it: Fetching) -> None:
        for round_ in range(2):
            it.bulk.is_down = True
            knocks = it.bulk.knocks
            it.want("a", 10, round_)
            await it.bulk.until(lambda k=knocks: it.bulk.knocks == k + 3)
            it.bulk.is_down = False
            it.bulk.send_part(await it.bulk.asked(round_ + 1), 0, b"x" * 10)
            await it.until("a", 10)
            it.progress.clear()
            assert it.said == ["cannot fetch shared data: nobody there; trying again"] * (
                1 + round_
            )
            it.bulk.links[-1].abort()
            await it.bulk.until(lambda r=round_: it.bulk.lost == r + 1)

    fetching(story)


@pytest.mark.parametrize("error", [ProtocolError("nonsense"), RuntimeError("a bug")])
def test_whatever_goes_wrong_it_goes_on_and_is_told(error: Exception, fetching: Callable) -> None:
    async def story(it: Fetching) -> None:
        complaints: list[dict[str, object]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: complaints.append(context))
        it.bulk.failure = error
        copy = it.want("a", 10)
        await it.bulk.until(lambda: it.bulk.knocks == 2)
        it.bulk.failure = None
        it.bulk.send_part(await it.bulk.asked(1), 0, b"x" * 10)
        await it.until("a", 10)
        assert copy.is_complete
        assert it.said == [f"cannot fetch shared data: {error}; trying again"]
        bugs = [context["exception"] for context in complaints]
        assert bugs == ([error] * 2 if isinstance(error, RuntimeError) else [])

    fetching(story)


@pytest.mark.parametrize("moment", ["dialling", "greeting", "waiting", "resting"])
def test_it_may_be_stopped_at_any_moment_and_begin_again(moment: str, fetching: Callable) -> None:
    async def story(it: Fetching) -> None:
        if moment == "resting":
            it.bulk.is_down = True
        copy = it.want("a", 10)
        if moment == "greeting":
            await it.bulk.until(lambda: it.bulk.hellos)
        elif moment == "waiting":
            await it.bulk.asked(1)
        elif moment == "resting":
            await it.bulk.until(lambda: it.bulk.knocks)
        it.fetcher.stop()
        it.bulk.is_down = False
        asked = len(it.bulk.questions)
        it.fetcher.fetch(copy)
        it.bulk.send_part(await it.bulk.asked(asked + 1), 0, b"x" * 10)
        await it.until("a", 10)

    fetching(story)


@pytest.mark.parametrize(("interval_s", "told"), [(0.0, [1, 2, 3, 4]), (1e9, [4])])
def test_progress_is_told_now_and_then_and_at_the_end(
    interval_s: float, told: list[int], fetching: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "PROGRESS_INTERVAL_S", interval_s)

    async def story(it: Fetching) -> None:
        it.want("a", 4)
        question = await it.bulk.asked(1)
        for start in range(4):
            it.bulk.send_part(question, start, b"x")
        await it.until("a", 4)
        assert it.progress == [("a", size) for size in told]

    fetching(story)
