"""The Lua sources that a client keeps: those of open tasks, and what there is room for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from midas_mp import limits
from midas_mp.client.bundles import KeptBundles
from midas_mp.lua.bundle import Bundle
from midas_mp.wire.messages import Call, DropBundles, PutBundle, RunTasks

A, B, C, D = (Bundle.from_sources(f"{name}.lua", [], [b"x" * 1024]) for name in "abcd")
BOTH = Bundle.from_sources("main.lua", ["m"], [b"return require 'm'", b"return 1"])


@pytest.fixture
def said() -> list[tuple]:
    return []


@pytest.fixture
def keep(said: list[tuple], monkeypatch: pytest.MonkeyPatch) -> Callable[..., KeptBundles]:
    """With room for three of 2 KB each."""
    monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX", 6 * limits.KB)

    def say(message: PutBundle | DropBundles, buffers: tuple = ()) -> None:
        said.append((message, list(buffers)) if isinstance(message, PutBundle) else message)

    return lambda *needed: KeptBundles("j", A, say, lambda: {bundle.digest for bundle in needed})


def put(bundle: Bundle) -> tuple:
    message = PutBundle("j", bundle.digest, bundle.main, list(bundle.modules))
    return message, [bundle.source, *bundle.modules.values()]


def test_the_first_is_said_with_the_others_and_each_of_these_once(
    keep: Callable, said: list
) -> None:
    kept = keep()
    kept.put(A)
    kept.put(BOTH)
    kept.put(BOTH)
    assert said == [put(BOTH)]
    kept.repeat()
    assert said[1:] == [put(A), put(BOTH)]


def test_what_was_not_used_for_longest_is_dropped_and_said_again_later(
    keep: Callable, said: list
) -> None:
    kept = keep()
    for bundle in (B, C, A, D):
        kept.put(bundle)
    assert said == [*map(put, (B, C, D)), DropBundles("j", [B.digest, C.digest, A.digest])]
    kept.repeat()
    assert said[4:] == [put(D)]
    kept.put(B)
    assert said[5:] == [put(B)]


def test_what_open_tasks_need_stays(keep: Callable, said: list) -> None:
    kept = keep(A, C)
    for bundle in (B, C, D):
        kept.put(bundle)
    assert said[-1] == DropBundles("j", [B.digest])
    kept.repeat()
    assert said[4:] == [*map(put, (A, C, D))]


def test_where_open_tasks_need_all_the_room_the_next_has_to_wait(
    keep: Callable, said: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX_OPEN", 6 * limits.KB)
    needed = [A, B, C]
    kept = KeptBundles(
        "j",
        A,
        lambda message, buffers=(): said.append(message),
        lambda: {bundle.digest for bundle in needed},
    )
    assert [kept.put(bundle) for bundle in (B, C, D, D, B)] == [True, True, False, False, True]
    assert [message.digest for message in said] == [B.digest, C.digest]
    needed.remove(A)
    assert kept.put(D)
    assert said[2] == DropBundles("j", [A.digest]), "before there is one too many"
    assert said[3].digest == D.digest


def test_one_that_is_larger_than_all_the_room_has_it_for_itself(
    keep: Callable, said: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX_OPEN", 1)
    assert not keep(A).put(B)
    assert said == []
    kept = keep()
    assert kept.put(B)
    assert said == [DropBundles("j", [A.digest]), put(B)]


def test_a_host_hears_of_a_bundle_with_its_first_task_and_what_open_tasks_need_stays(
    run: Callable, stage: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        s = await stage.started(tasks=2)

        def submitting(index: int, bundle: Bundle) -> asyncio.Task[None]:
            order = RunTasks(s.job.id, 0, 100, bundle.digest, "f", [Call(index)])
            return s.submitting(order, b"x", bundle=bundle)

        submissions = [submitting(index, bundle) for index, bundle in enumerate((A, B, C))]
        await s.a_while()
        assert [each.done() for each in submissions] == [True, True, False]
        said = [message.digest for message in s.side.heard(PutBundle)]
        assert said == [s.bundle.digest, A.digest, B.digest]
        s.side.finish(s.job, 0)
        await s.a_while()
        monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX", 1)
        s.job.acknowledge(0, [0])
        (dropped,) = await s.side.hear(DropBundles)
        assert dropped == DropBundles(s.job.id, [s.bundle.digest, A.digest])
        await s.side.until(lambda: s.side.submitted() == [0, 1, 2])
        await s.cut()
        digests = [message.digest for message in await s.side.hear(PutBundle, 2)]
        assert digests == [bundle.digest for bundle in (B, C)]
        s.client.close()

    run(main())


def test_tasks_whose_bundle_waits_for_room_go_when_others_are_over_or_may_be_cancelled(
    run: Callable, stage: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX_OPEN", 3 * limits.KB)

    async def main() -> None:
        s = await stage.started()
        submissions = []
        for index, bundle in enumerate((A, B, C)):
            order = RunTasks(s.job.id, 0, 100, bundle.digest, "f", [Call(index)])
            submissions.append(s.submitting(order, b"x", bundle=bundle))
        await s.a_while()
        assert [each.done() for each in submissions] == [True, False, False]
        s.job.cancel(0, [1])
        await s.a_while()
        assert [each.done() for each in submissions] == [True, True, False]
        s.side.finish(s.job, 0)
        await s.a_while()
        assert not submissions[2].done()
        s.job.acknowledge(0, [0])
        await s.side.until(lambda: s.side.submitted() == [0, 2])
        digests = [message.digest for message in s.side.heard(PutBundle)]
        assert digests == [s.bundle.digest, A.digest, C.digest]
        s.client.close()

    run(main())
