"""The Lua sources that a client keeps: those of open tasks, and what there is room for."""

from __future__ import annotations

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


def test_a_job_needs_the_bundles_of_open_and_of_waiting_tasks(
    run: Callable, stage: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a host may yet have to be told of."""

    async def main() -> None:
        s = await stage.started(tasks=2)
        submissions = []
        for index, bundle in enumerate((A, B, C)):
            s.job.put_bundle(bundle)
            order = RunTasks(s.job.id, 0, 100, bundle.digest, "f", [Call(index)])
            submissions.append(s.submitting(order, b"x"))
            await s.a_while()
        assert [each.done() for each in submissions] == [True, True, False]
        s.side.finish(s.job, 0)
        await s.a_while()
        monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX", 1)
        s.job.put_bundle(D)
        (dropped,) = await s.side.hear(DropBundles)
        assert dropped == DropBundles(s.job.id, [s.bundle.digest, A.digest])
        s.job.acknowledge(0, [0])
        await s.side.until(lambda: s.side.submitted() == [0, 1, 2])
        await s.cut()
        digests = [message.digest for message in await s.side.hear(PutBundle, 3)]
        assert digests == [bundle.digest for bundle in (B, C, D)]
        s.client.close()

    run(main())
