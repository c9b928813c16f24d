"""Shared data on its way to the host: whole, in parts, and taken up again."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.client.upload import SharedPayload
from midas_mp.errors import InternalError, ProtocolError
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    EndJob,
    FetchShared,
    Goodbye,
    OfferShared,
    Role,
    SharedHeld,
    SharedPart,
)

PART = limits.SHARED_PART_BYTES


def joined(side, job) -> bytes:
    """What has come of a job's data; each part where the one before it ended."""
    data = b""
    for frame in side.frames:
        if isinstance(frame.message, SharedPart) and frame.message.job == job.id:
            assert frame.message.offset == len(data)
            data += frame.buffers[0]
    return data


@given(st.lists(st.binary(max_size=40)), st.integers(1, 30))
def test_the_parts_of_a_payload_are_its_buffers_in_order(buffers: list[bytes], size: int) -> None:
    payload = SharedPayload("j", 0, [b"x", *buffers])
    whole = b"x" + b"".join(buffers)
    assert payload.size_bytes == len(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "SHARED_PART_BYTES", size)
        offset = 0
        while offset < len(whole):
            part = bytes(payload.part(offset))
            assert part == whole[offset : offset + size]
            offset += len(part)


def test_a_part_within_one_buffer_is_no_copy_whatever_its_items_are() -> None:
    numbers = array("d", range(PART))
    payload = SharedPayload("j", 0, [memoryview(numbers)])
    assert payload.offer.sizes == [8 * PART]
    part = payload.part(PART)
    assert (len(part), part.obj) == (PART, numbers)


def test_what_is_offered_is_sent_from_where_the_host_wants_it(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started()
        data = [b"\x01" * 10, bytes(range(256)) * 4096]
        s.job.share(0, data)
        assert await s.side.hear(OfferShared) == [OfferShared(s.job.id, 0, [10, 2**20])]
        s.side.say(FetchShared(s.job.id, 0, 0))
        bulk = await s.host.welcomed(Role.BULK)
        await bulk.hear(SharedPart, 5)
        assert joined(bulk, s.job) == b"".join(data)
        s.side.say(FetchShared(s.job.id, 0, 2**20))
        await bulk.hear(SharedPart, 6)
        assert bulk.heard(SharedPart)[-1].offset == 2**20, "on the same connection"
        s.client.close()
        await bulk.hear(Goodbye)

    run(main())


def test_what_the_host_has_already_needs_no_connection(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        s.job.share(0, [b"abc"])
        s.side.say(FetchShared(s.job.id, 0, 3))
        await s.a_while()
        assert s.host.tries == 1
        s.client.close()

    run(main())


def test_progress_is_told_of_the_present_round_only(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        s.side.say(SharedHeld(s.job.id, 0, "lab", 1))
        s.job.share(1, [b"abc"])
        s.side.say(FetchShared(s.job.id, 0, 0))
        s.side.say(SharedHeld(s.job.id, 0, "lab", 3))
        s.side.say(SharedHeld(s.job.id, 1, "lab", 2))
        await s.a_while()
        assert [told for told in s.observer.told if told[0] == "shared"] == [
            ("shared", "lab", 2, 3)
        ]
        assert s.host.tries == 1
        s.client.close()

    run(main())


def test_a_broken_bulk_connection_is_opened_again_and_goes_on(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started()
        data = bytes(range(256)) * 8192
        s.job.share(0, [data])
        s.side.say(FetchShared(s.job.id, 0, 0))
        bulk = await s.host.welcomed(Role.BULK)
        await bulk.hear(SharedPart, 3)
        bulk.link.abort()
        assert len(await s.side.hear(OfferShared, 2)) == 2, "how far did it come?"
        s.side.say(FetchShared(s.job.id, 0, 3 * PART))
        s.side.say(FetchShared(s.job.id, 0, 3 * PART))
        bulk = await s.host.welcomed(Role.BULK)
        await bulk.until(
            lambda: bulk.heard(SharedPart) and bulk.heard(SharedPart)[-1].offset == 7 * PART
        )
        rest = {
            f.message.offset: f.buffers[0]
            for f in bulk.frames
            if f.message in bulk.heard(SharedPart)
        }
        assert b"".join(rest[offset] for offset in sorted(rest)) == data[3 * PART :]
        assert s.observer.notices() == []
        s.client.close()

    run(main())


def test_a_lost_control_connection_starts_it_anew(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        data = b"d" * (40 * PART)
        s.job.share(0, [data])
        s.side.say(FetchShared(s.job.id, 0, 0))
        bulk = await s.host.welcomed(Role.BULK)
        await bulk.hear(SharedPart, 1)
        await s.cut()
        await bulk.until(lambda: bulk.is_lost)
        assert await s.side.hear(OfferShared) == [OfferShared(s.job.id, 0, [len(data)])]
        s.side.say(FetchShared(s.job.id, 0, 0))
        bulk = await s.host.welcomed(Role.BULK)
        await bulk.hear(SharedPart, 40)
        assert joined(bulk, s.job) == data
        s.client.close()

    run(main())


def test_a_new_round_takes_the_place_of_the_old_one(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        s.job.share(0, [b"o" * (100 * PART)])
        s.side.say(FetchShared(s.job.id, 0, 0))
        bulk = await s.host.welcomed(Role.BULK)
        await bulk.hear(SharedPart, 2)
        s.job.share(1, [b"new"])
        s.side.say(FetchShared(s.job.id, 1, 0))
        await bulk.until(lambda: bulk.heard(SharedPart)[-1].round == 1)
        await s.a_while()
        assert bulk.frames[-1].buffers == [b"new"]
        assert len(bulk.heard(SharedPart)) < 50
        await s.cut()
        assert await s.side.hear(OfferShared) == [OfferShared(s.job.id, 1, [3])]
        s.client.close()

    run(main())


def test_jobs_take_turns_and_one_that_is_closed_takes_none(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        other, _ = s.open_job()
        closed, _ = s.open_job()
        for job in (s.job, other, closed):
            job.share(0, [b"d" * (20 * PART)])
            s.side.say(FetchShared(job.id, 0, 0))
        bulk = await s.host.welcomed(Role.BULK)
        closed.close()
        await s.side.hear(EndJob)
        sent = len([p for p in bulk.heard(SharedPart) if p.job == closed.id])
        await bulk.until(lambda: len(joined(bulk, s.job)) == len(joined(bulk, other)) == 20 * PART)
        jobs = [p.job for p in bulk.heard(SharedPart)]
        assert {jobs.index(s.job.id), jobs.index(other.id)} <= {0, 1, 2}
        assert jobs.count(closed.id) <= sent + 8, "what was on its way"
        s.client.close()

    run(main())


def test_a_host_that_takes_no_bulk_connection_is_tried_again_and_told_of_once(
    run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started()
        s.job.share(0, [b"abc"])
        s.host.is_away = True
        s.side.say(FetchShared(s.job.id, 0, 0))
        while s.host.tries < 5:  # noqa: ASYNC110 - each turn is a try
            await asyncio.sleep(0)
        s.host.is_away = False
        bulk = await s.host.welcomed(Role.BULK)
        await bulk.hear(SharedPart)
        assert s.observer.notices() == [
            "no connection for the shared data (no host listens there); trying again"
        ]
        s.client.close()

    run(main())


def test_a_host_that_finds_fault_with_it_ends_the_job(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        s.job.share(0, [b"abc"])
        s.side.say(FetchShared(s.job.id, 0, 0))
        bulk = await s.host.welcomed(Role.BULK)
        await bulk.hear(SharedPart)
        bulk.link.close(Frame(0, Goodbye("nonsense", "fault")))
        assert type(await s.observer.lost) is ProtocolError
        s.client.close()

    run(main())


def test_a_bug_while_sending_is_heard_of(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        s.job.share(0, [b"abc"])

        async def dial(*_: object) -> None:
            raise ZeroDivisionError

        s.client._upload._dial = dial
        s.side.say(FetchShared(s.job.id, 0, 0))
        assert type(await s.observer.lost) is InternalError
        s.client.close()

    run(main())
